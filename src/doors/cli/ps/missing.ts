/** Says which machines did not answer: a shorter table is never printed as if it were complete. */
import type { LocalTime } from '../../../io/proc-time.ts'
import type { ProcessListing } from '../../../kernel/types.ts'
import { clockText } from './durations.ts'

/** The exit status of an answer that lacks machines. */
export const missingExitStatus = 4

/**
 * "3 of 4 machines answered; n4 did not (unavailable, last seen 14:02:11)"; undefined if all did.
 */
export function missingText(
  listing: Pick<ProcessListing, 'missing' | 'machines'>,
  localTime: (wallMs: number) => LocalTime,
): string | undefined {
  const { missing, machines } = listing
  if (missing.length === 0) return undefined
  const each = missing.map(({ machine, code, lastSeenAtMs }) => {
    const seen =
      lastSeenAtMs === undefined ? '' : `, last seen ${clockText(localTime(lastSeenAtMs))}`
    return `${machine} (${code}${seen})`
  })
  const total = machines.length + missing.length
  return `${machines.length} of ${total} machines answered; missing: ${each.join(', ')}`
}
