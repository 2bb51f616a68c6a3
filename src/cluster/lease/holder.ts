/**
 * This machine's lease. While it is held, instances that must not run twice may run here.
 *
 * Rules, each found necessary by simulation (docs/leases.md):
 * - The time is noted before a renewal is sent, and only an acknowledged renewal extends the lease,
 *   to that time plus `holdMs`.
 * - Time is the larger of what the boot clock and the wall clock say has passed.
 * - When the time is over, or a renewal conflicts, everything is stopped, whoever can be reached;
 *   only then the machine registers anew, under a new epoch.
 * - A claim and a renewal never overlap: a claim's condition is the last acknowledged revision.
 *
 * When this machine dies in the middle, its keepers stop the instances by the time they were given.
 */
import { type Clock, deadline, sleep, type Timer } from '../../base/clock.ts'
import { asHolonError } from '../../base/errors.ts'
import type { Random } from '../../base/random.ts'
import { commit, type Definite, newOperationId } from '../../state/commit.ts'
import type { Condition, Delete, Entry, Put, State } from '../../state/port.ts'
import { type LeaseRecord, leaseKey, parseLease } from './record.ts'
import { elapsedMs, leaseTimes, type Moment, momentNow } from './times.ts'

export interface LeaseHolderDeps {
  readonly clock: Clock
  readonly random: Random
  readonly state: State
  /** Stops every instance that needs the lease; resolves when none is left. */
  readonly stopAll: (why: string) => Promise<void>
  readonly extended: (lease: HeldLease) => void
  readonly report: (message: string) => void
}

/** What is known of the lease key: by an acknowledged write, or by reading it. */
interface Known {
  readonly record: LeaseRecord
  readonly revision: number
}

/** The right to run what must not run twice, until `until`. */
export interface HeldLease {
  readonly epoch: number
  readonly until: Moment
}

export class LeaseHolder implements Disposable {
  readonly #deps: LeaseHolderDeps
  readonly #machineId: string
  readonly #writer: string
  readonly #life = new AbortController()
  #known: Known | undefined
  #since: Moment | undefined
  #wanted = false
  #timer: Timer | undefined
  #wake: (() => void) | undefined
  #turn: Promise<unknown> = Promise.resolve()
  #stopping: Promise<void> | undefined

  constructor(deps: LeaseHolderDeps, machineId: string, writer: string) {
    this.#deps = deps
    this.#machineId = machineId
    this.#writer = writer
  }

  start(): void {
    void this.#run()
  }

  [Symbol.dispose](): void {
    this.#life.abort()
    this.#timer?.[Symbol.dispose]()
    this.#wake?.()
  }

  /** Whether there is anything here that needs the lease; without it is given back. */
  want(wanted: boolean): void {
    if (this.#wanted === wanted) return
    this.#wanted = wanted
    this.#wake?.()
  }

  /** Undefined when nothing may be started under it now. */
  get held(): HeldLease | undefined {
    const { clock } = this.#deps
    if (this.#since === undefined || this.#known === undefined) return undefined
    if (this.#stopping !== undefined || elapsedMs(clock, this.#since) >= leaseTimes.holdMs) {
      return undefined
    }
    return { epoch: this.#known.record.epoch, until: untilOf(this.#since) }
  }

  /**
   * A txn that holds only while the lease is this machine's, under the epoch that `change` is
   * given. Undefined when the lease is not held. Whether to start what was claimed is to be asked
   * of `held` again: the answer may have come late.
   */
  async claim(
    change: (epoch: number) => {
      readonly if: readonly Condition[]
      readonly then: readonly (Put | Delete)[]
    },
    signal: AbortSignal,
  ): Promise<Definite | undefined> {
    return this.#inTurn(async () => {
      if (this.held === undefined || this.#known === undefined) return undefined
      const { record, revision } = this.#known
      const { if: conditions, then } = change(record.epoch)
      const lease = { key: leaseKey(this.#machineId), revision }
      // Renewals wait for their turn meanwhile.
      using limit = deadline(this.#deps.clock, 2 * leaseTimes.renewMs, signal)
      return await this.#commit([...conditions, lease], then, limit.signal)
    })
  }

  async #run(): Promise<void> {
    const { clock, report } = this.#deps
    const { signal } = this.#life
    let said = ''
    while (!signal.aborted) {
      const began = clock.nowMs()
      try {
        await this.#inTurn(() => this.#step(signal))
        said = ''
      } catch (error) {
        if (signal.aborted) return
        const { message } = asHolonError(error)
        if (message !== said) report(`renew the lease: ${message}`)
        said = message
      }
      const pauseMs = Math.max(leaseTimes.renewMs / 4, began + leaseTimes.renewMs - clock.nowMs())
      await this.#pause(pauseMs)
    }
  }

  async #step(signal: AbortSignal): Promise<void> {
    await this.#stopping
    if (!this.#wanted) return this.#release(signal)
    if (this.#since !== undefined && this.held === undefined) await this.#lose('its time is over')
    if (this.#known === undefined || this.#since === undefined) return this.#register(signal)
    const { record, revision } = this.#known
    await this.#renew({ ...record, renewals: record.renewals + 1 }, revision, signal)
  }

  /** Takes up the lease as it stands in the state: anew, unless it still is this machine's own. */
  async #register(signal: AbortSignal): Promise<void> {
    const { clock, state } = this.#deps
    using limit = deadline(clock, leaseTimes.holdMs / 2, signal)
    const entry = await state.get(leaseKey(this.#machineId), { signal: limit.signal })
    const last = entry === undefined ? undefined : parseLease(entry.value)
    // Its own from before this agent began: what runs under it was armed to end by its time.
    const goesOn = last?.status === 'held' && this.#known === undefined
    const epoch = goesOn ? last.epoch : (last?.epoch ?? 0) + 1
    const renewals = (last?.renewals ?? 0) + 1
    await this.#renew({ epoch, status: 'held', renewals }, entry?.revision ?? 0, signal)
  }

  async #renew(record: LeaseRecord, revision: number, signal: AbortSignal): Promise<void> {
    const sentAt = momentNow(this.#deps.clock)
    const left = this.#since === undefined ? leaseTimes.holdMs : this.#leftMs(this.#since)
    using limit = deadline(this.#deps.clock, Math.max(1, left), signal)
    const result = await this.#put(record, revision, limit.signal)
    if (result.kind === 'conflict') {
      return this.#since === undefined
        ? undefined
        : this.#lose(lostBecause(result.current[0]?.entry))
    }
    if (elapsedMs(this.#deps.clock, sentAt) >= leaseTimes.holdMs) return
    this.#known = { record, revision: result.revision }
    this.#since = sentAt
    this.#arm()
    this.#deps.extended({ epoch: record.epoch, until: untilOf(sentAt) })
  }

  async #release(signal: AbortSignal): Promise<void> {
    if (this.#known === undefined || this.#since === undefined) return
    const { record, revision } = this.#known
    this.#since = undefined
    this.#timer?.[Symbol.dispose]()
    await this.#deps.stopAll('nothing here needs the lease any more')
    using limit = deadline(this.#deps.clock, leaseTimes.holdMs, signal)
    await this.#put({ ...record, status: 'released' }, revision, limit.signal)
  }

  #put(record: LeaseRecord, revision: number, signal: AbortSignal): Promise<Definite> {
    const key = leaseKey(this.#machineId)
    const put: Put = { kind: 'put', key, value: record, schema: 1 }
    return this.#commit([{ key, revision }], [put], signal)
  }

  #commit(
    conditions: readonly Condition[],
    then: readonly (Put | Delete)[],
    signal: AbortSignal,
  ): Promise<Definite> {
    const { clock, random, state } = this.#deps
    const operationId = newOperationId(random)
    const txn = { if: conditions, then, operationId, writer: this.#writer }
    return commit({ clock, random }, state, txn, { signal })
  }

  #leftMs(since: Moment): number {
    return leaseTimes.holdMs - elapsedMs(this.#deps.clock, since)
  }

  /** The stop at the lease's end does not wait for a turn, or for anybody's answer. */
  #arm(): void {
    this.#timer?.[Symbol.dispose]()
    const since = this.#since
    if (since === undefined) return
    const leftMs = this.#leftMs(since)
    // Looked at often: a wall clock that jumps ahead ends the lease, too.
    const lookMs = Math.max(1, Math.min(leftMs, leaseTimes.renewMs / 2))
    this.#timer = this.#deps.clock.timer(lookMs, () => {
      if (this.#since !== since) return
      if (this.#leftMs(since) <= 0) void this.#lose('its time is over')
      else this.#arm()
    })
  }

  #lose(why: string): Promise<void> {
    this.#stopping ??= this.#stop(why).finally(() => {
      this.#stopping = undefined
    })
    return this.#stopping
  }

  /** Resolves when nothing is left, or this agent ends. */
  async #stop(why: string): Promise<void> {
    const { clock, report, stopAll } = this.#deps
    const { signal } = this.#life
    this.#timer?.[Symbol.dispose]()
    report(`the lease is lost: ${why}; what must not run twice is stopped here`)
    while (!signal.aborted) {
      try {
        await stopAll(`the lease is lost: ${why}`)
        this.#since = undefined
        return
      } catch (error) {
        report(`stop what must not run twice: ${asHolonError(error).message}`)
      }
      await sleep(clock, leaseTimes.renewMs, signal).catch(() => {})
    }
  }

  /** One after another: what one acknowledged is what the next one's condition is. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work)
    this.#turn = turn.catch(() => {})
    return turn
  }

  /** Ends early when there is something to do. */
  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#deps.clock.timer(ms, resolve)
      this.#wake = () => {
        timer[Symbol.dispose]()
        resolve()
      }
    })
  }
}

function untilOf(since: Moment): Moment {
  const { holdMs } = leaseTimes
  return { bootMs: since.bootMs + holdMs, wallMs: since.wallMs + holdMs }
}

function lostBecause(entry: Entry | undefined): string {
  if (entry === undefined) return 'its record is gone'
  return `it was ${parseLease(entry.value).status} by ${entry.writer}`
}
