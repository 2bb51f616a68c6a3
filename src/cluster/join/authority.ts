/**
 * Signing for the fleet, where its state is at hand: the CA's key is read from the state for each
 * certificate and kept nowhere else. A machine whose engine has no majority cannot sign, which is
 * right: it could not know who was removed. It gives up after limits.joinMs, so that another way
 * to a certificate can be tried.
 */
import { type Clock, deadline } from '../../base/clock.ts'
import { HolonError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import type { State } from '../../state/port.ts'
import { isJsonObject, stringField } from '../fields.ts'
import { type CertificateAuthority, issueCertificate } from '../identity/certificates.ts'
import { machineIdOf } from '../identity/machine-key.ts'
import type { Issuer } from '../identity/renewal.ts'
import { machinePrefix, parseMachineRecord, removedPrefix } from '../members.ts'

export const caKey = 'fleet/private/ca'

/** Also signs for machines that are about to join; nobody may call that for anything else. */
export interface Authority extends Issuer {
  sign(
    machineId: string,
    publicKey: string,
    options: { readonly signal: AbortSignal },
  ): Promise<string>
}

export class StateAuthority implements Authority {
  readonly #clock: Clock
  readonly #state: State
  readonly #clusterId: string

  constructor(clock: Clock, state: State, clusterId: string) {
    this.#clock = clock
    this.#state = state
    this.#clusterId = clusterId
  }

  async issue(
    machineId: string,
    publicKey: string,
    options: { readonly signal: AbortSignal },
  ): Promise<string> {
    using limit = deadline(this.#clock, limits.joinMs, options.signal)
    const [removed, member] = await Promise.all([
      this.#state.get(`${removedPrefix}${machineId}`, limit),
      this.#state.get(`${machinePrefix}${machineId}`, limit),
    ])
    if (removed !== undefined) throw denied('removed', 'it was removed from the fleet')
    if (member === undefined) throw denied('not-a-member', 'it is not in the fleet')
    if (parseMachineRecord(member.value).publicKey !== publicKey)
      throw denied('not-a-member', 'the fleet knows it by another key')
    return await this.sign(machineId, publicKey, limit)
  }

  async sign(
    machineId: string,
    publicKey: string,
    options: { readonly signal: AbortSignal },
  ): Promise<string> {
    if (machineIdOf(publicKey) !== machineId) throw denied('not-a-member', 'its key is not its id')
    using limit = deadline(this.#clock, limits.joinMs, options.signal)
    const entry = await this.#state.get(caKey, limit)
    if (entry === undefined)
      throw new HolonError('unsupported', 'issue a certificate: the CA is not in the state here')
    const nowMs = this.#clock.wallMs()
    const ca = parseCa(entry.value)
    return issueCertificate({ ca, machineId, publicKey, clusterId: this.#clusterId, nowMs })
  }
}

/** `fleet/private/ca`, schema 1. Throws `internal` for what is none. */
export function parseCa(value: unknown): CertificateAuthority {
  if (isJsonObject(value)) {
    const keyPem = stringField(value, 'keyPem')
    const certPem = stringField(value, 'certPem')
    if (keyPem !== undefined && certPem !== undefined) return { keyPem, certPem }
  }
  throw new HolonError('internal', 'the state has a CA that this version cannot read')
}

function denied(kind: string, why: string): HolonError {
  return new HolonError('permission_denied', `issue a certificate for a machine: ${why}`, {
    details: { kind },
  })
}
