/**
 * The token of an invitation: one word of small letters and digits, selected by a double click,
 * safe in any shell. It holds which invitation it is, a secret, the hash of the CA's key so that
 * the joining machine knows its fleet before it says anything, and a checksum so that a mistyped
 * one is told from a wrong one.
 */
import { createHash, createHmac } from 'node:crypto'
import { HolonError } from '../../base/errors.ts'
import { base32, fromBase32 } from '../identity/base32.ts'

export interface Token {
  readonly inviteId: string
  /** 128 bits. Never stored and never sent. */
  readonly secret: Uint8Array
  /** The first 128 bits of the hash of the CA's public key. */
  readonly caHash: Uint8Array
}

export const inviteIdBytes = 5
export const secretBytes = 16
const caHashBytes = 16
const checksumBytes = 3
const tokenBytes = inviteIdBytes + secretBytes + caHashBytes + checksumBytes
const tokenLength = (tokenBytes * 8) / 5

/** `publicKey`: SPKI, base64 or the bytes of it. */
export function caHashOf(publicKey: string | Uint8Array): Uint8Array {
  const spki = typeof publicKey === 'string' ? Buffer.from(publicKey, 'base64') : publicKey
  return createHash('sha256').update(spki).digest().subarray(0, caHashBytes)
}

/** What the state keeps in place of the secret: enough to check a proof. */
export function macKeyOf(secret: Uint8Array): Buffer {
  return createHash('sha256').update('holon-join').update(secret).digest()
}

/**
 * Proves that the sender has the secret and that `request` was meant for this very connection.
 * `exported`: keying material of the connection, so that nobody in the middle can pass it on.
 */
export function proofOf(macKey: Uint8Array, exported: Uint8Array, request: string): Buffer {
  return createHmac('sha256', macKey).update(exported).update(request).digest()
}

/** The label and length of `exported` above. */
export const exporterLabel = 'EXPORTER-holon-join-1'
export const exporterBytes = 32

export function formatToken({ inviteId, secret, caHash }: Token): string {
  const id = fromBase32(inviteId) ?? new Uint8Array()
  const body = Buffer.concat([id, secret, caHash])
  return base32(Buffer.concat([body, checksum(body)]))
}

/** `invalid_argument`, `details.kind` 'token-mistyped', for what nobody has printed. */
export function parseToken(text: string): Token {
  const word = text.trim().toLowerCase()
  if (word.length !== tokenLength)
    throw mistyped(`it has ${word.length} characters instead of ${tokenLength}`)
  const bytes = fromBase32(word)
  if (bytes === undefined) throw mistyped('it has characters that no token has')
  const body = bytes.subarray(0, tokenBytes - checksumBytes)
  if (!checksum(body).equals(bytes.subarray(tokenBytes - checksumBytes)))
    throw mistyped('its checksum is wrong')
  return {
    inviteId: base32(body.subarray(0, inviteIdBytes)),
    secret: body.subarray(inviteIdBytes, inviteIdBytes + secretBytes),
    caHash: body.subarray(inviteIdBytes + secretBytes),
  }
}

function checksum(body: Uint8Array): Buffer {
  const hash = createHash('sha256').update('holon-token-1').update(body).digest()
  return hash.subarray(0, checksumBytes)
}

function mistyped(why: string): HolonError {
  return new HolonError(
    'invalid_argument',
    `the token is mistyped or cut off: ${why}; copy the whole line that \`holon invite\` printed`,
    { details: { kind: 'token-mistyped' } },
  )
}
