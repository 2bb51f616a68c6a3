/**
 * What becomes of an instance that gives way to one of a higher priority, pure: it ends where it
 * is, and is placed again where there is room. Who takes its place starts while it ends: both are
 * there for as long as that takes.
 */
import type { SeenSlot } from './control-view.ts'
import type { SlotChange } from './plan-slot.ts'
import type { SlotRecord } from './records.ts'

/** Undefined when it is leaving that machine already. */
export function giveWay(
  before: SeenSlot,
  machineId: string,
  reason: string,
  wallMs: number,
): SlotChange | undefined {
  const { next, ...record } = before.record
  const change = (after: SlotRecord | undefined): SlotChange => {
    return { kind: 'slot', slot: record.slot, before, after, reason }
  }
  if (next?.machineId === machineId) return change(record)
  if (record.machineId !== machineId || record.wish === 'stop') return undefined
  if (record.exclusive) return change({ ...record, wish: 'stop', why: reason, atMs: wallMs })
  // It goes on in its second place, which may not be ready yet.
  return change(next === undefined ? undefined : { ...record, ...next, why: reason })
}
