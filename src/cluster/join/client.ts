/**
 * The joining protocol's side that asks. It makes sure of the fleet first: the CA by its hash in
 * the token (or, for renewing, the CA it has), then the other machine by that CA. Only then it says
 * something, and the secret is not part of it.
 */
import { X509Certificate } from 'node:crypto'
import { type Clock, deadline } from '../../base/clock.ts'
import { asHolonError, HolonError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import { connectTls, type TlsConnection, type TlsCredentials } from '../../io/tls.ts'
import { parseAddress } from '../identity/address.ts'
import { selfSignedCertificate } from '../identity/certificates.ts'
import type { FleetPapers, Identity } from '../identity/identity.ts'
import type { MachineKey } from '../identity/machine-key.ts'
import { alpnOf } from '../identity/protocols.ts'
import type { Issuer } from '../identity/renewal.ts'
import { type PeerVerdict, verifyPeer } from '../identity/verify.ts'
import type { MachineRecord } from '../members.ts'
import { readLine } from './line.ts'
import {
  type Answer,
  type JoinRefusal,
  type JoinRequest,
  type KnownMember,
  parseAnswer,
  type Question,
  questionLine,
} from './messages.ts'
import {
  caHashOf,
  exporterBytes,
  exporterLabel,
  macKeyOf,
  parseToken,
  proofOf,
  type Token,
} from './token.ts'

export interface JoinOptions
  extends Pick<JoinRequest, 'name' | 'zone' | 'labels' | 'addresses' | 'listenPort' | 'version'> {
  /** "10.77.0.1:4656", of any machine that keeps the fleet's state. */
  readonly address: string
  readonly token: string
  readonly key: MachineKey
  readonly signal: AbortSignal
}

export interface JoinResult {
  /** For `saveIdentity`. */
  readonly papers: FleetPapers
  readonly machine: MachineRecord
  readonly members: readonly KnownMember[]
}

/**
 * Joins. Idempotent for one key and token: after a lost answer the same call gives the same.
 * `invalid_argument` for a token or address that is none; `permission_denied` with `details.kind`
 * for each refusal; `unavailable` when nobody answers, retryable where that may change.
 */
export async function joinFleet(clock: Clock, options: JoinOptions): Promise<JoinResult> {
  const { address, key, signal } = options
  const token = parseToken(options.token)
  const nowMs = clock.wallMs()
  const cert = await selfSignedCertificate({ ...key, nowMs })
  const connection = await connect(address, { key: key.keyPem, cert }, signal)
  try {
    const caPem = authenticFleet(connection, token, { address, nowMs: clock.wallMs() })
    const question = joinQuestion(connection, token, { ...options, atMs: clock.wallMs() })
    const answer = await ask(clock, connection, question, signal)
    if (answer.kind === 'refused') throw refusal(`join by "${address}"`, answer)
    if (answer.kind !== 'joined') throw wrongAnswer()
    const { clusterId, certPem, machine, members } = answer
    return { papers: { clusterId, caPem, certPem }, machine, members }
  } catch (error) {
    throw explained(error, address)
  } finally {
    connection.socket.destroy()
  }
}

/** Renews over the port of any machine that keeps the state, also with an expired certificate. */
export class PortIssuer implements Issuer {
  readonly #clock: Clock
  readonly #identity: Identity
  readonly #addresses: () => readonly string[]

  /** `addresses`: where to ask, the most promising first. */
  constructor(clock: Clock, identity: Identity, addresses: () => readonly string[]) {
    this.#clock = clock
    this.#identity = identity
    this.#addresses = addresses
  }

  async issue(
    machineId: string,
    _publicKey: string,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<string> {
    if (machineId !== this.#identity.machineId)
      throw new HolonError('unsupported', 'renew: only a machine’s own certificate')
    let last: unknown = new HolonError('unavailable', 'renew the certificate: no address is known')
    for (const address of this.#addresses()) {
      using limit = deadline(this.#clock, limits.dialTimeoutMs, signal)
      try {
        return await this.#renewAt(address, limit.signal)
      } catch (error) {
        if (signal.aborted) throw error
        last = error
        // The fleet has decided; others would say the same.
        if (error instanceof HolonError && error.details['kind'] === 'removed') break
      }
    }
    throw last
  }

  async #renewAt(address: string, signal: AbortSignal): Promise<string> {
    const { caPem, clusterId, credentials } = this.#identity
    const connection = await connect(address, credentials, signal)
    try {
      const nowMs = this.#clock.wallMs()
      const chain = connection.peerChain
      const isRemoved = () => false
      const verdict = verifyPeer({ chain, caPem, clusterId, nowMs, isRemoved })
      if (verdict.kind !== 'machine') throw unfitServer(verdict, { address, nowMs })
      const answer = await ask(this.#clock, connection, { kind: 'renew' }, signal)
      if (answer.kind === 'refused') throw refusal(`renew by "${address}"`, answer)
      if (answer.kind !== 'renewed') throw wrongAnswer()
      return answer.certPem
    } finally {
      connection.socket.destroy()
    }
  }
}

function connect(
  address: string,
  credentials: TlsCredentials,
  signal: AbortSignal,
): Promise<TlsConnection> {
  return connectTls({ ...parseAddress(address), alpn: alpnOf.join, credentials, signal })
}

/** The fleet's CA, when the other side is a machine of the fleet that made the token. */
function authenticFleet(
  { peerChain }: TlsConnection,
  token: Token,
  where: { readonly address: string; readonly nowMs: number },
): string {
  const ca = peerChain.find((certificate) => {
    const spki = certificate.publicKey.export({ type: 'spki', format: 'der' })
    return Buffer.compare(caHashOf(spki), token.caHash) === 0
  })
  if (ca === undefined)
    throw denied(
      'wrong-fleet',
      `join by "${where.address}": what answers there is not the fleet that made this token; ` +
        'nothing was said to it; check the address, and that both are of one line',
    )
  const caPem = new X509Certificate(ca.raw).toString()
  const isRemoved = () => false
  const verdict = verifyPeer({ chain: peerChain, caPem, nowMs: where.nowMs, isRemoved })
  if (verdict.kind === 'machine') return caPem
  throw unfitServer(verdict, where)
}

function unfitServer(
  verdict: PeerVerdict,
  { address, nowMs }: { readonly address: string; readonly nowMs: number },
): HolonError {
  const here = `here it is ${new Date(nowMs).toISOString()}`
  const action = `speak to "${address}"`
  if (verdict.kind === 'expired') {
    const end = new Date(verdict.notAfterMs).toISOString()
    return denied(
      'clock',
      `${action}: its certificate ended at ${end}, and ${here}; if this machine's clock is ` +
        'ahead, set it; else that machine will renew by itself within minutes, so try again',
    )
  }
  if (verdict.kind === 'refused' && verdict.reason === 'not-yet-valid')
    return denied(
      'clock',
      `${action}: ${verdict.why}; this machine's clock is behind, or that one's is ahead: set ` +
        'the wrong one (`date`, or a time service such as chrony), then try again',
    )
  const why = verdict.kind === 'refused' ? verdict.why : 'it is no machine'
  return denied('wrong-fleet', `${action}: it is no machine of this fleet: ${why}`)
}

function joinQuestion(
  connection: TlsConnection,
  { inviteId, secret }: Token,
  wish: Omit<JoinRequest, 'inviteId'>,
): Question {
  const { atMs, name, zone, labels, addresses, listenPort, version } = wish
  const said: JoinRequest = {
    inviteId,
    atMs,
    name,
    zone,
    labels,
    addresses,
    listenPort,
    version,
  }
  const request = JSON.stringify(said)
  const exported = connection.exportKeyingMaterial(exporterLabel, exporterBytes)
  return { kind: 'join', request, proof: proofOf(macKeyOf(secret), exported, request) }
}

async function ask(
  clock: Clock,
  { socket }: TlsConnection,
  question: Question,
  signal: AbortSignal,
): Promise<Answer> {
  using limit = deadline(clock, limits.joinMs + limits.dialTimeoutMs, signal)
  const line = questionLine(question)
  if (Buffer.byteLength(line) > limits.joinMessageBytesMax)
    throw new HolonError('invalid_argument', 'join: the labels and addresses are too long')
  const answer = readLine(socket, limits.joinMessageBytesMax, limit.signal)
  socket.write(line)
  return parseAnswer(await answer)
}

const retryableRefusals: ReadonlySet<JoinRefusal> = new Set(['state-unavailable', 'elsewhere'])

function refusal(
  action: string,
  { reason, text }: Extract<Answer, { readonly kind: 'refused' }>,
): HolonError {
  if (retryableRefusals.has(reason))
    return new HolonError('unavailable', `${action}: ${text}`, {
      details: { kind: reason },
      outcome: reason === 'elsewhere' ? 'none' : 'unknown',
    })
  return denied(reason, `${action}: ${text}`)
}

/** Being closed without a word has a meaning, which the stream does not know. */
function explained(thrown: unknown, address: string): HolonError {
  const error = asHolonError(thrown, `join by "${address}"`)
  if (error.details['kind'] !== 'closed') return error
  return new HolonError(
    'permission_denied',
    `join by "${address}": it closed without an answer, as it does for whoever has no valid ` +
      'invitation: the token may be weeks old or from before a restore of the state, or that ' +
      'machine cannot read the state just now; try again, or make a new one with `holon invite`',
    { details: { kind: 'not-answered' }, cause: thrown },
  )
}

function denied(kind: string, message: string): HolonError {
  return new HolonError('permission_denied', message, { details: { kind } })
}

function wrongAnswer(): HolonError {
  return new HolonError('internal', 'the fleet answered another question than was asked')
}
