/**
 * The decision of one unit on one machine, pure: what is wanted and what is there give the ordered
 * tasks that lead from one to the other, each with a reason that an operator can read.
 *
 * An instance that ended stays ended until somebody asks for a start: whether a process is
 * restarted is the unit's own `Restart=`, which the keeper has already followed to its end by then.
 */

export interface DesiredUnit {
  /** Someone wants it running. */
  readonly wanted: boolean
  readonly instances: number
  /** Whether the unit's Restart= asks for another start after a keeper's death. */
  readonly restartsWhenLost: boolean
}

/** `lost`: its keeper died and took it along. `busy`: a task is under way, look again after it. */
export type InstanceCondition = 'up' | 'stopping' | 'ended' | 'lost' | 'busy'

export interface InstanceTask {
  readonly kind: 'start' | 'stop' | 'clear'
  readonly instance: number
  readonly reason: string
}

/** Instances that are not in `current` are absent. Tasks come in order of the instance number. */
export function planUnit(
  desired: DesiredUnit,
  current: ReadonlyMap<number, InstanceCondition>,
): readonly InstanceTask[] {
  const tasks: InstanceTask[] = []
  const numbers = new Set(current.keys())
  if (desired.wanted) for (let n = 1; n <= desired.instances; n++) numbers.add(n)
  for (const instance of [...numbers].sort((a, b) => a - b)) {
    const task = planInstance(desired, instance, current.get(instance))
    if (task !== undefined) tasks.push({ ...task, instance })
  }
  return tasks
}

function planInstance(
  desired: DesiredUnit,
  instance: number,
  condition: InstanceCondition | undefined,
): Omit<InstanceTask, 'instance'> | undefined {
  const wanted = desired.wanted && instance <= desired.instances
  switch (condition) {
    case undefined:
      return wanted ? { kind: 'start', reason: 'wanted and not there' } : undefined
    case 'up':
      if (wanted) return undefined
      return { kind: 'stop', reason: desired.wanted ? 'more instances than wanted' : 'not wanted' }
    case 'lost':
      if (wanted && desired.restartsWhenLost) {
        return { kind: 'start', reason: 'its keeper died and took it along' }
      }
      return undefined
    case 'ended':
      // What remains of a surplus instance is cleared, so that lists show what is wanted.
      return desired.wanted && !wanted
        ? { kind: 'clear', reason: 'more instances than wanted' }
        : undefined
    case 'stopping':
    case 'busy':
      return undefined
  }
}
