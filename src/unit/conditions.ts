/**
 * Conditions and assertions of [Unit]: which of their lines a machine meets. Pure: what must be
 * known of the machine is asked of `ConditionFacts`. A unit with an unmet condition is skipped
 * there, with an unmet assertion its start fails; to placement both are machines that do not fit.
 */
import { type ConditionFacts, conditionTests } from './condition-tests.ts'
import type { MachineCondition } from './placement-rules.ts'
import { expandSpecifiers } from './specifiers.ts'
import { bad, ok, type Parsed } from './values.ts'

export type { ConditionFacts, PathTest } from './condition-tests.ts'

/** `which`: the lines, as "ConditionPathExists=!/etc/off", or several of which none holds. */
export type ConditionVerdict =
  | { readonly kind: 'met' }
  | { readonly kind: 'unmet'; readonly which: string; readonly assertion: boolean }

const prefix = /^(Condition|Assert)/

/** One line's value with its marks, or why it is refused. */
export function readCondition(name: string, text: string): Parsed<MachineCondition> {
  const [, bar = '', not = '', value = ''] = /^(\|?)[ \t]*(!?)[ \t]*(.*)$/s.exec(text) ?? []
  const wrong = conditionTests[name.replace(prefix, '')]?.problem(value)
  if (value === '') return bad(`${JSON.stringify(text)} says nothing to test`)
  // What a specifier becomes is known where the unit starts; a bad value is not met there.
  if (wrong !== undefined && !/%[A-Za-z%]/.test(value)) return bad(wrong)
  return ok({ name, value, negated: not !== '', triggering: bar !== '' })
}

/** `unavailable` when this machine has no value for a specifier. */
export function evaluateConditions(
  conditions: readonly MachineCondition[],
  facts: ConditionFacts,
): ConditionVerdict {
  const assertions = conditions.filter(({ name }) => name.startsWith('Assert'))
  const others = conditions.filter(({ name }) => !name.startsWith('Assert'))
  // In systemd's order: an unmet condition skips before an assertion can fail.
  for (const [list, assertion] of [[others, false] as const, [assertions, true] as const]) {
    const which = firstUnmet(list, facts)
    if (which !== undefined) return { kind: 'unmet', which, assertion }
  }
  return { kind: 'met' }
}

function firstUnmet(
  conditions: readonly MachineCondition[],
  facts: ConditionFacts,
): string | undefined {
  const unmet = conditions.find((each) => !each.triggering && !holds(each, facts))
  if (unmet !== undefined) return lineOf(unmet, facts)
  const triggers = conditions.filter(({ triggering }) => triggering)
  if (triggers.length === 0 || triggers.some((each) => holds(each, facts))) return undefined
  return triggers.map((each) => lineOf(each, facts)).join(' or ')
}

function holds({ name, value, negated }: MachineCondition, facts: ConditionFacts): boolean {
  const test = conditionTests[name.replace(prefix, '')]
  const expanded = expandSpecifiers(value, facts.specifiers)
  if (test === undefined || test.problem(expanded) !== undefined) return false
  return test.holds(expanded, facts) !== negated
}

function lineOf({ name, value, negated, triggering }: MachineCondition, facts: ConditionFacts) {
  const marks = `${triggering ? '|' : ''}${negated ? '!' : ''}`
  return `${name}=${marks}${expandSpecifiers(value, facts.specifiers)}`
}
