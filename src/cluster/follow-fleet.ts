/** What State says about who belongs to the fleet and who keeps its state, as it changes. */
import type { View } from '../state/commit.ts'
import { type FollowDeps, keepFollowing } from '../state/keep-following.ts'
import { engineKey, fleetPrefix, parseEngineRecord } from './etcd/fleet-engine-record.ts'
import { type MachineRecord, machinePrefix, parseMachineRecord, removedPrefix } from './members.ts'

export interface FleetRecords {
  readonly machines: readonly MachineRecord[]
  /** Ids. */
  readonly removed: readonly string[]
  readonly engine: ReturnType<typeof parseEngineRecord> | undefined
}

/** Until `signal`: `learn` is called with all of it, whenever some of it may have changed. */
export function followFleet(
  deps: FollowDeps,
  learn: (records: FleetRecords) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const values = new Map<string, unknown>()
  const take = async (view: View) => {
    if (view.kind === 'all') {
      values.clear()
      for (const { key, value } of view.entries) values.set(key, value)
    } else if (view.kind === 'put') values.set(view.entry.key, view.entry.value)
    else if (view.kind === 'delete') values.delete(view.key)
    await learn(recordsOf(values))
  }
  return keepFollowing(deps, { prefix: fleetPrefix, what: 'follow the state' }, take, signal)
}

function recordsOf(values: ReadonlyMap<string, unknown>): FleetRecords {
  const machines: MachineRecord[] = []
  const removed: string[] = []
  for (const [key, value] of values) {
    if (key.startsWith(machinePrefix)) machines.push(parseMachineRecord(value))
    else if (key.startsWith(removedPrefix)) removed.push(key.slice(removedPrefix.length))
  }
  const engine = values.get(engineKey)
  return { machines, removed, engine: engine === undefined ? undefined : parseEngineRecord(engine) }
}
