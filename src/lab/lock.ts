/** One command at a time changes a lab; a second one waits for it, not for ever. */
import { type Clock, deadline, sleep } from '../base/clock.ts'
import { HolonError } from '../base/errors.ts'
import { tryExclusive } from '../io/exclusive.ts'

const waitTimeoutMs = 120_000
const pollMs = 20

/** Runs `work` while nobody else on this host runs one under the same `what`. */
export async function exclusively<T>(
  clock: Clock,
  what: string,
  work: () => Promise<T>,
): Promise<T> {
  using limit = deadline(clock, waitTimeoutMs)
  for (;;) {
    const lock = await tryExclusive(`holon-lab ${what}`)
    if (lock !== undefined) {
      await using _ = lock
      return await work()
    }
    try {
      await sleep(clock, pollMs, limit.signal)
    } catch {
      throw new HolonError(
        'unavailable',
        `another command has been at work on ${what} for ${waitTimeoutMs / 1000} s; ` +
          'end it, then try again',
      )
    }
  }
}
