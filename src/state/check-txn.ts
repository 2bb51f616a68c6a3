/**
 * Checks a txn at the border and makes it the engine's own: values as JSON text, sizes known, and a
 * fingerprint that tells a repeated operation from another one under the same id.
 */
import { hash } from 'node:crypto'
import { HolonError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import { checkKey } from './keys.ts'
import type { Condition, Txn } from './port.ts'

/** One key's change; `json` is absent for a delete. */
export interface CheckedChange {
  readonly key: string
  readonly put?: { readonly json: string; readonly schema: number; readonly bytes: number }
}

export interface CheckedTxn {
  readonly conditions: readonly Condition[]
  readonly changes: readonly CheckedChange[]
  readonly operationId: string
  readonly writer: string
  readonly fingerprint: string
  /** Keys and values, in bytes. */
  readonly bytes: number
}

/** Throws `invalid_argument` or `exhausted`; the txn is not touched and not kept. */
export function checkTxn(txn: Txn): CheckedTxn {
  checkName('operation id', txn.operationId)
  checkName('writer', txn.writer)
  const count = txn.if.length + txn.then.length
  if (count > limits.stateTxnOperationsMax) {
    throw over('a txn', 'stateTxnOperationsMax', count, 'conditions and changes')
  }
  const conditions = txn.if.map(({ key, revision }) => ({ key, revision }))
  for (const { key, revision } of conditions) {
    checkKey(key)
    if (Number.isSafeInteger(revision) && revision >= 0) continue
    throw invalid(`the revision ${revision} expected of "${key}" is no whole number from 0`)
  }
  checkOnce('if', conditions)
  const changes = txn.then.map(checkChange)
  checkOnce('then', changes)
  const bytes = changes.reduce((sum, { key, put }) => sum + key.length + (put?.bytes ?? 0), 0)
  if (bytes > limits.stateTxnBytesMax) throw over('a txn', 'stateTxnBytesMax', bytes, 'bytes')
  const { operationId, writer } = txn
  const fingerprint = hash('sha256', JSON.stringify([conditions, changes]), 'hex').slice(0, 16)
  return { conditions, changes, operationId, writer, fingerprint, bytes }
}

function checkChange(change: Txn['then'][number]): CheckedChange {
  checkKey(change.key)
  if (change.kind === 'delete') return { key: change.key }
  if (!Number.isSafeInteger(change.schema) || change.schema < 0) {
    throw invalid(`the schema ${change.schema} of "${change.key}" is no whole number from 0`)
  }
  const json = toJson(change.key, change.value)
  const bytes = Buffer.byteLength(json)
  if (bytes > limits.stateValueBytesMax) {
    throw over(`the value of "${change.key}"`, 'stateValueBytesMax', bytes, 'bytes')
  }
  return { key: change.key, put: { json, schema: change.schema, bytes } }
}

function toJson(key: string, value: unknown): string {
  let json: string | undefined
  try {
    json = JSON.stringify(value)
  } catch (error) {
    throw new HolonError('invalid_argument', `the value of "${key}" is no JSON: ${error}`, {
      cause: error,
    })
  }
  if (json === undefined) throw invalid(`the value of "${key}" is no JSON: ${typeof value}`)
  return json
}

/** Of an operation id or a writer. */
export function checkName(what: string, name: string): void {
  if (typeof name !== 'string' || name === '' || !name.isWellFormed() || /[\x00-\x1f]/.test(name)) {
    throw invalid(`the ${what} ${JSON.stringify(name)} is empty or has a control character`)
  }
  const bytes = Buffer.byteLength(name)
  if (bytes > limits.stateNameBytesMax)
    throw over(`the ${what}`, 'stateNameBytesMax', bytes, 'bytes')
}

function checkOnce(where: string, items: readonly { readonly key: string }[]): void {
  const seen = new Set<string>()
  for (const { key } of items) {
    if (seen.has(key)) throw invalid(`the txn names "${key}" twice in "${where}"`)
    seen.add(key)
  }
}

function over(what: string, limit: keyof typeof limits, actual: number, unit: string): HolonError {
  return new HolonError(
    'exhausted',
    `${what} has ${actual} ${unit}; the limit is ${limits[limit]}`,
    { details: { limit, actual } },
  )
}

function invalid(message: string): HolonError {
  return new HolonError('invalid_argument', message)
}
