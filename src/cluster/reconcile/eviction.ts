/**
 * When not to believe that machines are dead: more than a third of a zone silent at once is a fault
 * of the network, not that many deaths. Then nothing is moved away from there, and it is said. What
 * stays silent for minutes is believed all the same.
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
/** Machines that are silent for longer do not count: they are believed dead. */
const silentAtOnceMs = 300_000

/** A zone in a sentence. */
export const zoneText = (zone: string) => (zone === '' ? 'the fleet' : `zone ${zone}`)

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
    paused.set(
      zone,
      `${silent} of ${size} machines in ${zoneText(zone)} are silent at once: that is a network fault, ` +
        'nothing is moved away from there (`holon machines remove` says that one is dead); ' +
        'after 5 min it is believed',
    )
  }
  return paused
}
