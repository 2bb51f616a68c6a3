/** What State holds of a unit: the wish (`units/NAME`) and the decisions (`decisions/NAME`). */
import { HolonError } from '../../base/errors.ts'
import type { Decision } from '../../kernel/decisions.ts'

/** Somebody's wish about one unit. */
export interface UnitRecord {
  readonly name: string
  readonly text: string
  readonly sourcePath?: string
  readonly loadedAtMs: number
  /** Started whenever the agent comes up on a fresh boot. */
  readonly enabled: boolean
  /** Wanted now. Holds for one boot only: after a reboot `enabled` decides. */
  readonly wanted: boolean
  readonly wantedBootId: string
}

/** A timer of this machine alone: `timers/NAME`. The wish is as of a unit. */
export interface TimerUnitRecord extends UnitRecord {
  readonly activatedAtMs: number
  /** The moment last acted on, or passed over. */
  readonly lastScheduledMs?: number
  readonly lastFiredAtMs?: number
  /** What it fired for last may not have been started yet. */
  readonly starting: boolean
}

/** An instance of a unit of the fleet that is here: `assigned/NAME/SLOT`. */
export interface AssignedRecord {
  readonly unit: string
  readonly slot: number
  readonly generation: number
  readonly spec: number
  readonly text: string
  readonly exclusive: boolean
  /** Of the lease that it was started under. */
  readonly epoch?: number
  readonly atMs: number
  /** It was asked to stop: that it ended is no end of its own. */
  readonly stopping: boolean
}

/** The last decisions of one unit, and how far each instance's events are among them. */
export interface DecisionRecord {
  readonly decisions: readonly Decision[]
  /** By job directory name: the keeper's last event that `decisions` already tells of. */
  readonly seen: Readonly<Record<string, number>>
}

export const unitPrefix = 'units/'
export const unitKey = (name: string) => `${unitPrefix}${name}`
export const timerPrefix = 'timers/'
export const timerKey = (name: string) => `${timerPrefix}${name}`
export const assignedPrefix = 'assigned/'
export const assignedKey = ({ unit, slot }: AssignedRecord) => `${assignedPrefix}${unit}/${slot}`
export const decisionPrefix = 'decisions/'
export const decisionKey = (name: string) => `${decisionPrefix}${name}`

/** `internal` when the value is none of ours: a newer version wrote it, or it is damaged. */
export function parseUnitRecord(value: unknown): UnitRecord {
  const record = value as Partial<UnitRecord> | null
  if (
    typeof record?.name !== 'string' ||
    typeof record.text !== 'string' ||
    typeof record.enabled !== 'boolean' ||
    typeof record.wanted !== 'boolean'
  ) {
    throw new HolonError('internal', 'a unit record in the state has an unknown form')
  }
  return {
    name: record.name,
    text: record.text,
    loadedAtMs: record.loadedAtMs ?? 0,
    enabled: record.enabled,
    wanted: record.wanted,
    wantedBootId: record.wantedBootId ?? '',
    ...(record.sourcePath === undefined ? {} : { sourcePath: record.sourcePath }),
  }
}

export function parseTimerRecord(value: unknown): TimerUnitRecord {
  const record = value as Partial<TimerUnitRecord> | null
  const { activatedAtMs, starting } = record ?? {}
  if (typeof activatedAtMs !== 'number' || typeof starting !== 'boolean') {
    throw new HolonError('internal', 'a record of a timer has an unknown form')
  }
  return { ...(record as TimerUnitRecord), ...parseUnitRecord(value) }
}

export function parseAssignedRecord(value: unknown): AssignedRecord {
  const record = value as AssignedRecord | null
  const isWhole =
    typeof record?.unit === 'string' &&
    typeof record.text === 'string' &&
    typeof record.slot === 'number' &&
    typeof record.generation === 'number' &&
    typeof record.spec === 'number'
  if (isWhole) return record
  throw new HolonError('internal', 'a record of an assigned instance has an unknown form')
}

export function parseDecisionRecord(value: unknown): DecisionRecord {
  const record = value as Partial<DecisionRecord> | null
  return { decisions: record?.decisions ?? [], seen: record?.seen ?? {} }
}
