/**
 * Bringing a changed unit out, pure: some instances at a time, each ready before the next goes, and
 * back to the old text when one does not become ready. What is not ready anyway goes first. Where
 * stopping one would leave too few, the new one is started in another place before.
 */
import type { SeenSlot } from './control-view.ts'
import { change, prepareNext, type SlotOutcome, wait } from './plan-slot.ts'
import { givenAgain, type RolloutRecord, type SpecRecord } from './records.ts'
import type { UnitView } from './unit-view.ts'

const turnComes = 'its turn in the rollout comes when others are ready'

export interface RolloutPlan {
  readonly slots: readonly SlotOutcome[]
  readonly spec?: {
    readonly kind: 'spec'
    readonly after: SpecRecord
    readonly what: string
    readonly reason: string
  }
}

const nothing: RolloutPlan = { slots: [] }

/** `taken`: slots about which something else is decided in this pass. */
export function planRollout(view: UnitView, taken: ReadonlySet<number>): RolloutPlan {
  const { spec, slots } = view.input
  if (spec === undefined || !spec.record.wanted) return nothing
  const { record } = spec
  const { rollout } = record
  const running = [...slots.values()].filter(
    ({ record: { machineId, wish, ended } }) =>
      machineId !== '' && wish === 'run' && ended === undefined,
  )
  const outdated = running.filter((seen) => seen.record.spec !== record.spec)
  const [first] = outdated
  if (first !== undefined && rollout?.to !== record.spec) {
    const { wallMs: sinceMs } = view.context
    const from = textToGoBackTo(rollout, outdated)
    const begun = { from, to: record.spec, status: 'going', sinceMs } as const
    return withRollout(record, begun, 'the unit changed')
  }
  if (rollout === undefined || rollout.to !== record.spec) return nothing
  if (first === undefined && rollout.status !== 'going') return nothing
  const updated = running.filter((seen) => isUpdated(seen, record.spec))
  const bad = rollout.status === 'going' ? firstBad(view, updated) : undefined
  if (bad !== undefined) return rollBack(view, record, rollout, bad)
  const underWay = updated.filter((seen) => !view.isSettled(seen, placeOfUpdate(seen))).length
  if (first !== undefined) {
    const free = outdated.filter((seen) => !isUpdated(seen, record.spec))
    const waiting = free.filter((seen) => !taken.has(seen.record.slot))
    return { slots: advance(view, record, rollout, waiting, view.step - underWay) }
  }
  if (underWay > 0) return nothing
  return withRollout(record, { ...rollout, status: 'done' }, 'every instance has the new text')
}

/** What ran before a change that is under way, or was taken back; else the newest that runs. */
function textToGoBackTo(rollout: RolloutRecord | undefined, outdated: readonly SeenSlot[]): number {
  if (rollout?.status === 'going') return rollout.from
  const texts = outdated.map(({ record }) => record.spec)
  if (rollout?.status === 'failed' && texts.includes(rollout.to)) return rollout.to
  return Math.max(...texts)
}

function isUpdated({ record }: SeenSlot, spec: number): boolean {
  return record.spec === spec || record.next?.spec === spec
}

function placeOfUpdate({ record }: SeenSlot): string {
  return record.next?.machineId ?? record.machineId
}

/** Why the new text is no good: one instance that cannot be had ready with it. */
function firstBad(view: UnitView, updated: readonly SeenSlot[]): string | undefined {
  const { context, input } = view
  for (const seen of updated) {
    const machineId = placeOfUpdate(seen)
    const isKnown = context.hasReported(machineId) && context.presence(machineId) === 'up'
    if (!isKnown || view.isSettled(seen, machineId)) continue
    const { unit, slot } = seen.record
    const where = `${unit}/${slot} on ${context.nameOf(machineId)}`
    const hosted = view.hosted(seen, machineId)
    if (hosted?.phase === 'failed' || hosted?.phase === 'refused') return `${where}: ${hosted.why}`
    if (context.nowMs - seen.firstSeenMs > input.readyTimeoutMs) {
      return `${where} did not become ready in time`
    }
  }
  return undefined
}

function rollBack(
  { context }: UnitView,
  record: SpecRecord,
  { from, to }: RolloutRecord,
  why: string,
): RolloutPlan {
  const { wallMs: atMs } = context
  const note = `rolled back from ${to}: ${why}`
  const given = givenAgain(record.history, { spec: from, atMs, by: 'holon', note })
  const rollout = { from: to, to: from, status: 'failed', sinceMs: atMs, why } as const
  const after = { ...record, ...given, rollout }
  return { slots: [], spec: { kind: 'spec', after, what: rolloutText(rollout), reason: note } }
}

function advance(
  view: UnitView,
  { spec: to }: SpecRecord,
  { status }: RolloutRecord,
  outdated: readonly SeenSlot[],
  roomAtFirst: number,
): readonly SlotOutcome[] {
  // What is not up anyway costs nothing; after a failure it is what must be mended first.
  const ready = outdated.filter((seen) => view.isReady(seen))
  const inOrder = [...outdated.filter((seen) => !view.isReady(seen)), ...ready]
  const reason = status === 'failed' ? 'the change is taken back' : 'its unit changed'
  let room = roomAtFirst
  return inOrder.map((seen) => {
    const { record } = seen
    const isMended = status === 'failed' && !view.isReady(seen)
    if (room <= 0 && !isMended) return wait(record.slot, turnComes)
    room -= 1
    if (!view.mayEnd(seen, record.exclusive)) {
      return record.exclusive ? wait(record.slot, turnComes) : prepareNext(view, seen, reason)
    }
    return change(view, seen, { ...record, spec: to, generation: record.generation + 1 }, reason)
  })
}

function withRollout(record: SpecRecord, rollout: RolloutRecord, reason: string): RolloutPlan {
  const after = { ...record, rollout }
  return { slots: [], spec: { kind: 'spec', after, what: rolloutText(rollout), reason } }
}

function rolloutText({ to, status }: RolloutRecord): string {
  return `rollout to ${to}: ${status}`
}
