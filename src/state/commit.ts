/**
 * The rules for callers of State, in code: repeat the same txn after `unknown`, back off after
 * `unavailable`, read again after `conflict`, list again after `reset`. They need only the port.
 */
import { type Clock, deadline, sleep } from '../base/clock.ts'
import { asHolonError, HolonError } from '../base/errors.ts'
import { newId } from '../base/ids.ts'
import type { Random } from '../base/random.ts'
import type { Entry, SignalOptions, State, Txn, TxnResult } from './port.ts'

export interface CommitDeps {
  readonly clock: Clock
  readonly random: Random
}

export type Definite = Extract<TxnResult, { readonly kind: 'done' | 'conflict' }>

const patienceStepMs = 200
const firstBackoffMs = 10
const backoffMaxMs = 1000

/** An id for a txn that nobody had before. */
export function newOperationId(random: Random): string {
  return newId(random, 20)
}

/**
 * Repeats the same txn until its answer is definite or the signal aborts. Throws the signal's error
 * with `outcome: 'unknown'` when an earlier attempt may have taken effect. Idempotent.
 */
export async function commit(
  deps: CommitDeps,
  state: State,
  txn: Txn,
  { signal }: SignalOptions,
): Promise<Definite> {
  let unsure = false
  let why = ''
  let backoffMs = firstBackoffMs
  try {
    while (true) {
      const result = await state.txn(txn, { signal })
      if (result.kind === 'done' || result.kind === 'conflict') return result
      unsure ||= result.kind === 'unknown'
      why = ` (the state: ${result.why})`
      await sleep(deps.clock, backoffMs * (0.5 + deps.random.next()), signal)
      backoffMs = Math.min(2 * backoffMs, backoffMaxMs)
    }
  } catch (error) {
    const { code, message, outcome, retryable, details } = asHolonError(error)
    throw new HolonError(code, message + why, {
      outcome: unsure ? 'unknown' : outcome,
      retryable,
      details,
      cause: error,
    })
  }
}

/**
 * Repeats a read until the engine answers or `forMs` have passed: an election takes a second or
 * two, and nobody should have to know of it.
 */
export async function patiently<T>(
  clock: Clock,
  forMs: number,
  signal: AbortSignal,
  read: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  using limit = deadline(clock, forMs, signal)
  while (true) {
    try {
      return await read(limit.signal)
    } catch (error) {
      if (signal.aborted || !(error instanceof HolonError)) throw error
      if (limit.signal.aborted) throw noAnswer(error)
      if (error.code !== 'unavailable' || !error.retryable) throw error
    }
    await sleep(clock, patienceStepMs, limit.signal).catch(() => {})
  }
}

function noAnswer(cause: HolonError): HolonError {
  const { message, outcome } = cause
  const text = `the fleet's state does not answer, and it is needed for this: ${message}`
  return new HolonError('unavailable', text, { outcome, cause })
}

/** What `update` makes of an entry: a new value, nothing (delete), or no change at all. */
export type Change =
  | { readonly kind: 'put'; readonly value: unknown; readonly schema: number }
  | { readonly kind: 'delete' }
  | { readonly kind: 'keep' }

/**
 * Reads, lets `change` decide, and writes if nobody else did meanwhile; else all of it again. So
 * `change` may run several times and has no effect of its own. Resolves with the revision of the
 * write, or undefined for `keep`. Under chaos of any kind the write happens once.
 */
export async function update(
  deps: CommitDeps,
  state: State,
  key: string,
  change: (entry: Entry | undefined) => Change,
  options: SignalOptions & { readonly writer: string },
): Promise<number | undefined> {
  const { signal, writer } = options
  while (true) {
    const entry = await state.get(key, { signal })
    const next = change(entry)
    if (next.kind === 'keep') return undefined
    const txn: Txn = {
      if: [{ key, revision: entry?.revision ?? 0 }],
      then: [{ ...next, key }],
      operationId: newOperationId(deps.random),
      writer,
    }
    const result = await commit(deps, state, txn, { signal })
    if (result.kind === 'done') return result.revision
  }
}

export type View =
  /** All entries with the prefix: at first, and whenever changes were missed. */
  | { readonly kind: 'all'; readonly entries: readonly Entry[]; readonly revision: number }
  | { readonly kind: 'put'; readonly entry: Entry }
  | { readonly kind: 'delete'; readonly key: string; readonly revision: number }
  /** The view is of this revision, or newer. */
  | { readonly kind: 'synced'; readonly revision: number }

/**
 * Follows all keys with a prefix until the signal aborts: lists, watches, and lists again after a
 * reset or an unavailable engine. Duplicates and late events are left out, so whoever applies these
 * in order always has what the store had at some moment, and soon what it has.
 */
export async function* follow(
  clock: Clock,
  state: State,
  prefix: string,
  { signal }: SignalOptions,
): AsyncGenerator<View> {
  let backoffMs = firstBackoffMs
  while (true) {
    try {
      const { entries, revision } = await state.list(prefix, { signal })
      backoffMs = firstBackoffMs
      yield { kind: 'all', entries, revision }
      yield* changes(state, prefix, revision, { signal })
    } catch (error) {
      if (signal.aborted || !(error instanceof HolonError) || !error.retryable) throw error
    }
    await sleep(clock, backoffMs, signal)
    backoffMs = Math.min(2 * backoffMs, backoffMaxMs)
  }
}

async function* changes(
  state: State,
  prefix: string,
  from: number,
  options: SignalOptions,
): AsyncGenerator<View> {
  // Everything up to here was passed on; beyond it, the newest revision of each key.
  let complete = from
  const seen = new Map<string, number>()
  for await (const event of state.watch(prefix, from, options)) {
    if (event.kind === 'reset') return
    if (event.kind === 'synced') {
      complete = Math.max(complete, event.revision)
      seen.clear()
      yield event
      continue
    }
    const { key, revision } = event
    if (revision <= Math.max(complete, seen.get(key) ?? 0)) continue
    seen.set(key, revision)
    if (event.kind === 'put') yield { kind: 'put', entry: event.entry }
    else yield { kind: 'delete', key, revision }
  }
}
