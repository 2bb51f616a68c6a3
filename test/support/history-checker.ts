/**
 * Judges a history of compare-and-set registers: what clients asked of a State, when, and what they
 * were told. Linearizability in general is costly to judge; here every effect has a revision, which
 * claims a total order, so it is enough to check the claim, in about linear time:
 *
 * - A txn's effect is at one revision, and its conditions hold right before it (no two winners).
 * - Revisions agree with real time: what was known before a call began is not above its own.
 * - A read sees an effect of its key, none that is older than what was known when it began (no lost
 *   write, no stale read), and none that had not begun when it ended.
 * - `conflict` and "it did not happen" have no effect, ever; a conflict has a cause.
 * - `unknown` may have had its effect or not; reads and watches tell, and all must agree.
 * - A watch brings every effect between its beginning and what it calls complete, in order.
 *
 * Times are of one clock, any unit. Keys that the history did not write are absent at its beginning.
 */
import type { Condition } from '../../src/state/port.ts'

interface Timed {
  readonly client: string
  readonly invokedAt: number
  readonly returnedAt: number
}

export interface TxnRecord extends Timed {
  readonly kind: 'txn'
  readonly operationId: string
  readonly if: readonly Condition[]
  /** Without `value`: a delete. */
  readonly then: readonly { readonly key: string; readonly value?: unknown }[]
  /** Of the operation, after all attempts. `none`: certainly not done, as far as it was told. */
  readonly result:
    | { readonly kind: 'done'; readonly revision: number }
    | { readonly kind: 'conflict' | 'unknown' | 'none' }
}

/** A linearizable read that was answered. */
export interface ReadRecord extends Timed {
  readonly kind: 'read'
  readonly key: string
  /** Undefined: there was no such key. */
  readonly entry?: {
    readonly revision: number
    readonly value: unknown
    readonly operationId: string
  }
}

/** A watch from `from` without a reset. */
export interface WatchRecord extends Timed {
  readonly kind: 'watch'
  readonly prefix: string
  readonly from: number
  /** Complete up to here, as it said itself. */
  readonly synced: number
  readonly events: readonly {
    readonly key: string
    readonly revision: number
    /** Of the txn; undefined for a delete. */
    readonly operationId?: string
  }[]
}

export type HistoryRecord = TxnRecord | ReadRecord | WatchRecord

/** A txn that took effect. */
interface Effect {
  readonly revision: number
  readonly txn: TxnRecord
}

/** Everything that is wrong, as sentences; empty for a good history. */
export function checkHistory(records: readonly HistoryRecord[]): readonly string[] {
  return new Judgement(records).violations()
}

class Judgement {
  readonly #txns: readonly TxnRecord[]
  readonly #reads: readonly ReadRecord[]
  readonly #watches: readonly WatchRecord[]
  readonly #wrong: string[] = []
  readonly #byOperation = new Map<string, TxnRecord>()
  readonly #effects = new Map<string, Effect>()
  /** For each key its effects, by revision. */
  readonly #chains = new Map<string, Effect[]>()

  constructor(records: readonly HistoryRecord[]) {
    this.#txns = records.filter((record) => record.kind === 'txn')
    this.#reads = records.filter((record) => record.kind === 'read')
    this.#watches = records.filter((record) => record.kind === 'watch')
  }

  violations(): readonly string[] {
    for (const txn of this.#txns) {
      if (this.#byOperation.has(txn.operationId)) this.#says(txn, 'its operation id comes twice')
      this.#byOperation.set(txn.operationId, txn)
    }
    this.#collectEffects()
    this.#checkConditions()
    this.#checkOrder()
    for (const read of this.#reads) this.#checkRead(read)
    for (const txn of this.#txns) if (txn.result.kind === 'conflict') this.#checkConflict(txn)
    for (const watch of this.#watches) this.#checkWatch(watch)
    return this.#wrong
  }

  #says(record: HistoryRecord, what: string): void {
    this.#wrong.push(`${describe(record)}: ${what}`)
  }

  #collectEffects(): void {
    for (const txn of this.#txns) {
      if (txn.result.kind === 'done' && txn.then.length > 0) {
        this.#effect(txn, txn.operationId, txn.result.revision)
      }
    }
    for (const read of this.#reads) {
      const { entry } = read
      if (entry !== undefined) this.#effect(read, entry.operationId, entry.revision)
    }
    for (const watch of this.#watches) {
      for (const { operationId, revision } of watch.events) {
        if (operationId !== undefined) this.#effect(watch, operationId, revision)
      }
    }
    const byRevision = new Map<number, Effect>()
    for (const effect of this.#effects.values()) {
      const { revision, txn } = effect
      const other = byRevision.get(revision)
      if (other !== undefined) {
        this.#says(txn, `has the revision ${revision} of "${other.txn.operationId}"`)
      }
      byRevision.set(revision, effect)
      for (const { key } of txn.then) {
        const chain = this.#chains.get(key) ?? []
        this.#chains.set(key, chain)
        chain.push(effect)
      }
    }
    for (const chain of this.#chains.values()) chain.sort((a, b) => a.revision - b.revision)
  }

  #effect(witness: HistoryRecord, operationId: string, revision: number): void {
    const txn = this.#byOperation.get(operationId)
    if (txn === undefined) {
      this.#says(witness, `nobody made "${operationId}"`)
      return
    }
    const { kind } = txn.result
    if (kind === 'conflict' || kind === 'none') {
      this.#says(txn, `was answered ${kind}, but it happened: ${describe(witness)}`)
    }
    const known = this.#effects.get(operationId)
    if (known === undefined) this.#effects.set(operationId, { revision, txn })
    else if (known.revision !== revision) {
      this.#says(txn, `happened at ${known.revision} and at ${revision}`)
    }
    if (witness.returnedAt < txn.invokedAt) {
      this.#says(witness, `sees "${operationId}" before it was begun`)
    }
  }

  /** The revision that a condition sees right before or after an effect. */
  #revisionAfter(effect: Effect | undefined, key: string): number {
    const change = effect?.txn.then.find((one) => one.key === key)
    return change === undefined || change.value === undefined ? 0 : (effect?.revision ?? 0)
  }

  #before(key: string, revision: number): Effect | undefined {
    return this.#chains.get(key)?.findLast((effect) => effect.revision < revision)
  }

  #checkConditions(): void {
    for (const { revision, txn } of this.#effects.values()) {
      for (const { key, revision: expected } of txn.if) {
        const found = this.#revisionAfter(this.#before(key, revision), key)
        if (found === expected || this.#mayHaveGone(key, expected, txn.returnedAt)) continue
        this.#says(txn, `happened at ${revision} where "${key}" was ${found}, not ${expected}`)
      }
    }
  }

  /** Only a delete leaves no trace: one that is unknown may be why a key is missing. */
  #mayHaveGone(key: string, expected: number, until: number): boolean {
    if (expected !== 0) return false
    return this.#txns.some(
      (txn) =>
        txn.result.kind === 'unknown' &&
        txn.invokedAt < until &&
        txn.then.some((change) => change.key === key && change.value === undefined),
    )
  }

  /** What is known at a time bounds the revisions of everything that begins after it. */
  #checkOrder(): void {
    const known = new Known(
      this.#txns.flatMap((txn) =>
        txn.result.kind === 'done' ? [[txn.returnedAt, txn.result.revision] as const] : [],
      ),
      this.#reads.map(({ returnedAt, entry }) => [returnedAt, entry?.revision ?? 0] as const),
    )
    for (const { revision, txn } of this.#effects.values()) {
      const before = known.at(txn.invokedAt)
      if (revision <= before) {
        this.#says(txn, `happened at ${revision}, when ${before} was known already`)
      }
    }
  }

  #knownOf(key: string): Known {
    return new Known(
      (this.#chains.get(key) ?? []).flatMap(({ revision, txn }) =>
        txn.result.kind === 'done' ? [[txn.returnedAt, revision] as const] : [],
      ),
      this.#reads
        .filter((read) => read.key === key)
        .map(({ returnedAt, entry }) => [returnedAt, entry?.revision ?? 0] as const),
    )
  }

  readonly #knownByKey = new Map<string, Known>()

  #known(key: string, at: number): number {
    let known = this.#knownByKey.get(key)
    if (known === undefined) {
      known = this.#knownOf(key)
      this.#knownByKey.set(key, known)
    }
    return known.at(at)
  }

  #checkRead(read: ReadRecord): void {
    const { key, entry } = read
    const known = this.#known(key, read.invokedAt)
    if (entry === undefined) {
      this.#checkAbsent(read, known)
      return
    }
    const { revision, value, operationId } = entry
    if (revision < known) this.#says(read, `is stale: ${known} was known before`)
    const change = this.#byOperation.get(operationId)?.then.find((one) => one.key === key)
    if (JSON.stringify(change?.value) !== JSON.stringify(value)) {
      this.#says(read, `"${operationId}" wrote ${JSON.stringify(change?.value)}`)
    }
  }

  #checkAbsent(read: ReadRecord, known: number): void {
    const chain = this.#chains.get(read.key) ?? []
    const wasAbsent = chain.some(
      (effect, i) =>
        this.#revisionAfter(effect, read.key) === 0 &&
        effect.txn.invokedAt < read.returnedAt &&
        (chain[i + 1]?.revision ?? Number.POSITIVE_INFINITY) > known &&
        effect.revision >= known,
    )
    if (known === 0 || wasAbsent || this.#mayHaveGone(read.key, 0, read.returnedAt)) return
    this.#says(read, `finds nothing: ${known} was known before`)
  }

  /** A conflict is wrong when all of its conditions held, all of the time. */
  #checkConflict(txn: TxnRecord): void {
    const held = txn.if.every(({ key, revision }) => {
      const chain = this.#chains.get(key) ?? []
      const known = this.#known(key, txn.invokedAt)
      const at = chain.findIndex((effect) => effect.revision === known)
      if (this.#revisionAfter(chain[at], key) !== revision) return false
      const isTouched = this.#txns.some(
        (other) =>
          other !== txn &&
          other.then.some((change) => change.key === key) &&
          other.invokedAt < txn.returnedAt &&
          (other.result.kind === 'unknown' ||
            (this.#effects.get(other.operationId)?.revision ?? 0) > known),
      )
      return !isTouched
    })
    if (held) this.#says(txn, 'conflicts, although its conditions held all the time')
  }

  #checkWatch(watch: WatchRecord): void {
    const last = new Map<string, number>()
    const seen = new Set<string>()
    for (const { key, revision } of watch.events) {
      if (revision < (last.get(key) ?? 0)) this.#says(watch, `"${key}" goes back to ${revision}`)
      last.set(key, revision)
      seen.add(`${revision} ${key}`)
    }
    for (const { revision, txn } of this.#effects.values()) {
      if (revision <= watch.from || revision > watch.synced) continue
      for (const { key, value } of txn.then) {
        // A delete of what was not there is no event.
        if (!key.startsWith(watch.prefix) || value === undefined) continue
        if (!seen.has(`${revision} ${key}`)) {
          this.#says(watch, `misses "${key}" at ${revision}, complete up to ${watch.synced}`)
        }
      }
    }
  }
}

/** The highest revision that somebody was told of, by time. */
class Known {
  readonly #times: number[] = []
  readonly #highest: number[] = []

  constructor(...told: readonly (readonly (readonly [number, number])[])[]) {
    let highest = 0
    for (const [at, revision] of told.flat().sort((a, b) => a[0] - b[0])) {
      highest = Math.max(highest, revision)
      this.#times.push(at)
      this.#highest.push(highest)
    }
  }

  /** Told strictly before `at`. */
  at(at: number): number {
    let low = 0
    let high = this.#times.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#times[middle] ?? 0) < at) low = middle + 1
      else high = middle
    }
    return this.#highest[low - 1] ?? 0
  }
}

function describe(record: HistoryRecord): string {
  const { client, invokedAt, returnedAt } = record
  const when = `${client} ${invokedAt.toFixed(1)}–${returnedAt.toFixed(1)}`
  if (record.kind === 'read') {
    const { key, entry } = record
    return `${when} read "${key}" → ${entry === undefined ? 'nothing' : entry.revision}`
  }
  if (record.kind === 'watch') return `${when} watch "${record.prefix}" from ${record.from}`
  const { operationId, result } = record
  const revision = result.kind === 'done' ? ` ${result.revision}` : ''
  return `${when} txn "${operationId}" → ${result.kind}${revision}`
}
