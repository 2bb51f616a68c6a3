/**
 * One txn of State as one txn of etcd.
 *
 * It takes effect only while the head is the one we know, its operation is on no record, and its
 * conditions hold; then it writes its changes, its operation and the head, at one revision.
 *
 * Else etcd answers with what there is. An operation on record was done before, or is refused.
 * Otherwise it is a conflict, and that must be definite although an earlier attempt of the same
 * operation may still be under way in a slow machine or network:
 * - A condition on a revision that is past can never hold again: nothing more to do.
 * - One on a missing key (revision 0) can, once the key is deleted. So the operation is put on
 *   record as refused before the caller hears "conflict".
 * An operation's record may be forgotten; an attempt that old finds the head changed, and fails.
 */
import { HolonError } from '../../base/errors.ts'
import type { CheckedTxn } from '../check-txn.ts'
import type { KeyState, SignalOptions, TxnResult } from '../port.ts'
import { toEntry } from '../stored.ts'
import { asInteger, asObject, type JsonObject, toBase64 } from './client.ts'
import { isNoSpace } from './faults.ts'
import {
  entryText,
  type Head,
  type OperationRecord,
  only,
  operationText,
  parseEntry,
  parseOperation,
} from './layout.ts'
import { type EtcdStore, type Request, responses } from './store.ts'

type Outcome = TxnResult | { readonly kind: 'again' }

/** Repeats as long as the answer is that the head has changed, which etcd decides definitely. */
export async function attemptTxn(
  store: EtcdStore,
  txn: CheckedTxn,
  { signal }: SignalOptions,
): Promise<TxnResult> {
  // Whether a request that may write has left us.
  let sent = false
  try {
    while (true) {
      const outcome = await store.attempt(signal, async (attempt) => {
        const head = await store.head({ signal: attempt })
        sent = true
        return tryOnce(store, txn, head, { signal: attempt })
      })
      if (outcome.kind !== 'again') return outcome
      sent = false
    }
  } catch (error) {
    return failed(error, sent, signal)
  }
}

/** A failure before anything was sent is definite, also when its own request was lost. */
function failed(error: unknown, sent: boolean, signal: AbortSignal): TxnResult {
  if (!(error instanceof HolonError)) throw error
  const outcome = sent ? error.outcome : 'none'
  const { code, message, retryable, details } = error
  if (code === 'unavailable' && !signal.aborted) {
    return { kind: outcome === 'unknown' ? 'unknown' : 'unavailable', why: message }
  }
  if (code === 'invalid_argument' && details['grpcCode'] === 3) throw tooMuch(error)
  if (isNoSpace(error)) {
    throw new HolonError(
      'exhausted',
      'write the state: etcd is at its quota; delete what is not needed, or raise the quota',
      { details, cause: error, retryable: true },
    )
  }
  throw new HolonError(code, message, { outcome, retryable, details, cause: error })
}

/** Our bounds were met, so etcd's own are set lower than a managed etcd's. */
function tooMuch(error: HolonError): HolonError {
  return new HolonError(
    'exhausted',
    `${error.message}; start etcd with --max-txn-ops=1024 --max-request-bytes=4194304`,
    { details: error.details, cause: error },
  )
}

async function tryOnce(
  store: EtcdStore,
  txn: CheckedTxn,
  head: Head,
  options: SignalOptions,
): Promise<Outcome> {
  const answer = await store.client.post('kv/txn', txnBody(store, txn, head), options)
  const etcdRevision = asInteger(asObject(answer['header'])['revision'])
  const [first = {}, second = {}, ...ranges] = responses(answer)
  if (answer['succeeded'] === true) {
    if (txn.changes.length > 0) return { kind: 'done', revision: etcdRevision }
    return { kind: 'done', revision: store.learn(first).revision }
  }
  const now = store.learn(first)
  const record = only(second)
  if (record !== undefined) {
    const before = repeated(txn, parseOperation(record))
    if (before !== undefined) return before
  }
  if (now.text !== head.text) return { kind: 'again' }
  const current = txn.conditions.map(({ key }, i) => keyState(key, ranges[i] ?? {}))
  const isPast = txn.conditions.some(({ revision }, i) => {
    const is = current[i]?.entry?.revision ?? 0
    return is !== revision && revision > 0 && revision <= etcdRevision
  })
  const conflict = { kind: 'conflict', current } as const
  if (isPast || record !== undefined || txn.changes.length === 0) return conflict
  return refuse(store, txn, head, conflict, options)
}

/** Puts the operation on record as refused, unless an attempt of it came first. */
async function refuse(
  store: EtcdStore,
  txn: CheckedTxn,
  head: Head,
  conflict: TxnResult,
  options: SignalOptions,
): Promise<Outcome> {
  const key = toBase64(store.layout.operation(txn.operationId))
  const record = operationText({ fingerprint: txn.fingerprint, refused: true })
  const body = {
    compare: [store.unchanged(head), isNew(key)],
    success: [{ request_put: { key, value: toBase64(record) } }],
    failure: [{ request_range: { key: toBase64(store.layout.head) } }, { request_range: { key } }],
  }
  const answer = await store.client.post('kv/txn', body, options)
  if (answer['succeeded'] === true) return conflict
  const [first = {}, second = {}] = responses(answer)
  store.learn(first)
  const found = only(second)
  if (found === undefined) return { kind: 'again' }
  return repeated(txn, parseOperation(found)) ?? conflict
}

/** The answer to an operation on record; undefined when it is the refusal: it is a conflict. */
function repeated(txn: CheckedTxn, before: OperationRecord): TxnResult | undefined {
  if (before.fingerprint !== txn.fingerprint) {
    throw new HolonError(
      'invalid_argument',
      `the operation id "${txn.operationId}" was used for another txn before`,
    )
  }
  return before.refused ? undefined : { kind: 'done', revision: before.revision }
}

function txnBody(store: EtcdStore, txn: CheckedTxn, head: Head): JsonObject {
  const { layout } = store
  const prefix = layout.entries(head.root)
  const headKey = toBase64(layout.head)
  const operation = toBase64(layout.operation(txn.operationId))
  const conditions = txn.conditions.map(({ key, revision }) => ({
    key: toBase64(prefix + key),
    target: 'MOD',
    result: 'EQUAL',
    mod_revision: String(revision),
  }))
  const isChange = txn.changes.length > 0
  // The head comes last: a watch knows by it that it has all of this revision.
  const record = operationText({ fingerprint: txn.fingerprint, refused: false })
  const success: readonly Request[] = isChange
    ? [
        ...txn.changes.map((change) => changeRequest(prefix, change, txn)),
        { request_put: { key: operation, value: toBase64(record) } },
        { request_put: { key: headKey, value: toBase64(head.text) } },
      ]
    : [{ request_range: { key: headKey } }]
  const failure = [headKey, operation, ...conditions.map(({ key }) => key)].map((key) => ({
    request_range: { key },
  }))
  return {
    compare: [store.unchanged(head), ...(isChange ? [isNew(operation)] : []), ...conditions],
    success,
    failure,
  }
}

function changeRequest(
  prefix: string,
  { key, put }: CheckedTxn['changes'][number],
  { operationId, writer }: CheckedTxn,
): Request {
  const at = toBase64(prefix + key)
  if (put === undefined) return { request_delete_range: { key: at } }
  const { schema, json } = put
  const value = toBase64(entryText({ key, schema, operationId, writer, json }))
  return { request_put: { key: at, value } }
}

function isNew(key: string): Request {
  return { key, target: 'VERSION', result: 'EQUAL', version: '0' }
}

function keyState(key: string, range: JsonObject): KeyState {
  const found = only(range)
  return found === undefined ? { key } : { key, entry: toEntry(parseEntry(key, found)) }
}
