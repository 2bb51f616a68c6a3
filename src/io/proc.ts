/**
 * The kernel's process table: /proc of this machine.
 *
 * Everything is read when asked for, nothing is cached but constants, and every read is synchronous
 * (see proc-read.ts): a caller with many processes calls `pause()` now and then. A process that
 * ended meanwhile, or that the mount hides from us (hidepid), is undefined, never an error.
 */
import { readdirSync, statSync } from 'node:fs'
import {
  type CpuTotals,
  type MemoryTotals,
  parseAuxv,
  parseCpuTotals,
  parseLoad,
  parseMeminfo,
  parsePressure,
} from './proc-machine.ts'
import { isGone, readSmallText, SmallFileReader } from './proc-read.ts'
import {
  type ProcStat,
  type ProcUids,
  parseCmdline,
  parseResidentPages,
  parseStat,
  parseUids,
} from './proc-stat.ts'
import { TtyNames } from './proc-tty.ts'

/** An environment shares Linux's bound for argument vectors; ours is far below. */
const environBytesMax = 4 * 1024 * 1024

export interface MachineFacts extends MemoryTotals {
  readonly uptimeMs: number
  readonly load: readonly [number, number, number]
  readonly cpuCount: number
  readonly cpuBusyMs: number
  readonly cpuIdleMs: number
}

export interface ProcFsOptions {
  /** Where /proc is mounted. */
  readonly root?: string
}

export class ProcFs {
  readonly ticksPerSecond: number
  readonly pageBytes: number
  readonly bootId: string
  readonly kernelRelease: string
  /** Wall-clock time of the boot. Read once, so that a process keeps its start time. */
  readonly bootedAtMs: number
  readonly #root: string
  readonly #reader = new SmallFileReader()
  readonly #ttys: TtyNames

  constructor(options: ProcFsOptions = {}) {
    this.#root = options.root ?? '/proc'
    const auxiliary = parseAuxv(this.#reader.read(`${this.#root}/self/auxv`) ?? Buffer.alloc(0))
    this.ticksPerSecond = auxiliary.ticksPerSecond
    this.pageBytes = auxiliary.pageBytes
    this.bootId = this.#text('sys/kernel/random/boot_id').trim()
    this.kernelRelease = this.#text('sys/kernel/osrelease').trim()
    this.bootedAtMs = this.#cpu().bootedAtSeconds * 1000
    this.#ttys = new TtyNames(this.#text('tty/drivers'))
  }

  /** Of all processes, ascending. */
  pids(): number[] {
    const pids: number[] = []
    for (const name of readdirSync(this.#root)) {
      const first = name.charCodeAt(0)
      if (first >= 0x31 && first <= 0x39) pids.push(Number(name))
    }
    return pids.sort((a, b) => a - b)
  }

  stat(pid: number): ProcStat | undefined {
    const line = this.#reader.read(`${this.#root}/${pid}/stat`)
    return line === undefined ? undefined : parseStat(line)
  }

  /**
   * Resident memory in pages. The figure in /proc/PID/stat leaves out what each core has not yet
   * handed in, up to megabytes; statm adds it up.
   */
  residentPages(pid: number): number | undefined {
    const line = this.#reader.read(`${this.#root}/${pid}/statm`)
    return line === undefined ? undefined : parseResidentPages(line)
  }

  /** With the pid the identity of a process until the next boot. */
  startTicks(pid: number): number | undefined {
    return this.stat(pid)?.startTicks
  }

  /**
   * Effective user and group. The kernel gives them as the owner of the process's directory,
   * which costs a tenth of /proc/PID/status.
   */
  owner(pid: number): { readonly uid: number; readonly gid: number } | undefined {
    try {
      const stat = statSync(`${this.#root}/${pid}`, { throwIfNoEntry: false })
      return stat === undefined ? undefined : { uid: stat.uid, gid: stat.gid }
    } catch (error) {
      if (isGone(error)) return undefined
      throw error
    }
  }

  uids(pid: number): ProcUids | undefined {
    const status = this.#reader.read(`${this.#root}/${pid}/status`)
    return status === undefined ? undefined : parseUids(status)
  }

  /** The argument vector, from at most `bytesMax` bytes; empty for kernel threads and zombies. */
  args(
    pid: number,
    bytesMax: number,
  ): { readonly args: readonly string[]; readonly cut: boolean } | undefined {
    // One byte more than wanted tells whether there is more.
    const bytes = this.#reader.read(`${this.#root}/${pid}/cmdline`, bytesMax + 1)
    if (bytes === undefined) return undefined
    const cut = bytes.length > bytesMax
    return { args: parseCmdline(cut ? bytes.subarray(0, bytesMax) : bytes), cut }
  }

  /** The processes below `pid`, itself not among them: parents before their children. */
  descendants(pid: number): number[] {
    const children = new Map<number, number[]>()
    for (const each of this.pids()) {
      const ppid = this.stat(each)?.ppid
      if (ppid === undefined) continue
      const siblings = children.get(ppid)
      if (siblings === undefined) children.set(ppid, [each])
      else siblings.push(each)
    }
    const found: number[] = []
    const queue = [pid]
    for (let parent = queue.shift(); parent !== undefined; parent = queue.shift()) {
      // Processes come and go while we read: a reused pid could make a ring, so none is taken
      // twice.
      const next = children.get(parent) ?? []
      children.delete(parent)
      found.push(...next)
      queue.push(...next)
    }
    return found
  }

  /**
   * Processes whose environment has exactly this variable; those we may not look into are not seen.
   */
  pidsWithEnvironment(name: string, value: string): number[] {
    const first = Buffer.from(`${name}=${value}\0`)
    const later = Buffer.from(`\0${name}=${value}\0`)
    return this.pids().filter((pid) => {
      const bytes = this.#reader.read(`${this.#root}/${pid}/environ`, environBytesMax)
      if (bytes === undefined) return false
      return bytes.includes(later) || bytes.subarray(0, first.length).equals(first)
    })
  }

  ttyName(ttyNumber: number): string {
    return this.#ttys.name(ttyNumber)
  }

  /** The controlling terminal of this very process, "" for none. */
  ownTty(): string {
    const line = this.#reader.read(`${this.#root}/self/stat`)
    const stat = line === undefined ? undefined : parseStat(line)
    return this.ttyName(stat?.ttyNumber ?? 0)
  }

  machineFacts(): MachineFacts {
    const cpu = this.#cpu()
    const msPerTick = 1000 / this.ticksPerSecond
    return {
      ...parseMeminfo(this.#text('meminfo')),
      uptimeMs: Math.round(Number.parseFloat(this.#text('uptime')) * 1000),
      load: parseLoad(this.#text('loadavg')),
      cpuCount: cpu.cpuCount,
      cpuBusyMs: cpu.busyTicks * msPerTick,
      cpuIdleMs: cpu.idleTicks * msPerTick,
    }
  }

  /** Pressure stall shares; undefined where the kernel does not keep them. */
  pressure(): { readonly cpu: number; readonly memory: number; readonly io: number } | undefined {
    const shares = (['cpu', 'memory', 'io'] as const).map((resource) => {
      try {
        return parsePressure(this.#text(`pressure/${resource}`))
      } catch {
        // Not compiled in, or switched off: then there is no file, or reading it fails.
        return undefined
      }
    })
    const [cpu, memory, io] = shares
    if (cpu === undefined || memory === undefined || io === undefined) return undefined
    return { cpu, memory, io }
  }

  /** Lets the event loop serve what waits. */
  pause(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve))
  }

  #cpu(): CpuTotals {
    return parseCpuTotals(this.#text('stat'))
  }

  #text(name: string): string {
    return readSmallText(`${this.#root}/${name}`)
  }
}
