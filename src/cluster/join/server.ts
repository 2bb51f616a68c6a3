/**
 * The joining protocol's side that is asked. Anybody may connect, so nothing is said before the
 * one message that is read has proven a right to an answer: a joining machine by the secret of an
 * invitation, a renewing one by a certificate of this fleet, which may have expired. Then it is
 * told exactly what is wrong, if something is.
 *
 * Bounds: limits.joinsMax conversations with strangers, the oldest of which gives way, so that
 * silent ones keep nobody out; limits.joinMs for each; one message of limits.joinMessageBytesMax.
 */
import { timingSafeEqual, type X509Certificate } from 'node:crypto'
import { deadline } from '../../base/clock.ts'
import { HolonError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import type { TlsConnection } from '../../io/tls.ts'
import type { Identity } from '../identity/identity.ts'
import { machineIdOf } from '../identity/machine-key.ts'
import { verifyPeer } from '../identity/verify.ts'
import { machinePrefix, parseMachineRecord } from '../members.ts'
import type { Authority } from './authority.ts'
import { type EnrollDeps, enroll } from './enroll.ts'
import { type InviteRecord, invitePrefix, parseInviteRecord } from './invites.ts'
import { readLine } from './line.ts'
import {
  type Answer,
  inviteIdOf,
  type JoinRefusal,
  type JoinRequest,
  type KnownMember,
  parseJoinRequest,
  parseQuestion,
  type Question,
} from './messages.ts'
import { exporterBytes, exporterLabel, proofOf } from './token.ts'

export interface JoinServerDeps extends EnrollDeps {
  readonly identity: Identity
  readonly authority: Authority
  readonly isRemoved: (machineId: string) => boolean
  /** This program's version. */
  readonly version: string
  /** Told of bugs; who asked is told to ask again. */
  readonly onInternalError: (error: unknown) => void
}

/** Members that an answer names: so many fit into a message, and one that answers is enough. */
const membersMax = 64
/** How long the answer may take to be read. */
const closeMs = 2000

export class JoinServer implements Disposable {
  readonly #deps: JoinServerDeps
  readonly #open = new Set<TlsConnection>()
  /** Those that have proven nothing yet. */
  readonly #strangers = new Set<TlsConnection>()

  constructor(deps: JoinServerDeps) {
    this.#deps = deps
  }

  /** Conversations now. */
  get size(): number {
    return this.#open.size
  }

  /** Serves one connection. Owns it. */
  accept(connection: TlsConnection): void {
    this.#open.add(connection)
    this.#strangers.add(connection)
    connection.socket.once('close', () => {
      this.#open.delete(connection)
      this.#strangers.delete(connection)
    })
    const [oldest] = this.#strangers
    if (this.#strangers.size > limits.joinsMax) oldest?.socket.destroy()
    void this.#serve(connection)
  }

  [Symbol.dispose](): void {
    for (const { socket } of this.#open) socket.destroy()
  }

  async #serve(connection: TlsConnection): Promise<void> {
    const { socket } = connection
    using limit = deadline(this.#deps.clock, limits.joinMs)
    try {
      const line = await readLine(socket, limits.joinMessageBytesMax, limit.signal)
      const answer = await this.#answer(connection, parseQuestion(line), limit.signal)
      if (answer === undefined) {
        socket.destroy()
        return
      }
      socket.end(`${JSON.stringify(answer)}\n`)
      const timer = this.#deps.clock.timer(closeMs, () => socket.destroy(), { background: true })
      socket.once('close', () => timer[Symbol.dispose]())
    } catch (error) {
      if (!(error instanceof HolonError)) this.#deps.onInternalError(error)
      socket.destroy()
    }
  }

  /** Undefined: who asks has proven nothing and gets nothing. */
  async #answer(
    connection: TlsConnection,
    question: Question | undefined,
    signal: AbortSignal,
  ): Promise<Answer | undefined> {
    const [leaf] = connection.peerChain
    if (question === undefined || leaf === undefined) return undefined
    if (question.kind === 'renew') return this.#renew(connection, leaf, signal)
    const invite = await this.#provenInvite(connection, question, signal)
    if (invite === undefined) return undefined
    this.#strangers.delete(connection)
    const request = parseJoinRequest(question.request)
    if (request === undefined)
      return refused('malformed', 'the fleet cannot read the request; the versions are different')
    return this.#answered(() => this.#join(connection, leaf, request, signal))
  }

  /**
   * The invitation whose secret the sender has. An older reading of the state is enough to know the
   * secret by, so that a fleet that cannot write can still say so.
   */
  async #provenInvite(
    connection: TlsConnection,
    { request, proof }: Extract<Question, { readonly kind: 'join' }>,
    signal: AbortSignal,
  ): Promise<InviteRecord | undefined> {
    const inviteId = inviteIdOf(request)
    if (inviteId === undefined) return undefined
    const { state } = this.#deps
    const key = `${invitePrefix}${inviteId}`
    const entry =
      (await state.get(key, { signal, stale: true })) ?? (await state.get(key, { signal }))
    if (entry === undefined) return undefined
    const invite = parseInviteRecord(entry.value)
    const exported = connection.exportKeyingMaterial(exporterLabel, exporterBytes)
    const right = proofOf(Buffer.from(invite.macKey, 'base64'), exported, request)
    return proof.length === right.length && timingSafeEqual(proof, right) ? invite : undefined
  }

  async #join(
    { remoteAddress }: TlsConnection,
    leaf: X509Certificate,
    request: JoinRequest,
    signal: AbortSignal,
  ): Promise<Answer> {
    const { authority, identity, version } = this.#deps
    const spki = leaf.publicKey.export({ type: 'spki', format: 'der' })
    const machineId = machineIdOf(spki)
    const publicKey = spki.toString('base64')
    // First, since a machine that cannot sign must not spend the token.
    const certPem = await authority.sign(machineId, publicKey, { signal })
    const applicant = { request, machineId, publicKey, remoteAddress, version }
    const decision = await enroll(this.#deps, applicant, { signal })
    if (decision.kind === 'refused') return decision
    const { clusterId, caPem } = identity
    const members = await this.#members(signal)
    return { kind: 'joined', clusterId, caPem, certPem, machine: decision.record, members }
  }

  async #renew(
    connection: TlsConnection,
    leaf: X509Certificate,
    signal: AbortSignal,
  ): Promise<Answer | undefined> {
    const { clock, identity, isRemoved, authority } = this.#deps
    const verdict = verifyPeer({
      chain: connection.peerChain,
      caPem: identity.caPem,
      clusterId: identity.clusterId,
      nowMs: clock.wallMs(),
      isRemoved: () => false,
    })
    if (verdict.kind === 'refused') return undefined
    this.#strangers.delete(connection)
    // The key is genuine, so it may know why its machine is refused.
    if (isRemoved(verdict.machineId)) return refused('removed', removedText)
    return this.#answered(async () => {
      const publicKey = leaf.publicKey.export({ type: 'spki', format: 'der' }).toString('base64')
      const certPem = await authority.issue(verdict.machineId, publicKey, { signal })
      return { kind: 'renewed', certPem }
    })
  }

  async #members(signal: AbortSignal): Promise<readonly KnownMember[]> {
    const { entries } = await this.#deps.state.list(machinePrefix, { signal })
    return entries.slice(0, membersMax).map(({ value }) => {
      const { machineId, name, addresses } = parseMachineRecord(value)
      return { machineId, name, addresses }
    })
  }

  /** What fails after the proof is said, so that the other side knows whether to try again. */
  async #answered(work: () => Promise<Answer>): Promise<Answer> {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof HolonError) || error.code === 'internal')
        this.#deps.onInternalError(error)
      if (!(error instanceof HolonError)) return unwritable('of a fault of its own')
      const kind = error.details['kind']
      if (kind === 'removed') return refused('removed', removedText)
      if (kind === 'not-a-member')
        return refused('not-a-member', 'this machine is not in the fleet any more; join it again')
      if (error.code === 'unsupported')
        return refused('elsewhere', 'this machine does not keep the fleet’s state; ask another one')
      return unwritable(error.message)
    }
  }
}

const removedText =
  'this machine was removed from the fleet; to let it in again as a new machine, run ' +
  '`holon leave` on it, then join with a new invitation'

function unwritable(why: string): Answer {
  return refused(
    'state-unavailable',
    `the fleet cannot write its state now: ${why}; run the same command again later, nothing is ` +
      'lost by that; `holon machines` on one of its machines says what is wrong',
  )
}

function refused(reason: JoinRefusal, text: string): Answer {
  return { kind: 'refused', reason, text }
}
