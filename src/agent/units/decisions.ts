/**
 * The decisions of one unit: a bounded list, written to State together with how far the keepers'
 * events are in it, so that after a crash of the agent each event is told exactly once.
 *
 * Writes are gathered: a service that restarts ten times a second costs two writes a second. What a
 * crash takes with it is read again from the keepers' own event files.
 */
import type { Clock, Timer } from '../../base/clock.ts'
import { limits } from '../../base/limits.ts'
import type { Decision } from '../../kernel/decisions.ts'
import type { DecisionRecord } from './records.ts'

const flushDelayMs = 500

export interface DecisionJournalDeps {
  readonly clock: Clock
  readonly machine: string
  /**
   * Writes the record; failures are the writer's to report, the journal tries again at the next.
   */
  readonly write: (record: DecisionRecord) => Promise<void>
}

export class DecisionJournal {
  readonly #deps: DecisionJournalDeps
  #decisions: Decision[]
  #seen: Record<string, number>
  #timer: Timer | undefined

  constructor(deps: DecisionJournalDeps, record: DecisionRecord) {
    this.#deps = deps
    this.#decisions = [...record.decisions]
    this.#seen = { ...record.seen }
  }

  /** Oldest first. */
  list(): readonly Decision[] {
    return this.#decisions
  }

  /** The number of the last event of that job that is in the journal; 0 for none. */
  seen(job: string): number {
    return this.#seen[job] ?? 0
  }

  add(what: string, why: string, options: { instance?: string; atMs?: number } = {}): void {
    this.#decisions.push({
      atMs: options.atMs ?? this.#deps.clock.wallMs(),
      machine: this.#deps.machine,
      ...(options.instance === undefined ? {} : { instance: options.instance }),
      what,
      why,
    })
    if (this.#decisions.length > limits.decisionsMax) {
      this.#decisions = this.#decisions.slice(-limits.decisionsMax)
    }
    this.#arm()
  }

  /** Notes that the job's events up to `seq` are in the journal. */
  markSeen(job: string, seq: number): void {
    this.#seen[job] = seq
    this.#arm()
  }

  /** The job is gone and with it the numbering of its events. */
  forgetJob(job: string): void {
    delete this.#seen[job]
    this.#arm()
  }

  /** Writes what is not written yet. */
  async flush(): Promise<void> {
    if (this.#timer === undefined) return
    this.#timer[Symbol.dispose]()
    this.#timer = undefined
    await this.#deps.write({ decisions: this.#decisions, seen: this.#seen })
  }

  #arm(): void {
    this.#timer ??= this.#deps.clock.timer(flushDelayMs, () => void this.flush(), {
      background: true,
    })
  }
}
