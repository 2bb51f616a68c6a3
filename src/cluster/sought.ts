/** What a machine answers of something that any of them may have, and what to say of them all. */
import { HolonError } from '../base/errors.ts'
import type { MissingMachine } from '../kernel/types.ts'

export type Sought<T> =
  | { readonly kind: 'found'; readonly value: T }
  | { readonly kind: 'denied'; readonly error: HolonError }
  | { readonly kind: 'absent' }

/** That a machine does not have something, or not for this caller, is an answer, too. */
export async function sought<T>(answer: Promise<T>): Promise<Sought<T>> {
  try {
    return { kind: 'found', value: await answer }
  } catch (error) {
    if (error instanceof HolonError && error.code === 'not_found') return { kind: 'absent' }
    if (error instanceof HolonError && error.code === 'permission_denied') {
      return { kind: 'denied', error }
    }
    throw error
  }
}

/** Why there is not exactly one of what was sought. */
export function notOne(
  what: 'run' | 'unit',
  name: string,
  found: readonly { readonly machine: unknown }[],
  missing: readonly MissingMachine[],
): HolonError {
  if (found.length > 1) {
    return new HolonError(
      'invalid_argument',
      `several machines have a ${what} ${name}; name one with -m`,
    )
  }
  const silent = missing.map(({ machine }) => machine).join(', ')
  const perhaps = silent === '' ? '' : ` that answers (no answer from ${silent})`
  const list = what === 'run' ? 'runs' : 'list-units'
  return new HolonError(
    'not_found',
    `there is no ${what} ${JSON.stringify(name)} on any machine${perhaps}; \`holon ${list}\` lists them`,
    { details: { missing: missing.map(({ machine }) => machine) } },
  )
}
