/**
 * Taking machines out of the fleet's state. `remove` is for ever: the record of it is what every
 * machine refuses that key by. `leave` keeps no grudge, since the machine deletes its key itself.
 */
import type { Clock } from '../../base/clock.ts'
import { HolonError } from '../../base/errors.ts'
import type { Random } from '../../base/random.ts'
import { commit, newOperationId } from '../../state/commit.ts'
import type { Condition, Delete, Put, State } from '../../state/port.ts'
import { isJsonObject, stringField } from '../fields.ts'
import { machinePrefix, namePrefix, parseMachineRecord, removedPrefix } from '../members.ts'
import { intentKey } from '../reconcile/records.ts'

export interface RemoveDeps {
  readonly clock: Clock
  readonly random: Random
  readonly state: State
  /** This machine's name. */
  readonly by: string
}

/**
 * Shuts out the machine with that name and returns its id. `not_found` for an unknown name. Links
 * to it are ended by each machine as soon as it hears of the record.
 */
export async function removeMachine(
  deps: RemoveDeps,
  name: string,
  options: { readonly signal: AbortSignal },
): Promise<string> {
  while (true) {
    const entry = await deps.state.get(`${namePrefix}${name}`, options)
    const machineId = isJsonObject(entry?.value) ? stringField(entry.value, 'machineId') : undefined
    if (machineId === undefined)
      throw new HolonError(
        'not_found',
        `remove "${name}": there is no such machine; \`holon machines\` lists them`,
      )
    if (await takeOut(deps, machineId, { name, revision: entry?.revision ?? 0 }, options))
      return machineId
  }
}

/** Takes this machine's own record away. Idempotent. */
export async function leaveFleet(
  deps: RemoveDeps,
  machineId: string,
  options: { readonly signal: AbortSignal },
): Promise<void> {
  while (!(await takeOut(deps, machineId, 'left', options))) {
    // Somebody else changed the record meanwhile.
  }
}

/** False when what was read has changed meanwhile. */
async function takeOut(
  { clock, random, state, by }: RemoveDeps,
  machineId: string,
  how: { readonly name: string; readonly revision: number } | 'left',
  options: { readonly signal: AbortSignal },
): Promise<boolean> {
  const key = `${machinePrefix}${machineId}`
  const entry = await state.get(key, options)
  if (entry === undefined && how === 'left') return true
  const known = entry === undefined ? undefined : parseMachineRecord(entry.value).name
  const name = how === 'left' ? known : how.name
  const conditions: Condition[] = [{ key, revision: entry?.revision ?? 0 }]
  const changes: (Put | Delete)[] = [
    { kind: 'delete', key },
    { kind: 'delete', key: intentKey(machineId) },
  ]
  if (name !== undefined) changes.push({ kind: 'delete', key: `${namePrefix}${name}` })
  if (how !== 'left') {
    // Else the name could be another machine's by now.
    conditions.push({ key: `${namePrefix}${how.name}`, revision: how.revision })
    const value = { name: how.name, atMs: clock.wallMs(), by }
    changes.push({ kind: 'put', key: `${removedPrefix}${machineId}`, value, schema: 1 })
  }
  const txn = {
    if: conditions,
    then: changes,
    operationId: newOperationId(random),
    writer: `agent ${by}`,
  }
  return (await commit({ clock, random }, state, txn, options)).kind === 'done'
}
