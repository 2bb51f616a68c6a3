/**
 * The DNS server of a machine: questions about `holon.` are answered by the kernel, others passed on
 * if somebody asked for that, else refused.
 *
 * It tells names and addresses to whoever reaches the address that it listens on: by default that
 * is whoever runs a program on this machine. Nothing can be changed through it.
 *
 * Bounds: limits.dnsQuestionsMax questions at a time, over UDP more are dropped and over TCP wait;
 * each ends after `answerMs`. What is no question is dropped or refused, see packet.ts. When the
 * agent dies nobody answers, and the names that programs have keep for limits.dnsTtlS.
 */
import { type Clock, deadline, sleep } from '../../base/clock.ts'
import { asHolonError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import { type Random, randomBelow } from '../../base/random.ts'
import { formatPlace, listenTcp, type TcpPlace, type TcpSocket } from '../../io/tcp.ts'
import { readFrames, writeFrame } from '../../io/tcp-frames.ts'
import { listenUdp } from '../../io/udp.ts'
import type { System } from '../../kernel/kernel.ts'
import { Forwarder, type Transport } from './forward.ts'
import { type Query, type Reply, readQuery, udpBytes, writeReply } from './packet.ts'
import type { DnsSettings } from './settings.ts'
import { askedBy, type Found, refusal, replyOfZone, replyTo } from './zone.ts'

export interface DnsDeps {
  readonly clock: Clock
  readonly random: Random
  /** For somebody without any rights: names need none. */
  readonly system: Pick<System, 'resolve'>
  readonly report: (message: string) => void
}

/** Resolvers ask again, or somebody else, after five seconds. */
const answerMs = 4_000
/** The port may become free. */
const retryMs = 10_000
const tcpBytesMax = 65_535
/** A question has one name. */
const questionBytesMax = 4_096

export class DnsServer implements AsyncDisposable {
  readonly #deps: DnsDeps
  readonly #settings: DnsSettings
  readonly #forwarder: Forwarder
  readonly #ends = new AsyncDisposableStack()
  readonly #life = new AbortController()
  readonly #connections = new Set<TcpSocket>()
  #underWay = 0

  constructor(deps: DnsDeps, settings: DnsSettings) {
    this.#deps = deps
    this.#settings = settings
    this.#forwarder = new Forwarder(deps, settings.forward)
  }

  /** Listens, at once or as soon as it can. A machine without its names works on. */
  start(): void {
    const { listen } = this.#settings
    if (listen !== undefined) void this.#listenAtLast(listen)
  }

  /** Rejects when it cannot. Resolves with the port. */
  async listen({ host, port }: TcpPlace): Promise<number> {
    await using opened = new AsyncDisposableStack()
    const udp = opened.use(
      await listenUdp({ host, port }, (packet, from) => {
        void this.#answer(packet, 'udp').then((reply) => {
          if (reply !== undefined) udp.send(reply, from)
        })
      }),
    )
    const serve = (socket: TcpSocket) => void this.#serve(socket)
    opened.use(await listenTcp(udp.port, limits.dnsConnectionsMax, serve, host))
    this.#ends.use(opened.move())
    return udp.port
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#life.abort()
    for (const socket of this.#connections) socket.destroy()
    await this.#ends.disposeAsync()
  }

  async #listenAtLast(place: TcpPlace): Promise<void> {
    const { clock, report } = this.#deps
    const { signal } = this.#life
    let said = ''
    while (!signal.aborted) {
      try {
        await this.listen(place)
        report(`DNS: names are answered on ${formatPlace(place)}`)
        return
      } catch (error) {
        const { message } = asHolonError(error)
        if (message !== said) report(`DNS: ${message}; \`holon up --dns ADDRESS\` chooses another`)
        said = message
      }
      await sleep(clock, retryMs, signal).catch(() => {})
    }
  }

  /** Questions of one connection, one after the other. */
  async #serve(socket: TcpSocket): Promise<void> {
    this.#connections.add(socket)
    try {
      const bounds = { bytesMax: questionBytesMax, idleMs: limits.dnsIdleMs }
      for await (const packet of readFrames(socket, bounds)) {
        const reply = await this.#answer(packet, 'tcp')
        if (reply === undefined) break
        await writeFrame(socket, reply)
      }
      socket.end()
    } catch {
      // The client is gone.
    } finally {
      this.#connections.delete(socket)
      socket.destroySoon()
    }
  }

  /** Undefined: there is to be no answer. Never rejects. */
  async #answer(packet: Buffer, over: Transport): Promise<Buffer | undefined> {
    const read = readQuery(packet)
    if (read.kind === 'refuse') return read.answer
    if (read.kind === 'drop' || this.#underWay >= limits.dnsQuestionsMax) return undefined
    this.#underWay += 1
    using limit = deadline(this.#deps.clock, answerMs, this.#life.signal)
    try {
      const { query } = read
      const reply = await this.#reply(query, limit.signal)
      if (reply === 'outside') {
        const answer = await this.#forwarder.ask(packet, over, limit.signal)
        return answer ?? this.#write(query, refusal('serverFailure'), over)
      }
      return this.#write(query, reply, over)
    } catch (error) {
      if (!this.#life.signal.aborted) this.#deps.report(`bug: answer a name: ${String(error)}`)
      return undefined
    } finally {
      this.#underWay -= 1
    }
  }

  async #reply(query: Query, signal: AbortSignal): Promise<Reply | 'outside'> {
    const { question } = query
    const asked = askedBy(question)
    const outside = this.#forwarder.isOn ? 'outside' : refusal('refused')
    if (asked.kind === 'outside') return outside
    if (asked.kind === 'zone') return replyOfZone(question, asked.isApex)
    const found = await this.#resolve(asked.name, signal)
    // Of an address that is no machine's others may know more.
    if (asked.kind === 'reverse' && found.kind === 'failed') return outside
    return replyTo(question, asked, found, (values) => this.#shuffle(values))
  }

  async #resolve(name: string, signal: AbortSignal): Promise<Found> {
    try {
      return { kind: 'found', resolution: await this.#deps.system.resolve(name, { signal }) }
    } catch (error) {
      return { kind: 'failed', error: asHolonError(error) }
    }
  }

  #write(query: Query, reply: Reply, over: Transport): Buffer {
    const bytesMax = over === 'udp' ? udpBytes(query) : tcpBytesMax
    return writeReply(query, reply, { bytesMax, forwards: this.#forwarder.isOn })
  }

  #shuffle<T>(values: readonly T[]): readonly T[] {
    const left = [...values]
    return values.flatMap(() => left.splice(randomBelow(this.#deps.random, left.length), 1))
  }
}
