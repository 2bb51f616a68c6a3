/**
 * One end of a link: capnweb's messages as lines of JSON on a byte stream; docs/protocol.md has the
 * format. It adds what capnweb leaves out: the hello, heartbeats, bounds, and an end with a reason.
 *
 * Two things make a call cheap. All messages of one turn of the event loop leave in one write. And
 * a call is one message, capnweb's `stream` (push, pull and release in one), which is right because
 * this protocol never refers to the result of a call by its number: capabilities are exported.
 *
 * Invariants: after the end nothing is delivered and nothing sent; the end is reported exactly
 * once, before capnweb learns of it.
 */
import type { Duplex } from 'node:stream'
import type { RpcTransportWithCustomEncoding } from 'capnweb'
import type { Clock } from '../base/clock.ts'
import { asHolonError, HolonError } from '../base/errors.ts'
import { greeting, readGreeting } from './greeting.ts'
import { LineSplitter } from './lines.ts'
import { Liveness } from './liveness.ts'
import { parseMessage, type Role } from './messages.ts'
import type { RpcLimits } from './rpc-limits.ts'
import { fromWireExpression, wireExpression } from './wire-errors.ts'

/** How long an ended socket may take to deliver its last bytes. */
const closeGraceMs = 1000

export interface TransportOptions {
  readonly role: Role
  /** This program's version, for the hello. */
  readonly version: string
  /** For messages: `the agent at "/run/…"`. */
  readonly peer: string
  readonly limits: RpcLimits
}

export interface TransportHooks {
  /** Whether calls are in flight, so that silence of the peer matters. */
  busy(): boolean
  ended(reason: HolonError): void
}

export class Transport implements RpcTransportWithCustomEncoding {
  readonly encodingLevel = 'jsonCompatible'
  /** Resolves once the socket is closed. */
  readonly closed: Promise<void>
  readonly #clock: Clock
  readonly #socket: Duplex
  readonly #hooks: TransportHooks
  readonly #options: TransportOptions
  readonly #liveness: Liveness
  #greeted = false
  #reason: HolonError | undefined
  #outgoing: string
  #flushing = false
  readonly #incoming: unknown[] = []
  #receiver: PromiseWithResolvers<unknown> | undefined

  /** Owns `socket` from here on. */
  constructor(clock: Clock, socket: Duplex, hooks: TransportHooks, options: TransportOptions) {
    this.#clock = clock
    this.#socket = socket
    this.#hooks = hooks
    this.#options = options
    // The hello waits for the first message, so that both travel together.
    this.#outgoing = `${greeting(options.version)}\n`
    this.#liveness = new Liveness(
      clock,
      {
        busy: () => hooks.busy(),
        ping: () => this.#queue('\n'),
        dead: (silentMs) => this.#die(silentMs),
      },
      options.limits,
    )
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()))
    const splitter = new LineSplitter(options.limits.frameBytesMax, (line) => this.#line(line))
    socket.on('data', (chunk: Buffer) => this.#data(splitter, chunk))
    socket.on('error', (error) => this.end(asHolonError(error, `talk to ${options.peer}`)))
    socket.on('close', () => this.end(gone(options.peer)))
    socket.on('end', () => this.end(gone(options.peer)))
  }

  /** Why the link ended; undefined while it has not. */
  get reason(): HolonError | undefined {
    return this.#reason
  }

  /** Work began: from now on silence of the peer matters. */
  wake(): void {
    this.#liveness.wake()
  }

  send(message: unknown): void {
    const [kind, subject] = message as readonly unknown[]
    if (this.#reason !== undefined || kind === 'pull' || kind === 'abort') return
    // What a call leaves on the other side is released there; only capabilities are by message.
    if (kind === 'release' && (subject as number) > 0) return
    const text = JSON.stringify(kind === 'push' ? ['stream', subject] : message)
    const { frameBytesMax } = this.#options.limits
    if (text.length * 3 > frameBytesMax && Buffer.byteLength(text) > frameBytesMax)
      this.end(tooLong(frameBytesMax), true)
    else this.#queue(`${text}\n`)
  }

  receive(): Promise<unknown> {
    const next = this.#incoming.shift()
    if (next !== undefined) return Promise.resolve(next)
    this.#receiver = Promise.withResolvers()
    if (this.#reason !== undefined) this.#receiver.reject(cheapReason(this.#reason))
    return this.#receiver.promise
  }

  /** capnweb gives up: a bug, or a peer that refers to what it does not hold. */
  abort(error: unknown): void {
    this.end(asHolonError(error, `talk to ${this.#options.peer}`), true)
  }

  /** Ends the link, once. `tell`: the peer is told why, if it still reads. */
  end(reason: HolonError, tell = false): void {
    if (this.#reason !== undefined) return
    this.#reason = reason
    this.#liveness[Symbol.dispose]()
    if (tell) this.#outgoing += `${JSON.stringify(['abort', wireExpression(reason)])}\n`
    if (this.#socket.destroyed) this.#outgoing = ''
    else this.#close()
    this.#hooks.ended(reason)
    this.#receiver?.reject(cheapReason(reason))
  }

  #close(): void {
    const socket = this.#socket
    socket.end(this.#outgoing)
    this.#outgoing = ''
    // What still comes in is not wanted, but must be read for the end of it to be seen.
    const timer = this.#clock.timer(closeGraceMs, () => socket.destroy(), { background: true })
    socket.once('close', () => timer[Symbol.dispose]())
  }

  #queue(text: string): void {
    if (this.#reason !== undefined) return
    this.#outgoing += text
    if (this.#flushing) return
    this.#flushing = true
    // A tick comes after all microtasks of this turn: whatever they send goes into the same write.
    process.nextTick(() => this.#flush())
  }

  #flush(): void {
    this.#flushing = false
    if (this.#reason !== undefined) return
    const text = this.#outgoing
    this.#outgoing = ''
    this.#socket.write(text)
    const { sendBufferBytesMax } = this.#options.limits
    if (this.#socket.writableLength <= sendBufferBytesMax) return
    this.end(
      new HolonError(
        'exhausted',
        `${this.#options.peer} does not read: ${sendBufferBytesMax} bytes wait for it; ` +
          'the link is closed',
      ),
    )
    this.#socket.destroy()
  }

  #data(splitter: LineSplitter, chunk: Buffer): void {
    if (this.#reason !== undefined) return
    this.#liveness.heard()
    try {
      splitter.push(chunk)
    } catch (error) {
      this.end(asHolonError(error), true)
    }
  }

  #line(line: string): void {
    if (this.#reason !== undefined) return
    if (!this.#greeted) {
      readGreeting(line, this.#options)
      this.#greeted = true
      // The server's hello goes out at once, with the first answer if that is as quick.
      if (this.#options.role === 'server') this.#queue('')
    } else if (line === '') this.#queue('.\n')
    else if (line !== '.') this.#deliver(parseMessage(this.#options.role, line))
  }

  #deliver(message: readonly unknown[]): void {
    if (message[0] === 'abort') {
      // Answers that came in the same read are heard first: microtasks take them to their callers,
      // and a tick comes after all of those.
      queueMicrotask(() => process.nextTick(() => this.end(fromWireExpression(message[1]))))
      return
    }
    const receiver = this.#receiver
    this.#receiver = undefined
    if (receiver === undefined) this.#incoming.push(message)
    else receiver.resolve(message)
  }

  #die(silentMs: number): void {
    this.end(
      new HolonError(
        'unavailable',
        `${this.#options.peer} has been silent for ${silentMs} ms; the link is closed`,
        { details: { silentMs } },
      ),
    )
    this.#socket.destroy()
  }
}

function gone(peer: string): HolonError {
  return new HolonError('unavailable', `${peer} closed the connection`)
}

function tooLong(frameBytesMax: number): HolonError {
  return new HolonError(
    'exhausted',
    `a message is longer than ${frameBytesMax} bytes; the link is closed`,
  )
}

/**
 * What capnweb is told of the end. Nobody sees it: both sessions settle their calls themselves. It
 * is a text because capnweb serializes it, and for an error object that has Node load all of
 * fetch().
 */
function cheapReason(reason: HolonError): string {
  return reason.message
}
