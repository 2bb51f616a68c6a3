/** Asks before what cannot be undone: on a terminal by a question, without one by an option. */
import { once } from 'node:events'
import { HolonError } from '../../base/errors.ts'
import type { CliContext } from './context.ts'

/**
 * Resolves when the answer is yes. `cancelled`, exit status 1, when it is not; `invalid_argument`
 * where nobody can be asked and `yes` was not given.
 */
export async function confirm(
  context: CliContext,
  question: string,
  yes: boolean | undefined,
): Promise<void> {
  if (yes === true) return
  const { stdin, stderr } = context
  if (stdin.isTTY !== true || stderr.isTTY !== true) {
    throw new HolonError('invalid_argument', `${question} Say --yes: there is nobody to ask here`)
  }
  stderr.write(`${question} [y/N] `)
  // The terminal gives whole lines; its end is a no.
  const [answer] = await Promise.race([once(stdin, 'data'), once(stdin, 'end')])
  stdin.pause()
  if (/^y(es)?$/i.test(String(answer ?? '').trim())) return
  throw new HolonError('cancelled', 'nothing was done', { details: { exitStatus: 1 } })
}
