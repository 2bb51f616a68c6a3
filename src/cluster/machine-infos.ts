/** What is told of machines: their records, how they are seen, and what they last said. */
import type { MachineInfo, MissingMachine } from '../kernel/types.ts'
import type { FleetSystemDeps } from './fleet-system.ts'
import type { MachineRecord } from './members.ts'

export type MachineInfosDeps = Pick<
  FleetSystemDeps,
  'self' | 'sightings' | 'stateKeepers' | 'units' | 'report' | 'links'
>

export async function machineInfos(
  deps: MachineInfosDeps,
  machines: readonly MachineRecord[],
  signal: AbortSignal,
): Promise<readonly MachineInfo[]> {
  const self = deps.self()
  const alone = machines.every(({ machineId }) => machineId === self.machineId)
  const sightings = alone ? [] : await deps.sightings(signal)
  const byId = new Map(sightings.map((sighting) => [sighting.machineId, sighting]))
  const keepers = new Set(deps.stateKeepers())
  const intents = deps.units()?.intents
  return machines.map(({ machineId, name, zone, labels, addresses }) => {
    const intent = intents?.of(machineId)
    const base = {
      name,
      id: machineId,
      zone,
      labels,
      addresses,
      keepsState: keepers.has(machineId),
      ...(intent === undefined ? {} : { intent }),
    }
    if (machineId === self.machineId) {
      const report = deps.report()
      return { ...base, status: 'up', lastSeenAtMs: report.atMs, report }
    }
    const sighting = byId.get(machineId)
    const seenAtMs = Math.max(sighting?.lastSeenAtMs ?? 0, deps.links.seenAtMs(machineId) ?? 0)
    return {
      ...base,
      status: sighting?.status ?? 'down',
      ...(seenAtMs === 0 ? {} : { lastSeenAtMs: seenAtMs }),
      ...(sighting?.report === undefined ? {} : { report: sighting.report }),
    }
  })
}

export function missingOf({ name, lastSeenAtMs }: MachineInfo): MissingMachine {
  const seen = lastSeenAtMs === undefined ? {} : { lastSeenAtMs }
  return { machine: name, code: 'unavailable', ...seen }
}
