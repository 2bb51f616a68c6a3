/**
 * A link to keeper.sh: commands go into its fifo, and what it records is read from its files, woken
 * by the kernel's file events. A poll stands behind those: it also notices a keeper that died,
 * which changes no file.
 */
import { abortError, type Clock, type Timer } from '../../base/clock.ts'
import { HolonError } from '../../base/errors.ts'
import { joinPath, watchDir } from '../../io/files.ts'
import { fifoHasReader, writeFifo } from '../../io/keeper-files.ts'
import type { CallOptions } from '../../kernel/types.ts'
import {
  commandReason,
  type JobEnd,
  type JobLink,
  type JobRecord,
  jobIsOver,
  requireSignal,
} from './job-record.ts'
import { isFinal, type JobState } from './records.ts'

const pollMs = 1000
/** Several file events belong to one change. */
const settleMs = 2

export class ShLink implements JobLink {
  readonly #clock: Clock
  readonly #record: JobRecord
  readonly #ctl: string
  readonly #ends = new DisposableStack()
  #wake: Timer | undefined

  constructor({ clock }: { readonly clock: Clock }, record: JobRecord) {
    this.#clock = clock
    this.#record = record
    this.#ctl = joinPath(record.dir, 'ctl')
    this.#ends.use(watchDir(record.dir, () => this.#soon()))
    this.#look()
    this.#poll()
  }

  get dir(): string {
    return this.#record.dir
  }

  get state(): JobState | undefined {
    return this.#record.state
  }

  get malformed(): number {
    return this.#record.malformed
  }

  get ended(): Promise<JobEnd> {
    return this.#record.ended
  }

  async stop(reason: string, { signal }: CallOptions): Promise<void> {
    if (signal.aborted) throw abortError(signal)
    if (!this.#record.finished) writeFifo(this.#ctl, `stop ${commandReason(reason)}`)
  }

  async kill(signalNumber: number | undefined, to: 'main' | 'all', { signal }: CallOptions) {
    if (signal.aborted) throw abortError(signal)
    const sent = writeFifo(this.#ctl, `kill ${requireSignal(signalNumber)} ${to}`)
    if (!sent) throw jobIsOver(this.dir)
  }

  async lease(): Promise<void> {
    throw new HolonError('unsupported', `${this.dir}: a job that a shell script keeps has no lease`)
  }

  async askState(): Promise<JobState | undefined> {
    if (!this.#record.finished) this.#look()
    return this.#record.state
  }

  [Symbol.dispose](): void {
    this.#record.release()
    this.#ends.dispose()
    this.#wake?.[Symbol.dispose]()
  }

  #soon(): void {
    if (this.#wake !== undefined || this.#record.finished) return
    this.#wake = this.#clock.timer(settleMs, () => {
      this.#wake = undefined
      if (!this.#record.finished) this.#look()
    })
  }

  #poll(): void {
    if (this.#record.finished) return
    const timer = this.#clock.timer(pollMs, () => {
      if (this.#record.finished) return
      this.#look()
      this.#poll()
    })
    this.#ends.adopt(timer, (t) => t[Symbol.dispose]())
  }

  #look(): void {
    // In this order: a keeper that ends in between has written its last state before.
    const alive = fifoHasReader(this.#ctl)
    this.#record.readFiles()
    const phase = this.#record.state?.phase
    if (alive && !(phase !== undefined && isFinal(phase))) return
    this.#record.finish()
    this.#ends.dispose()
  }
}
