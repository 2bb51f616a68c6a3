/**
 * What this machine is in its fleet: its key, its certificate, the CA and the cluster's id, kept in
 * `<stateDir>/identity/`. A machine on its own has a key at most.
 *
 * Invariants: `fleet.json` is replaced as a whole and on the disk before its content is used; the
 * certificate in it is always for the key beside it and by the CA in it.
 */
import { X509Certificate } from 'node:crypto'
import { HolonError } from '../../base/errors.ts'
import { ensureDir, joinPath, readTextIfThere, removeTree } from '../../io/files.ts'
import { writeDurablySync } from '../../io/state-files.ts'
import type { TlsCredentials } from '../../io/tls.ts'
import { isJsonObject, stringField } from '../fields.ts'
import { loadMachineKey, type MachineKey } from './machine-key.ts'
import { validityOf, verifyPeer } from './verify.ts'

/** What a fleet gives to a machine. */
export interface FleetPapers {
  readonly clusterId: string
  readonly caPem: string
  readonly certPem: string
}

export class Identity {
  readonly machineId: string
  readonly clusterId: string
  readonly caPem: string
  readonly key: MachineKey
  readonly #dir: string
  #certPem: string
  #credentials: TlsCredentials

  /** Of papers that were checked and saved: `loadIdentity`, `saveIdentity`. */
  constructor(dir: string, key: MachineKey, papers: FleetPapers) {
    this.#dir = dir
    this.key = key
    this.machineId = key.machineId
    this.clusterId = papers.clusterId
    this.caPem = papers.caPem
    this.#certPem = papers.certPem
    this.#credentials = credentialsOf(key, papers)
  }

  get certPem(): string {
    return this.#certPem
  }

  /** The same object until the certificate changes. With the CA, which a joiner needs to see. */
  get credentials(): TlsCredentials {
    return this.#credentials
  }

  /** When the certificate is valid, without grace. */
  get validity(): { readonly notBeforeMs: number; readonly notAfterMs: number } {
    return validityOf(this.#certPem)
  }

  /** Takes over a renewed certificate. `internal` when it is not for this machine. */
  replace(certPem: string): void {
    const papers = { clusterId: this.clusterId, caPem: this.caPem, certPem }
    checkPapers(this.key, papers)
    write(this.#dir, papers)
    this.#certPem = certPem
    this.#credentials = credentialsOf(this.key, papers)
  }
}

/** The identity in `dir`, or undefined for a machine on its own. */
export function loadIdentity(dir: string): Identity | undefined {
  const path = papersPath(dir)
  const text = readTextIfThere(path)
  if (text === undefined) return undefined
  const key = loadMachineKey(dir)
  try {
    if (key === undefined) throw new HolonError('internal', 'the key beside it is missing')
    const papers = parsePapers(text)
    checkPapers(key, papers)
    return new Identity(dir, key, papers)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new HolonError(
      'internal',
      `read this machine's place in the fleet, "${path}": ${why}; restore "${dir}" from a ` +
        'backup, or delete it, remove the machine from the fleet and join again',
      { cause },
    )
  }
}

/** Makes this machine one of a fleet, from now on and after a restart. */
export function saveIdentity(dir: string, key: MachineKey, papers: FleetPapers): Identity {
  checkPapers(key, papers)
  ensureDir(dir, 0o700)
  write(dir, papers)
  return new Identity(dir, key, papers)
}

/**
 * Leaves nothing of the fleet here, the key included: a machine that joins again is a new one, also
 * when the old one was removed. Idempotent.
 */
export function forgetIdentity(dir: string): void {
  removeTree(dir)
}

function credentialsOf(key: MachineKey, { certPem, caPem }: FleetPapers): TlsCredentials {
  return { key: key.keyPem, cert: certPem + caPem }
}

/** Time does not matter: an expired certificate is still the proof of who this is. */
function checkPapers(key: MachineKey, { certPem, caPem, clusterId }: FleetPapers): void {
  const certificate = new X509Certificate(certPem)
  const verdict = verifyPeer({
    chain: [certificate],
    caPem,
    clusterId,
    nowMs: validityOf(certificate).notBeforeMs,
    isRemoved: () => false,
  })
  if (verdict.kind === 'machine' && verdict.machineId === key.machineId) return
  const why = verdict.kind === 'refused' ? verdict.why : 'it is for another key'
  throw new HolonError('internal', `take over a certificate: ${why}`)
}

function papersPath(dir: string): string {
  return joinPath(dir, 'fleet.json')
}

function write(dir: string, papers: FleetPapers): void {
  writeDurablySync(papersPath(dir), `${JSON.stringify({ schema: 1, ...papers })}\n`)
}

function parsePapers(text: string): FleetPapers {
  const value: unknown = JSON.parse(text)
  if (isJsonObject(value) && value['schema'] === 1) {
    const clusterId = stringField(value, 'clusterId')
    const caPem = stringField(value, 'caPem')
    const certPem = stringField(value, 'certPem')
    if (clusterId !== undefined && caPem !== undefined && certPem !== undefined)
      return { clusterId, caPem, certPem }
  }
  throw new HolonError('internal', 'it is damaged, or by a newer version')
}
