/**
 * When not to believe that machines are dead: more than a third of a zone silent at once is a fault
 * of the network, not that many deaths. Then nothing is moved away from there, and it is said.
 */

export interface ZoneMember {
  readonly zone: string
  readonly presence: 'up' | 'silent' | 'gone'
  readonly forMs: number
  /** Not heard when it should have been: of many that are lost, one is silent before the others. */
  readonly doubted: boolean
}

const silentShareMax = 0.3
/** In a smaller zone a share says nothing. */
const zoneSizeMin = 10
/** Machines that are silent for longer do not count: what was there has moved. */
const silentAtOnceMs = 300_000

/** By zone, why evictions are paused there. */
export function evictionPause(machines: readonly ZoneMember[]): ReadonlyMap<string, string> {
  const zones = new Map<string, { size: number; silent: number }>()
  for (const { zone, presence, forMs, doubted } of machines) {
    if (presence === 'silent' && forMs > silentAtOnceMs) continue
    const counts = zones.get(zone) ?? { size: 0, silent: 0 }
    zones.set(zone, counts)
    counts.size += 1
    if (presence === 'silent' || doubted) counts.silent += 1
  }
  const paused = new Map<string, string>()
  for (const [zone, { size, silent }] of zones) {
    if (size < zoneSizeMin || silent <= size * silentShareMax) continue
    const where = zone === '' ? 'the fleet' : `zone ${zone}`
    paused.set(
      zone,
      `${silent} of ${size} machines in ${where} are silent at once: that is a network fault, ` +
        'nothing is moved away from there (`holon machines remove` says that one is dead)',
    )
  }
  return paused
}
