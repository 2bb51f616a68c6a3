/**
 * A machine's key pair, which is what the machine is: made here, kept here, never sent. Its id is
 * the beginning of the public key's hash, so an id cannot be claimed without the key.
 *
 * It lies in `<stateDir>/identity/key.pem`, mode 0600, in a directory of mode 0700. Copying it
 * copies the machine; a snapshot or an image of a machine that has joined must leave it out.
 */
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto'
import { HolonError } from '../../base/errors.ts'
import { ensureDir, joinPath, readTextIfThere } from '../../io/files.ts'
import { writeDurablySync } from '../../io/state-files.ts'
import { base32 } from './base32.ts'

export interface MachineKey {
  readonly machineId: string
  /** SPKI, base64. */
  readonly publicKey: string
  /** PKCS8. A secret. */
  readonly keyPem: string
}

const machineIdLength = 26

/** 130 bits of the key's hash. `publicKey`: SPKI, base64 or the bytes of it. */
export function machineIdOf(publicKey: string | Uint8Array): string {
  const spki = typeof publicKey === 'string' ? Buffer.from(publicKey, 'base64') : publicKey
  return base32(createHash('sha256').update(spki).digest()).slice(0, machineIdLength)
}

export function isMachineId(text: string): boolean {
  return /^[a-z2-7]{26}$/.test(text)
}

/** A P-256 key pair, PKCS8 PEM and SPKI base64. */
export function newKeyPair(): { readonly keyPem: string; readonly publicKey: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'der' },
  })
  return { keyPem: privateKey, publicKey: publicKey.toString('base64') }
}

/** The key in `dir`, or undefined when there is none. `internal` when it cannot be read as one. */
export function loadMachineKey(dir: string): MachineKey | undefined {
  const path = keyPath(dir)
  const keyPem = readTextIfThere(path)
  return keyPem === undefined ? undefined : machineKeyFrom(keyPem, path)
}

/** The key in `dir`; made when there is none, and on the disk when this returns. */
export function loadOrMakeMachineKey(dir: string): MachineKey {
  const there = loadMachineKey(dir)
  if (there !== undefined) return there
  ensureDir(dir, 0o700)
  const { keyPem } = newKeyPair()
  writeDurablySync(keyPath(dir), keyPem)
  return machineKeyFrom(keyPem, keyPath(dir))
}

export function keyPath(dir: string): string {
  return joinPath(dir, 'key.pem')
}

function machineKeyFrom(keyPem: string, path: string): MachineKey {
  try {
    const spki = createPublicKey(createPrivateKey(keyPem)).export({ type: 'spki', format: 'der' })
    return { machineId: machineIdOf(spki), publicKey: spki.toString('base64'), keyPem }
  } catch (cause) {
    throw new HolonError(
      'internal',
      `read this machine's key "${path}": it is damaged; restore it from a backup, or remove ` +
        'the machine from the fleet, delete the file and join again under a new identity',
      { cause },
    )
  }
}
