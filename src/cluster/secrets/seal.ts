/**
 * Sealing: bytes become text that only the holder of one private key can open, and that says
 * nothing else but how long they are. Whoever has the public key can seal, so a secret is sealed
 * where it is typed. Keys are those of machine-key.ts: P-256.
 *
 * Each seal makes a key pair of its own; the secret that it shares with the receiver's key gives,
 * through HKDF-SHA-256, a key and a nonce for AES-256-GCM. Both are used once. What is sealed is
 * bound to its context ("secret db/3"): put in another's place, it does not open.
 */
import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  hkdfSync,
} from 'node:crypto'
import { HolonError } from '../../base/errors.ts'
import { newKeyPair } from '../identity/machine-key.ts'

const algorithm = 'aes-256-gcm'
const keyBytes = 32
const nonceBytes = 12
const tagBytes = 16

/** `publicKey`: SPKI, base64. */
export function seal(publicKey: string, bytes: Uint8Array, context: string): string {
  const once = newKeyPair()
  const { key, nonce } = derive(once.keyPem, publicKey, [once.publicKey, publicKey], context)
  const cipher = createCipheriv(algorithm, key, nonce).setAAD(Buffer.from(context))
  const body = Buffer.concat([cipher.update(bytes), cipher.final(), cipher.getAuthTag()])
  return `1 ${once.publicKey} ${body.toString('base64')}`
}

/** `internal` for what was sealed for another key or context, or was changed. */
export function unseal(keyPem: string, sealed: string, context: string): Buffer {
  const [version, oncePublic = '', body = ''] = sealed.split(' ')
  try {
    if (version !== '1') throw new Error(`unknown form ${version}`)
    const own = createPublicKey(createPrivateKey(keyPem))
    const publicKey = own.export({ type: 'spki', format: 'der' }).toString('base64')
    const { key, nonce } = derive(keyPem, oncePublic, [oncePublic, publicKey], context)
    const bytes = Buffer.from(body, 'base64')
    const at = bytes.length - tagBytes
    const decipher = createDecipheriv(algorithm, key, nonce, { authTagLength: tagBytes })
    decipher.setAAD(Buffer.from(context)).setAuthTag(bytes.subarray(at))
    return Buffer.concat([decipher.update(bytes.subarray(0, at)), decipher.final()])
  } catch (cause) {
    const why = 'it was sealed for another key, or is damaged'
    throw new HolonError('internal', `open the sealed ${context}: ${why}`, { cause })
  }
}

function derive(
  ownKeyPem: string,
  otherPublicKey: string,
  transcript: readonly string[],
  context: string,
): { readonly key: Buffer; readonly nonce: Buffer } {
  const publicKey = createPublicKey({
    key: Buffer.from(otherPublicKey, 'base64'),
    format: 'der',
    type: 'spki',
  })
  const shared = diffieHellman({ privateKey: createPrivateKey(ownKeyPem), publicKey })
  const salt = transcript.join(' ')
  const info = `holon sealed/1 ${context}`
  const derived = Buffer.from(hkdfSync('sha256', shared, salt, info, keyBytes + nonceBytes))
  return { key: derived.subarray(0, keyBytes), nonce: derived.subarray(keyBytes) }
}
