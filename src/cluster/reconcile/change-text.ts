/** What a leader did, in a few words: for the record of decisions. */
import type { SlotChange } from './plan-slot.ts'

export function changeText({ before, after }: SlotChange, nameOf: (id: string) => string): string {
  if (after === undefined) return 'remove'
  if (after.wish === 'stop') return 'ask back'
  if (after.ended !== undefined) return after.ended.result === 'success' ? 'ended' : 'failed'
  if (after.next !== undefined && before?.record.next === undefined) {
    return `start a second one on ${nameOf(after.next.machineId)}`
  }
  return before?.record.machineId === after.machineId
    ? 'change'
    : `place on ${nameOf(after.machineId)}`
}
