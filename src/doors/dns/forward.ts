/**
 * Questions that are not about our zone, passed on as they are to a server that somebody named, and
 * its answers as they come. Each over a socket of its own with an id of its own: who cannot see
 * them cannot guess either.
 */
import { type Clock, deadline } from '../../base/clock.ts'
import { limits } from '../../base/limits.ts'
import type { Random } from '../../base/random.ts'
import { connectTcp, type TcpPlace } from '../../io/tcp.ts'
import { readFrames, writeFrame } from '../../io/tcp-frames.ts'
import { askUdp } from '../../io/udp.ts'

export interface ForwardDeps {
  readonly clock: Clock
  readonly random: Random
}

export type Transport = 'udp' | 'tcp'

const headerBytes = 12

export class Forwarder {
  readonly #deps: ForwardDeps
  readonly #servers: readonly TcpPlace[]
  #underWay = 0

  constructor(deps: ForwardDeps, servers: readonly TcpPlace[]) {
    this.#deps = deps
    this.#servers = servers
  }

  get isOn(): boolean {
    return this.#servers.length > 0
  }

  /** Undefined when no server answers, or too many questions are under way. */
  async ask(packet: Buffer, over: Transport, signal: AbortSignal): Promise<Buffer | undefined> {
    if (this.#underWay >= limits.dnsForwardsMax) return undefined
    this.#underWay += 1
    try {
      for (const server of this.#servers) {
        const answer = await this.#askOne(server, packet, over, signal)
        if (answer !== undefined) return answer
      }
      return undefined
    } finally {
      this.#underWay -= 1
    }
  }

  async #askOne(
    server: TcpPlace,
    packet: Buffer,
    over: Transport,
    signal: AbortSignal,
  ): Promise<Buffer | undefined> {
    const { clock, random } = this.#deps
    using limit = deadline(clock, limits.dnsForwardMs, signal)
    const asked = Buffer.from(packet)
    asked.set(random.bytes(2))
    const isAnswer = (answer: Buffer) =>
      answer.length >= headerBytes &&
      answer.readUInt16BE() === asked.readUInt16BE() &&
      ((answer[2] ?? 0) & 0x80) !== 0
    try {
      const ask = over === 'udp' ? askUdp : askTcp
      const answer = Buffer.from(await ask(server, asked, isAnswer, limit.signal))
      answer.writeUInt16BE(packet.readUInt16BE())
      return answer
    } catch {
      return undefined
    }
  }
}

async function askTcp(
  server: TcpPlace,
  packet: Buffer,
  isAnswer: (answer: Buffer) => boolean,
  signal: AbortSignal,
): Promise<Buffer> {
  const socket = await connectTcp(server, signal)
  const end = () => socket.destroy()
  signal.addEventListener('abort', end, { once: true })
  try {
    await writeFrame(socket, packet)
    const bounds = { bytesMax: 65_535, idleMs: limits.dnsForwardMs }
    for await (const answer of readFrames(socket, bounds)) {
      if (isAnswer(answer)) return answer
    }
    throw new Error('the connection ended without an answer')
  } finally {
    signal.removeEventListener('abort', end)
    socket.destroy()
  }
}
