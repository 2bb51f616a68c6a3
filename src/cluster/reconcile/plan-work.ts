/**
 * What this machine does about the work it was given, pure: what it should run and what it runs
 * give the steps from one to the other. An instance that ended by itself stays ended until it is
 * given another generation: whether a program is restarted its keeper has decided already.
 */
import type { HostedInstance } from './host.ts'
import type { SlotRecord, Stored } from './records.ts'

export interface WorkStep {
  /** `claim` and `release` are txns on the slot, the others are done here. */
  readonly kind: 'start' | 'stop' | 'claim' | 'release'
  readonly unit: string
  readonly slot: number
  readonly reason: string
}

export interface WorkView {
  readonly machineId: string
  readonly work: readonly Stored<SlotRecord>[]
  readonly instances: readonly HostedInstance[]
  /** Of the lease, while it is held. */
  readonly epoch: number | undefined
}

export const workName = (unit: string, slot: number) => `${unit}/${slot}`

/** What of a slot is meant for this machine. */
export function placeOf(slot: SlotRecord, machineId: string): { generation: number; spec: number } {
  return slot.machineId !== machineId && slot.next?.machineId === machineId ? slot.next : slot
}

/** At most one step for each slot; the next one follows when it is done. */
export function planWork(view: WorkView): readonly WorkStep[] {
  const steps: WorkStep[] = []
  const present = new Map(view.instances.map((each) => [workName(each.unit, each.slot), each]))
  for (const { record } of view.work) {
    const name = workName(record.unit, record.slot)
    const instance = present.get(name)
    present.delete(name)
    const step = slotStep(record, instance, view)
    if (step !== undefined) steps.push({ ...step, unit: record.unit, slot: record.slot })
  }
  for (const { unit, slot } of present.values()) {
    steps.push({ kind: 'stop', unit, slot, reason: 'it does not belong here any more' })
  }
  return steps
}

type Step = Omit<WorkStep, 'unit' | 'slot'>

function slotStep(
  record: SlotRecord,
  instance: HostedInstance | undefined,
  view: WorkView,
): Step | undefined {
  if (instance?.phase === 'stopped') return { kind: 'stop', reason: 'what is left is cleared' }
  if (record.ended !== undefined && record.wish === 'run') return endedStep(record, instance)
  return record.exclusive
    ? exclusiveStep(record, instance, view)
    : availableStep(record, instance, view)
}

/** What is left of it stays to be looked at. */
function endedStep(record: SlotRecord, instance: HostedInstance | undefined): Step | undefined {
  if (instance !== undefined && instance.generation !== record.generation) {
    return { kind: 'stop', reason: 'it has ended elsewhere' }
  }
  return record.claim === undefined ? undefined : { kind: 'release', reason: 'it has ended' }
}

function availableStep(
  record: SlotRecord,
  instance: HostedInstance | undefined,
  { machineId }: WorkView,
): Step | undefined {
  if (record.wish === 'stop') {
    return instance && { kind: 'stop', reason: 'it is not wanted any more' }
  }
  return runStep(placeOf(record, machineId), instance)
}

function exclusiveStep(
  record: SlotRecord,
  instance: HostedInstance | undefined,
  { epoch }: WorkView,
): Step | undefined {
  if (record.wish === 'stop') {
    if (instance !== undefined) return { kind: 'stop', reason: 'it is not wanted any more' }
    return record.claim === undefined ? undefined : { kind: 'release', reason: 'it is stopped' }
  }
  if (epoch === undefined) return undefined
  if (record.claim === epoch) return runStep(record, instance)
  // What ran under an earlier claim was stopped with the lease; what ended then is cleared.
  if (instance !== undefined) return { kind: 'stop', reason: 'its claim is void' }
  return { kind: 'claim', reason: 'it was given to this machine' }
}

function runStep(
  { generation, spec }: { readonly generation: number; readonly spec: number },
  instance: HostedInstance | undefined,
): Step | undefined {
  if (instance === undefined) return { kind: 'start', reason: 'it was given to this machine' }
  if (instance.spec !== spec) return { kind: 'stop', reason: 'its unit file changed' }
  if (instance.generation !== generation) return { kind: 'stop', reason: 'it is to start again' }
  return undefined
}
