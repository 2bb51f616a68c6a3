/** What State says about who belongs to the fleet and who keeps its state, as it changes. */
import { type Clock, sleep } from '../base/clock.ts'
import { asHolonError } from '../base/errors.ts'
import { follow } from '../state/commit.ts'
import type { State } from '../state/port.ts'
import { engineKey, fleetPrefix, parseEngineRecord } from './etcd/fleet-engine-record.ts'
import { type MachineRecord, machinePrefix, parseMachineRecord, removedPrefix } from './members.ts'

export interface FleetRecords {
  readonly machines: readonly MachineRecord[]
  /** Ids. */
  readonly removed: readonly string[]
  readonly engine: ReturnType<typeof parseEngineRecord> | undefined
}

export interface FollowFleetDeps {
  readonly clock: Clock
  readonly state: State
  readonly report: (message: string) => void
}

const firstRetryMs = 200
const retryMaxMs = 5_000

/** Until `signal`: `learn` is called with all of it, whenever some of it may have changed. */
export async function followFleet(
  { clock, state, report }: FollowFleetDeps,
  learn: (records: FleetRecords) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  let retryMs = firstRetryMs
  let said = ''
  while (!signal.aborted) {
    try {
      const values = new Map<string, unknown>()
      for await (const view of follow(clock, state, fleetPrefix, { signal })) {
        retryMs = firstRetryMs
        said = ''
        if (view.kind === 'all') {
          values.clear()
          for (const { key, value } of view.entries) values.set(key, value)
        } else if (view.kind === 'put') values.set(view.entry.key, view.entry.value)
        else if (view.kind === 'delete') values.delete(view.key)
        await learn(recordsOf(values))
      }
    } catch (error) {
      if (signal.aborted) return
      const text = asHolonError(error, 'follow the state').message
      if (text !== said) report(text)
      said = text
    }
    await sleep(clock, retryMs, signal).catch(() => {})
    retryMs = Math.min(2 * retryMs, retryMaxMs)
  }
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
