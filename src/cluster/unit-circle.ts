/**
 * A new text may close a circle of units that are each to be started after the one before: none of
 * them could ever be. So it is refused when it is given. Two texts that are given at once can still
 * close one; then the leader says so of the units that wait.
 */
import { HolonError } from '../base/errors.ts'
import type { SignalOptions } from '../state/port.ts'
import type { FleetUnits } from './fleet-units.ts'
import { DependencyGraph } from './reconcile/dependency-graph.ts'
import { circleText } from './reconcile/plan-dependencies.ts'
import type { SpecRecord } from './reconcile/records.ts'
import { unitFacts } from './reconcile/unit-facts.ts'

type Named = ReturnType<typeof unitFacts>['dependencies']

/** `invalid_argument` with the circle. Reads the texts of all units if the new one has an order. */
export async function requireNoCircle(
  { texts, verbs }: Pick<FleetUnits, 'texts' | 'verbs'>,
  unit: string,
  dependencies: Named,
  { signal }: SignalOptions,
): Promise<void> {
  if (!dependencies.some(({ directive }) => directive === 'After' || directive === 'Before')) return
  const graph = new DependencyGraph()
  graph.set(unit, dependencies)
  const others = (await verbs.units({ signal })).filter((spec) => spec.unit !== unit)
  const dependenciesOf = async ({ unit: other, spec }: SpecRecord): Promise<Named> => {
    try {
      return unitFacts(other, await texts.get(other, spec, signal)).dependencies
    } catch (error) {
      // A text that cannot be read any more orders nothing; the state must answer all the same.
      if (error instanceof HolonError && error.code === 'unavailable') throw error
      signal.throwIfAborted()
      return []
    }
  }
  for (const other of others) graph.set(other.unit, await dependenciesOf(other))
  const circle = graph.cycle(unit)
  if (circle !== undefined) {
    throw new HolonError('invalid_argument', `load ${unit}: ${circleText(circle)}`)
  }
}
