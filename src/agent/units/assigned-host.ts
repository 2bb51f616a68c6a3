/** The fleet's instances on this machine, as the fleet sees the agent's units. */
import type { HeldLease } from '../../cluster/lease/holder.ts'
import type { AskedUnit } from '../../cluster/reconcile/condition-answers.ts'
import type { HostedInstance, InstanceHost, StartOrder } from '../../cluster/reconcile/host.ts'
import type { ConditionVerdict } from '../../unit/conditions.ts'
import type { Units } from './units.ts'

export class AssignedHost implements InstanceHost {
  readonly #units: Units

  constructor(units: Units) {
    this.#units = units
  }

  instances(): readonly HostedInstance[] {
    return this.#units.assigned().flatMap((unit) => unit.hosted())
  }

  async start(order: StartOrder, signal: AbortSignal): Promise<void> {
    await this.#units.assign(order.unit).run(order, signal)
  }

  async stop(unit: string, slot: number, why: string, signal: AbortSignal): Promise<void> {
    await this.#units.assign(unit).end(slot, why, signal)
  }

  extend(lease: HeldLease): void {
    for (const unit of this.#units.assigned()) unit.extend(lease)
  }

  checkConditions({ unit, conditions }: AskedUnit): ConditionVerdict {
    return this.#units.checkConditions(unit, conditions)
  }

  onChange(changed: () => void): void {
    this.#units.assignedChanges.listen(changed)
  }
}
