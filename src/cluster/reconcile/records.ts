/**
 * What the fleet agrees on about its units, in State.
 *
 *     control/spec/<unit>              what is wanted of it
 *     control/slot/<unit>/<slot>       where one instance belongs: the truth
 *     control/machine/<machine>        what an operator wants of a machine
 *     control/lease/<machine>          see lease/record.ts
 *     control/leader                   see leadership.ts
 *     work/<machine>/<unit>/<slot>     a slot again, for the machine that it concerns
 *     port/<unit>/<slot>               its machines again, for all others: it serves a public port
 *     text/<unit>/<spec>               a unit file as it was given; never changed
 *
 * All that a leader must know begins with control/: one watch tells it everything, in order.
 *
 * A slot and its work are written in one txn, always, so they have the same revision: a machine
 * follows its own work alone and can still compare and set the slot.
 */
import { HolonError } from '../../base/errors.ts'
import type { MachineIntent } from '../../kernel/types.ts'
import type { Condition, Delete, Put } from '../../state/port.ts'
import { isJsonObject, stringField } from '../fields.ts'

export const controlPrefix = 'control/'
export const specPrefix = 'control/spec/'
export const slotPrefix = 'control/slot/'
export const intentPrefix = 'control/machine/'

export const specKey = (unit: string) => `${specPrefix}${unit}`
export const textPrefix = (unit: string) => `text/${unit}/`
export const textKey = (unit: string, spec: number) => `${textPrefix(unit)}${spec}`
export const slotKey = (unit: string, slot: number) => `${slotPrefix}${unit}/${slot}`
export const intentKey = (machineId: string) => `${intentPrefix}${machineId}`
export const portPrefix = 'port/'
const portKey = (unit: string, slot: number) => `${portPrefix}${unit}/${slot}`
export const workPrefix = (machineId: string) => `work/${machineId}/`
const workKey = (machineId: string, unit: string, slot: number) =>
  `${workPrefix(machineId)}${unit}/${slot}`

/** What is wanted of a unit of the fleet. */
export interface SpecRecord {
  readonly unit: string
  /** The text that instances should run; texts are numbered from 1. */
  readonly spec: number
  /** Somebody wants it running. */
  readonly wanted: boolean
  /** As `holon enable` said. Nothing follows from it: what is wanted outlives every boot. */
  readonly enabled: boolean
  /** Set by `scale`; else the file's own `Instances=`. */
  readonly scale?: number
  readonly sourcePath?: string
  readonly changedAtMs: number
  readonly by: string
  /** The texts that were given, oldest first; the last ten. */
  readonly history: readonly GivenSpec[]
  readonly rollout?: RolloutRecord
  /** What was asked of it, while units that depend on it, or it on them, are still to be told. */
  readonly asked?: 'start' | 'stop' | 'restart'
  /** All of its instances were ready since it is wanted, and enough are. See plan-dependencies. */
  readonly up?: boolean
  /** Its last start. */
  readonly round?: RoundRecord
  /** Of a timer, since it was first started. */
  readonly timer?: TimerRecord
}

/** One start of a unit, by somebody or by a timer: what has ended in it stays so. */
export interface RoundRecord {
  /** Runs are numbered from 1. */
  readonly number: number
  readonly atMs: number
  /** "uid 0", "backup.timer". */
  readonly by: string
  /** Begun while instances of earlier ones ran, which go on. */
  readonly beside?: true
  /** When the last of its instances had ended, or the unit was stopped. */
  readonly endedAtMs?: number
}

/** What a timer has done: changed in the txn that does it. */
export interface TimerRecord {
  readonly activatedAtMs: number
  /** For calendars that name none: of the machine where it was started. */
  readonly zone: string
  /** The moment last acted on, or passed over. */
  readonly lastScheduledMs?: number
  readonly lastFiredAtMs?: number
}

export interface GivenSpec {
  readonly spec: number
  readonly atMs: number
  readonly by: string
  /** "rolled back: web.service/2 did not become ready on n3" */
  readonly note?: string
}

const historyMax = 10
/** A text is there until so many newer ones were given: instances that are cut off may have it. */
export const textsKept = 100

/** A text under the number after the newest one. What changes of the record. */
export function givenAnew(
  history: readonly GivenSpec[],
  given: Omit<GivenSpec, 'spec'>,
  newest = Math.max(0, ...history.map(({ spec }) => spec)),
) {
  return { ...givenAgain(history, { ...given, spec: newest + 1 }), by: given.by }
}

/** A text that it had before. What changes of the record. */
export function givenAgain(history: readonly GivenSpec[], given: GivenSpec) {
  const { spec, atMs: changedAtMs } = given
  const all = [...history, given]
  if (all.length <= historyMax) return { spec, changedAtMs, history: all } as const
  // The newest text never falls out: the next number follows from it.
  const newest = Math.max(...all.map((each) => each.spec))
  const oldest = all.findIndex((each) => each.spec !== newest)
  return { spec, changedAtMs, history: all.toSpliced(Math.max(0, oldest), 1) } as const
}

/** A text is written; one that is too old goes. */
export function textChanges({ unit, spec, history }: SpecRecord, value: string): (Put | Delete)[] {
  const put = { kind: 'put', key: textKey(unit, spec), value, schema: 1 } as const
  const old = spec - textsKept
  if (old < 1 || history.some((each) => each.spec === old)) return [put]
  return [put, { kind: 'delete', key: textKey(unit, old) }]
}

/** The change from one text to another, while it goes on and after. */
export interface RolloutRecord {
  readonly from: number
  readonly to: number
  readonly status: 'going' | 'done' | 'failed'
  readonly sinceMs: number
  readonly why?: string
}

/** Where one instance of a unit belongs. */
export interface SlotRecord {
  readonly unit: string
  readonly slot: number
  /** '' when it was given back: kept for its generation. Only of exclusive ones. */
  readonly machineId: string
  /** Grows with each machine that it is given to and each claim: what is fenced refuses a lower. */
  readonly generation: number
  readonly spec: number
  /** It must not run twice: started only with a claim. */
  readonly exclusive: boolean
  /** `stop`: to be ended and given back. */
  readonly wish: 'run' | 'stop'
  /** The epoch of the machine's lease under which it was started. Only of exclusive ones. */
  readonly claim?: number
  /** A second place, which becomes the place once it is ready there. Never of exclusive ones. */
  readonly next?: NextPlace
  readonly why: string
  readonly atMs: number
  /** Where it failed lately, to be tried elsewhere first. */
  readonly failures?: readonly SlotFailure[]
  /** The round that it is part of. */
  readonly round?: number
  /** It was over by itself: it is started again by another round only. */
  readonly ended?: SlotEnd
  /** Its unit has a public port: all machines are told where it is. */
  readonly serves?: boolean
}

export interface SlotEnd {
  readonly result: 'success' | 'failed'
  readonly atMs: number
  /** "result exit-code, status 1". */
  readonly why: string
}

export interface NextPlace {
  readonly machineId: string
  readonly generation: number
  readonly spec: number
}

export interface SlotFailure {
  readonly machineId: string
  readonly atMs: number
  readonly why: string
}

/** A value with the revision that it was read or written at; 0: there is none. */
export interface Stored<T> {
  readonly record: T
  readonly revision: number
}

/** Machines that a slot gives work to. */
export function machinesOf(slot: SlotRecord | undefined): readonly string[] {
  if (slot === undefined) return []
  return [slot.machineId, slot.next?.machineId ?? ''].filter((id) => id !== '')
}

/** The change of a slot from what was read to what it should be; undefined: there is to be none. */
export function slotChange(
  before: Stored<SlotRecord> | undefined,
  after: SlotRecord | undefined,
): { readonly if: readonly Condition[]; readonly then: readonly (Put | Delete)[] } {
  const named = after ?? before?.record
  if (named === undefined) return { if: [], then: [] }
  const { unit, slot } = named
  const key = slotKey(unit, slot)
  const then: (Put | Delete)[] = []
  const put = (at: string) => then.push({ kind: 'put', key: at, value: after, schema: 1 })
  if (after === undefined) then.push({ kind: 'delete', key })
  else put(key)
  const machines = new Set(machinesOf(after))
  for (const machineId of machines) put(workKey(machineId, unit, slot))
  for (const machineId of new Set(machinesOf(before?.record))) {
    if (!machines.has(machineId)) then.push({ kind: 'delete', key: workKey(machineId, unit, slot) })
  }
  const port = portKey(unit, slot)
  if (after?.serves) then.push({ kind: 'put', key: port, value: [...machines], schema: 1 })
  else if (before?.record.serves) then.push({ kind: 'delete', key: port })
  return { if: [{ key, revision: before?.revision ?? 0 }], then }
}

/** State holds only what agents wrote: a shallow look finds what is not of this kind at all. */
export function parseSlot(value: unknown): SlotRecord {
  const isSlot =
    isJsonObject(value) &&
    typeof value['slot'] === 'number' &&
    typeof value['generation'] === 'number' &&
    stringField(value, 'unit') !== undefined &&
    stringField(value, 'machineId') !== undefined
  if (isSlot) return value as unknown as SlotRecord
  throw new HolonError('internal', `no record of a slot: ${JSON.stringify(value)}`)
}

/** Ids of machines. */
export function parsePortPlace(value: unknown): readonly string[] {
  if (Array.isArray(value) && value.every((each) => typeof each === 'string')) return value
  throw new HolonError('internal', `no place of a port: ${JSON.stringify(value)}`)
}

export function parseSpec(value: unknown): SpecRecord {
  const isSpec =
    isJsonObject(value) &&
    typeof value['spec'] === 'number' &&
    typeof value['wanted'] === 'boolean' &&
    stringField(value, 'unit') !== undefined
  if (isSpec) return value as unknown as SpecRecord
  throw new HolonError('internal', `no record of a unit: ${JSON.stringify(value)}`)
}

export function parseIntent(value: unknown): MachineIntent {
  if (isJsonObject(value)) {
    const { wish, sinceMs, by } = value
    const known = wish === 'cordoned' || wish === 'draining'
    if (known && typeof sinceMs === 'number' && typeof by === 'string') return { wish, sinceMs, by }
  }
  throw new HolonError('internal', `no intent for a machine: ${JSON.stringify(value)}`)
}
