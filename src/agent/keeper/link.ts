/**
 * The agent's line to one keeper: what it says comes as typed states and events, commands go back,
 * and its end or loss is noticed. One interface over the two keepers, chosen by what the job's
 * directory holds.
 *
 * Promises of a link: events come in the order of their numbers, each once; a state is given to the
 * observer before `ended` resolves; `ended` resolves once, unless the link is disposed first.
 */
import type { Clock } from '../../base/clock.ts'
import { exists, joinPath } from '../../io/files.ts'
import type { CallOptions } from '../../kernel/types.ts'
import { type JobLink, type JobObserver, JobRecord } from './job-record.ts'
import { ShLink } from './sh-link.ts'
import { openSocketLink } from './socket-link.ts'

export type { JobEnd, JobLink, JobObserver } from './job-record.ts'

export interface LinkDeps {
  readonly clock: Clock
}

/**
 * Opens the job in `dir`, running or not. `unavailable` when its keeper does not answer in time; a
 * keeper that is gone is no error: `ended` tells at once.
 */
export async function openJob(
  deps: LinkDeps,
  dir: string,
  observer: JobObserver,
  options: CallOptions,
): Promise<JobLink> {
  const record = new JobRecord(dir, observer)
  if (exists(joinPath(dir, 'ctl'))) return new ShLink(deps, record)
  return await openSocketLink(deps, record, options)
}
