/** A prefix of State, followed for as long as somebody lives. */
import { type Clock, sleep } from '../base/clock.ts'
import { asHolonError } from '../base/errors.ts'
import { follow, type View } from './commit.ts'
import type { State } from './port.ts'

export interface FollowDeps {
  readonly clock: Clock
  readonly state: State
  readonly report: (message: string) => void
}

const firstRetryMs = 200
const retryMaxMs = 2_000

/**
 * Until `signal`: `take` is given each view, in order, as `follow` makes them. What fails (a view that
 * is not understood, too) is reported once, beginning with `what`, and all begins anew after a pause.
 */
export async function keepFollowing(
  { clock, state, report }: FollowDeps,
  { prefix, what }: { readonly prefix: string; readonly what: string },
  take: (view: View) => void | Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  let said = ''
  let retryMs = firstRetryMs
  while (!signal.aborted) {
    try {
      for await (const view of follow(clock, state, prefix, { signal })) {
        await take(view)
        said = ''
        retryMs = firstRetryMs
      }
    } catch (error) {
      if (signal.aborted) return
      const { message } = asHolonError(error)
      if (message !== said) report(`${what}: ${message}`)
      said = message
    }
    await sleep(clock, retryMs, signal).catch(() => {})
    retryMs = Math.min(2 * retryMs, retryMaxMs)
  }
}
