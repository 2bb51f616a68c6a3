/**
 * Txns being decided, one after the other, on top of what is committed: each is done, refused or in
 * conflict by itself, then all become durable together. Nothing here touches the committed state
 * until `settle`.
 */
import { HolonError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import type { CheckedTxn } from './check-txn.ts'
import type { Change } from './history.ts'
import type { IndexRow, KeyIndex } from './key-index.ts'
import type { KeyState } from './port.ts'
import { entryHash, type Meta, type Operation, operationHash, wrap } from './rows.ts'
import { type StoredEntry, storedBytes, toEntry } from './stored.ts'

/** What a draft writes while it decides, inside the database's transaction. */
export interface DraftTarget {
  putEntry(id: number, stored: StoredEntry, hash: bigint): void
  deleteEntry(id: number): void
  putOperation(slot: number, op: Operation, hash: bigint): void
  readEntry(key: string, row: IndexRow): StoredEntry
}

/** A committed operation with the hash of its row. */
export interface KnownOperation extends Operation {
  readonly hash: bigint
}

export type Decision =
  | { readonly kind: 'done'; readonly revision: number }
  | { readonly kind: 'conflict'; readonly current: readonly KeyState[] }
  | { readonly kind: 'refused'; readonly error: HolonError }

export interface Committed {
  readonly index: KeyIndex
  /** By slot: revision modulo the number of operations remembered. */
  readonly operations: Map<number, KnownOperation>
  readonly slotById: Map<string, number>
  meta: Meta
  nextId: number
}

export class Draft {
  readonly #base: Committed
  readonly #target: DraftTarget
  readonly #bytesMax: number
  readonly #rows = new Map<string, IndexRow | undefined>()
  readonly #operations = new Map<string, KnownOperation>()
  /** One list of changes for each txn that took effect. */
  readonly changes: (readonly Change[])[] = []
  #revision: number
  #entries: number
  #operationCount: number
  #bytes: number
  #sum: bigint
  #nextId: number

  constructor(base: Committed, target: DraftTarget, bytesMax: number) {
    this.#base = base
    this.#target = target
    this.#bytesMax = bytesMax
    this.#revision = base.meta.revision
    this.#entries = base.meta.entries
    this.#operationCount = base.meta.operations
    this.#bytes = base.index.bytes
    this.#sum = base.meta.sum
    this.#nextId = base.nextId
  }

  /** Nothing took effect: there is nothing to commit. */
  get empty(): boolean {
    return this.changes.length === 0
  }

  /** The summary row that goes with what was decided. */
  get meta(): Meta {
    return {
      revision: this.#revision,
      entries: this.#entries,
      operations: this.#operationCount,
      sum: wrap(this.#sum),
    }
  }

  decide(txn: CheckedTxn): Decision {
    const before = this.#operation(txn.operationId)
    if (before !== undefined) return repeated(txn, before)
    if (txn.conditions.some(({ key, revision }) => (this.#row(key)?.revision ?? 0) !== revision)) {
      const current = txn.conditions.map(({ key }) => this.#current(key))
      return { kind: 'conflict', current }
    }
    if (txn.changes.length === 0) return { kind: 'done', revision: this.#revision }
    const error = this.#quotaError(txn)
    if (error !== undefined) return { kind: 'refused', error }
    this.#revision += 1
    const { operationId, writer } = txn
    const changes = txn.changes.flatMap(({ key, put }) => {
      if (put === undefined) return this.#delete(key)
      return [this.#put({ key, schema: put.schema, json: put.json, operationId, writer })]
    })
    this.changes.push(changes)
    this.#remember(txn)
    return { kind: 'done', revision: this.#revision }
  }

  /** Puts all of these at the next revision, whoever wrote them. The keys are new. */
  fill(entries: readonly StoredEntry[]): void {
    this.#revision += 1
    this.changes.push(entries.map((entry) => this.#put(entry)))
    if (this.#bytes > this.#bytesMax) throw quotaError(this.#bytes, this.#bytesMax)
  }

  /** The database has it: so does memory from now on. */
  settle(): void {
    this.#base.meta = this.meta
    this.#base.nextId = this.#nextId
    for (const [key, row] of this.#rows) this.#base.index.set(key, row)
    for (const op of this.#operations.values()) rememberOperation(this.#base, op)
  }

  #row(key: string): IndexRow | undefined {
    return this.#rows.has(key) ? this.#rows.get(key) : this.#base.index.get(key)
  }

  #operation(id: string): Operation | undefined {
    const slot = this.#base.slotById.get(id)
    return (
      this.#operations.get(id) ?? (slot === undefined ? undefined : this.#base.operations.get(slot))
    )
  }

  #current(key: string): KeyState {
    const row = this.#row(key)
    return row === undefined ? { key } : { key, entry: toEntry(this.#target.readEntry(key, row)) }
  }

  #quotaError(txn: CheckedTxn): HolonError | undefined {
    let after = this.#bytes
    for (const { key, put } of txn.changes) {
      after -= this.#row(key)?.bytes ?? 0
      if (put !== undefined) after += storedBytes(key, put.bytes)
    }
    if (after <= this.#bytesMax || after <= this.#bytes) return undefined
    return quotaError(this.#bytes, this.#bytesMax)
  }

  #put(written: Omit<StoredEntry, 'revision'>): Change {
    const { key, json } = written
    const revision = this.#revision
    const stored = { ...written, revision }
    const hash = entryHash(stored)
    const before = this.#row(key)
    const id = before?.id ?? this.#nextId++
    const bytes = storedBytes(key, Buffer.byteLength(json))
    this.#target.putEntry(id, stored, hash)
    this.#rows.set(key, { id, revision, bytes, hash })
    this.#bytes += bytes - (before?.bytes ?? 0)
    this.#sum += hash - (before?.hash ?? 0n)
    if (before === undefined) this.#entries += 1
    return { key, revision, stored }
  }

  #delete(key: string): readonly Change[] {
    const before = this.#row(key)
    if (before === undefined) return []
    this.#target.deleteEntry(before.id)
    this.#rows.set(key, undefined)
    this.#bytes -= before.bytes
    this.#sum -= before.hash
    this.#entries -= 1
    return [{ key, revision: this.#revision }]
  }

  #remember(txn: CheckedTxn): void {
    const op = { id: txn.operationId, revision: this.#revision, fingerprint: txn.fingerprint }
    const hash = operationHash(op)
    const slot = slotOf(op.revision)
    this.#target.putOperation(slot, op, hash)
    const old = this.#base.operations.get(slot)
    this.#sum += hash - (old?.hash ?? 0n)
    if (old === undefined) this.#operationCount += 1
    this.#operations.set(op.id, { ...op, hash })
  }
}

export function slotOf(revision: number): number {
  return revision % limits.stateOperationsMax
}

/** Takes the place of the operation that is `limits.stateOperationsMax` revisions older. */
export function rememberOperation(base: Committed, op: KnownOperation): void {
  const slot = slotOf(op.revision)
  const old = base.operations.get(slot)
  if (old !== undefined) base.slotById.delete(old.id)
  base.operations.set(slot, op)
  base.slotById.set(op.id, slot)
}

export function quotaError(bytes: number, bytesMax: number): HolonError {
  return new HolonError(
    'exhausted',
    `the state holds ${bytes} bytes and may hold ${bytesMax}; delete what is not needed`,
    { details: { limit: 'stateBytesMax', bytes, bytesMax } },
  )
}

/** The answer to an operation that took effect `before`. */
export function repeated(txn: CheckedTxn, before: Operation): Decision {
  if (before.fingerprint === txn.fingerprint) return { kind: 'done', revision: before.revision }
  const message = `the operation id "${txn.operationId}" was used for another txn before`
  return { kind: 'refused', error: new HolonError('invalid_argument', message) }
}
