/**
 * What every change of the fleet's records must keep, whoever made it: looked at in the moment at
 * which the store has it, and before anybody hears of it.
 */
import { isVoid, type LeaseRecord, leaseKey, leasePrefix } from '../cluster/lease/record.ts'
import {
  machinesOf,
  type SlotRecord,
  slotKey,
  slotPrefix,
  workPrefix,
} from '../cluster/reconcile/records.ts'
import type { SimFleet } from './fleet.ts'
import type { SimProcess } from './host.ts'

export class RecordChecks {
  readonly #fleet: SimFleet

  constructor(fleet: SimFleet) {
    this.#fleet = fleet
  }

  /** What is wrong with the change of this key that the store has just made. */
  wrong(key: string): string | undefined {
    const before = this.#fleet.store.readPrevious(key)?.json
    if (key.startsWith(slotPrefix)) {
      return this.#wrongSlot(parse<SlotRecord>(before), this.#read<SlotRecord>(key))
    }
    if (key.startsWith(leasePrefix)) {
      const machineId = key.slice(leasePrefix.length)
      return this.#wrongLease(machineId, parse<LeaseRecord>(before), this.#read<LeaseRecord>(key))
    }
    return undefined
  }

  #read<T>(key: string): T | undefined {
    return parse<T>(this.#fleet.store.read(key)?.json)
  }

  #wrongSlot(before: SlotRecord | undefined, after: SlotRecord | undefined): string | undefined {
    const named = after ?? before
    if (named === undefined) return undefined
    const name = `${named.unit}/${named.slot}`
    const wrong =
      this.#wrongWork(before, after) ??
      wrongGeneration(before, after) ??
      this.#givenAway(before, after)
    if (wrong !== undefined) return `${name}: ${wrong}`
    const { claim } = after ?? {}
    if (after === undefined || claim === undefined || claim === before?.claim) return undefined
    const lease = this.#read<LeaseRecord>(leaseKey(after.machineId))
    if (lease?.epoch === claim && lease.status === 'held') return undefined
    return `${name}: claimed by ${after.machineId} under ${claim}, its lease is ${text(lease)}`
  }

  /** A slot and the work of its machines are the same, at the same revision. */
  #wrongWork(before: SlotRecord | undefined, after: SlotRecord | undefined): string | undefined {
    const { store } = this.#fleet
    const { unit = '', slot = 0 } = after ?? before ?? {}
    const work = (machineId: string) => store.read(`${workPrefix(machineId)}${unit}/${slot}`)
    const stored = store.read(slotKey(unit, slot))
    const machines = machinesOf(after)
    for (const id of machines) {
      if (work(id)?.revision !== stored?.revision) return `${id} is not told of it in the same txn`
    }
    for (const id of machinesOf(before)) {
      if (!machines.includes(id) && work(id) !== undefined) return `${id} still has it as its work`
    }
    return undefined
  }

  /** Only after a break, a stop, a leave. */
  #givenAway(before: SlotRecord | undefined, after: SlotRecord | undefined): string | undefined {
    if (before?.claim === undefined || after?.claim === before.claim) return undefined
    const { machineId, claim, unit, slot } = before
    if (isVoid(this.#read<LeaseRecord>(leaseKey(machineId)), claim)) return undefined
    const running = this.#running(machineId, (each) => each.unit === unit && each.slot === slot)
    if (running.length === 0) return undefined
    return `taken from ${machineId}, which runs it under a lease that holds`
  }

  #wrongLease(
    machineId: string,
    before: LeaseRecord | undefined,
    after: LeaseRecord | undefined,
  ): string | undefined {
    if (after === undefined || before === undefined) return undefined
    if (after.epoch < before.epoch) return `the epoch of ${machineId} falls to ${after.epoch}`
    if (after.status === 'held' || this.#fleet.machine(machineId)?.isFrozen === true)
      return undefined
    const [running] = this.#running(machineId, ({ epoch }) => epoch === after.epoch)
    if (running === undefined) return undefined
    const name = `${running.unit}/${running.slot}`
    return `the lease of ${machineId} is ${after.status}, and ${name} runs under it`
  }

  #running(machineId: string, which: (process: SimProcess) => boolean): readonly SimProcess[] {
    const table = this.#fleet.machine(machineId)?.table
    if (table === undefined) return []
    return [...table.processes.values()].filter((each) => table.isRunning(each) && which(each))
  }
}

/** It grows with each place and each claim, and is never forgotten of what must not run twice. */
function wrongGeneration(
  before: SlotRecord | undefined,
  after: SlotRecord | undefined,
): string | undefined {
  if (before === undefined) return undefined
  if (after === undefined) return before.exclusive ? 'its generation is forgotten' : undefined
  const isNew =
    (after.machineId !== '' && after.machineId !== before.machineId) ||
    (after.claim !== undefined && after.claim !== before.claim)
  if (after.generation > before.generation) return undefined
  if (after.generation === before.generation && !isNew) return undefined
  return `generation ${after.generation} after ${before.generation} on ${after.machineId}`
}

function parse<T>(json: string | undefined): T | undefined {
  return json === undefined ? undefined : (JSON.parse(json) as T)
}

function text(lease: LeaseRecord | undefined): string {
  return lease === undefined ? 'not there' : `${lease.status} under ${lease.epoch}`
}
