/**
 * etcd's errors as ours. What matters is whether a txn may have happened: gRPC's codes tell, except
 * for `unavailable`, where etcd has two refusals that come before anything was done.
 */
import { type ErrorCode, HolonError } from '../../base/errors.ts'
import type { Json } from './client.ts'

const codes: Readonly<Record<number, ErrorCode>> = {
  3: 'invalid_argument',
  5: 'not_found',
  6: 'already_exists',
  7: 'permission_denied',
  8: 'exhausted',
  9: 'conflict',
  11: 'stale',
  12: 'unsupported',
  16: 'permission_denied',
}

// Said by a member before it looks at the request; the texts are part of etcd's client interface
// (api/v3rpc/rpctypes), and clients of etcd know them by text, since gRPC's code is the same as for
// a request that timed out.
const refusedBefore = new Set([
  'etcdserver: no leader',
  'etcdserver: rpc not supported for learner',
  'etcdserver: not capable',
])

/** `body` is what the gateway says about a failure: {error | message, code}. */
export function errorOfAnswer(path: string, body: Json | undefined): HolonError {
  const fields = typeof body === 'object' && body !== null && !Array.isArray(body) ? body : {}
  const { code, grpc_code, message, error } = fields as Readonly<Record<string, Json | undefined>>
  const grpcCode = Number(grpc_code ?? code ?? 2)
  const text = String(message ?? error ?? JSON.stringify(body))
  const details = { grpcCode, etcd: text }
  const what = `etcd, ${path}: ${text}`
  const definite = codes[grpcCode]
  if (definite !== undefined) return new HolonError(definite, what, { details })
  const outcome = refusedBefore.has(text) ? 'none' : 'unknown'
  return new HolonError('unavailable', what, { details, outcome })
}

/** etcd has no room: puts are refused until somebody makes some and clears the alarm. */
export function isNoSpace(error: unknown): boolean {
  return (
    error instanceof HolonError &&
    error.details['etcd'] === 'etcdserver: mvcc: database space exceeded'
  )
}

export function isCompacted(error: unknown): boolean {
  return error instanceof HolonError && error.details['grpcCode'] === 11
}
