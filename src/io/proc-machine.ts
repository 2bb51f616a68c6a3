/** Facts of the whole machine from /proc, parsed. Pure; the readers are in proc.ts. */

export interface CpuTotals {
  /** Ticks over all cores since boot. */
  readonly busyTicks: number
  readonly idleTicks: number
  readonly cpuCount: number
  /** Wall-clock second of the boot. */
  readonly bootedAtSeconds: number
}

/** /proc/stat. Waiting for disks counts as idle, time taken by the hypervisor as busy. */
export function parseCpuTotals(text: string): CpuTotals {
  const total = /^cpu +(.*)$/m.exec(text)?.[1]?.split(' ').map(Number) ?? []
  const at = (index: number): number => total[index] ?? 0
  return {
    // user nice system idle iowait irq softirq steal; guest time is inside user already.
    busyTicks: at(0) + at(1) + at(2) + at(5) + at(6) + at(7),
    idleTicks: at(3) + at(4),
    cpuCount: Math.max(1, text.match(/^cpu\d+ /gm)?.length ?? 1),
    bootedAtSeconds: Number(/^btime (\d+)$/m.exec(text)?.[1] ?? 0),
  }
}

export interface MemoryTotals {
  readonly memoryBytes: number
  readonly memoryAvailableBytes: number
  readonly swapBytes: number
  readonly swapFreeBytes: number
}

/** /proc/meminfo, which says kB and means KiB. */
export function parseMeminfo(text: string): MemoryTotals {
  const field = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0) * 1024
  return {
    memoryBytes: field('MemTotal'),
    memoryAvailableBytes: field('MemAvailable') || field('MemFree'),
    swapBytes: field('SwapTotal'),
    swapFreeBytes: field('SwapFree'),
  }
}

/** /proc/loadavg: over 1, 5 and 15 minutes. */
export function parseLoad(text: string): readonly [number, number, number] {
  const [one, five, fifteen] = text.split(' ').map(Number)
  return [one || 0, five || 0, fifteen || 0]
}

/** /proc/pressure/X: percent of the last 10 s in which some task waited; undefined without PSI. */
export function parsePressure(text: string): number | undefined {
  const share = /^some avg10=(\d+(?:\.\d+)?)/m.exec(text)?.[1]
  return share === undefined ? undefined : Number(share)
}

export interface Auxiliary {
  readonly ticksPerSecond: number
  readonly pageBytes: number
}

/** /proc/self/auxv: pairs of machine words (64-bit, little endian on what Node 24 supports). */
export function parseAuxv(bytes: Buffer): Auxiliary {
  const found = { ticksPerSecond: 100, pageBytes: 4096 }
  for (let offset = 0; offset + 16 <= bytes.length; offset += 16) {
    const type = Number(bytes.readBigUInt64LE(offset))
    const value = Number(bytes.readBigUInt64LE(offset + 8))
    if (type === 17 && value > 0) found.ticksPerSecond = value
    if (type === 6 && value > 0) found.pageBytes = value
  }
  return found
}
