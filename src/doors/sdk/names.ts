/** Changes of names as an iteration. */
import { type Deadline, deadline } from '../../base/clock.ts'
import { limits } from '../../base/limits.ts'
import { realClock } from '../../io/clock.ts'
import type { System } from '../../kernel/kernel.ts'
import type { NameChange, NameWatch } from '../../kernel/names.ts'

export interface NameVerbs {
  /**
   * What a name means, then each change of it: `for await (const {added, removed} of …)`. A name
   * that does not exist yet is waited for. Ends by its signal, or when the loop is left; throws
   * `unavailable` when the agent goes away: then watch again, and have everything as `added`.
   */
  watch(name: string, options?: { readonly signal?: AbortSignal }): AsyncIterable<NameChange>
}

const marginMs = 10_000

export async function* watchName(
  system: System,
  name: string,
  limit: (ms?: number) => Deadline,
  signal?: AbortSignal,
): AsyncGenerator<NameChange> {
  const watch = await begin(system, name, limit)
  try {
    for (let isFirst = true; ; isFirst = false) {
      const change = await next(watch, signal)
      const { added, changed, removed, resolution } = change
      const isChange = added.length + changed.length + removed.length > 0
      const isNowhere = resolution === undefined || resolution.places.length === 0
      if (isChange || (isFirst && isNowhere)) yield change
    }
  } finally {
    watch[Symbol.dispose]()
  }
}

async function begin(
  system: System,
  name: string,
  limit: (ms?: number) => Deadline,
): Promise<NameWatch> {
  using bound = limit()
  return await system.watchName(name, bound)
}

async function next(watch: NameWatch, signal: AbortSignal | undefined): Promise<NameChange> {
  using bound = deadline(realClock, limits.namePollMs + marginMs, signal)
  return await watch.next(bound)
}
