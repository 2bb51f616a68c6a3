/**
 * Reads what comes page by page (a log, events) over a link that may have to be made anew: with
 * `follow` the agent may be away for any time; it is waited for, and told of once.
 */
import { deadline, sleep } from '../../base/clock.ts'
import { HolonError } from '../../base/errors.ts'
import type { System } from '../../kernel/kernel.ts'
import type { CallOptions } from '../../kernel/types.ts'
import type { CliContext } from './context.ts'

export type ReadPage<Query, Page> = (query: Query, options: CallOptions) => Promise<Page>

/**
 * How long the agent may hold a call open that follows; it answers at once when there is something.
 */
export const followWaitMs = 20_000
const callMarginMs = 10_000
const retryFirstMs = 100
const retryMaxMs = 2_000

export class PageReader<Query extends { readonly waitMs?: number }, Page>
  implements AsyncDisposable
{
  readonly #context: CliContext
  readonly #find: (system: System, signal: AbortSignal) => Promise<ReadPage<Query, Page>>
  readonly #links: AsyncDisposable[] = []
  #readPage: Promise<ReadPage<Query, Page>> | undefined
  /** Once it has answered, an agent that does not is waited for. */
  #answered = false

  /** `find` is called for each link; it must not resolve with a remote object itself. */
  constructor(
    context: CliContext,
    find: (system: System, signal: AbortSignal) => Promise<ReadPage<Query, Page>>,
  ) {
    this.#context = context
    this.#find = find
  }

  async read(query: Query, { follow }: { readonly follow: boolean }): Promise<Page> {
    const { clock, stderr } = this.#context
    let retryMs = retryFirstMs
    for (;;) {
      try {
        const page = await this.#call(query)
        this.#answered = true
        if (retryMs > retryFirstMs) stderr.write('holon: the agent answers again\n')
        return page
      } catch (error) {
        if (!follow || !this.#answered || !isAway(error)) throw error
        if (retryMs === retryFirstMs) {
          stderr.write('holon: the agent does not answer; waiting for it\n')
        }
        this.#readPage = undefined
        await sleep(clock, retryMs, new AbortController().signal)
        retryMs = Math.min(2 * retryMs, retryMaxMs)
        await this.#reconnect()
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#links.splice(0).map((link) => link[Symbol.asyncDispose]()))
  }

  async #call(query: Query): Promise<Page> {
    const { clock } = this.#context
    using limit =
      query.waitMs === undefined
        ? this.#context.deadline()
        : deadline(clock, query.waitMs + callMarginMs)
    this.#readPage ??= this.#context.system().then((system) => this.#find(system, limit.signal))
    const readPage = await this.#readPage
    return await readPage(query, limit)
  }

  /** The context's own link stays broken once it is: make one of our own. */
  async #reconnect(): Promise<void> {
    await this[Symbol.asyncDispose]().catch(() => {})
    using limit = this.#context.deadline()
    const found = this.#context.connectAnew(limit.signal).then((link) => {
      this.#links.push(link)
      return this.#find(link.system, limit.signal)
    })
    this.#readPage = found
    // The next call meets the failure; unheard it would end the process.
    await found.catch(() => {})
  }
}

/** No agent, a broken link, or one that was too slow; all of them pass. */
function isAway(error: unknown): boolean {
  return error instanceof HolonError && (error.retryable || error.code === 'cancelled')
}
