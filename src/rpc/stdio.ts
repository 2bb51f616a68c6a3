/**
 * The near end of a run's stdio: Node streams and a few verbs on one side, the frames of
 * docs/keeper.md on the other. Back-pressure holds in both directions, end to end: a program that
 * writes faster than we read waits, and so do we when it does not read.
 *
 * Signals and window sizes have a connection of their own, opened when first needed: on the first
 * one they would wait behind stdin that the program does not read.
 */
import { Writable } from 'node:stream'
import { assert } from '../base/assert.ts'
import { asHolonError, HolonError, isErrorCode } from '../base/errors.ts'
import { signalName } from '../base/signals.ts'
import { connectUnix, type UnixSocket } from '../io/sockets.ts'
import type { StdioAddress } from '../kernel/kernel.ts'
import type { CallOptions, ExitStatus } from '../kernel/types.ts'
import { encodeFrame, FrameDecoder, frameHeader, stdinPayloadBytesMax } from './keeper-frames.ts'
import { type ByteSink, Output, type PumpEnd, writableSink } from './output.ts'
import { type Slab, SlabReader } from './slabs.ts'

export interface StdioOptions {
  /** Whether the run's stdin is what we write to `stdin`; its keeper must have it as a stream. */
  readonly stdin: boolean
}

export type OutputName = 'stdout' | 'stderr'

export interface Stdio extends Disposable {
  /** Write the run's stdin here; ending it ends that. What comes after the run's end is dropped. */
  readonly stdin: Writable
  /** Both end when the run has closed them or is over; only `exit` tells whether all is well. */
  readonly stdout: NodeJS.ReadableStream & AsyncIterable<Buffer>
  readonly stderr: NodeJS.ReadableStream & AsyncIterable<Buffer>
  /**
   * How the run ended. `unavailable` with outcome `unknown` when its keeper ended without saying,
   * `cancelled` when this side let go first. Output may still be on its way through the streams.
   */
  readonly exit: Promise<ExitStatus>
  /**
   * Sends an output to `target` as fast as that takes it, without copies. When `target` fails, as a
   * closed pipe does, the program's own pipe is closed too. Instead of reading the stream; once.
   */
  pumpTo(output: OutputName, target: Writable | ByteSink): Promise<PumpEnd>
  /** Nobody reads this output any more: the program gets SIGPIPE when it writes to it. */
  closeOutput(output: OutputName): void
  /** To the terminal's foreground process group, or the run's own. Nothing once it is over. */
  signal(number: number): void
  resize(rows: number, columns: number): void
  /** `listener` gets the number of each signal that stops the run's main process. */
  onStopped(listener: (signal: number) => void): void
  /** Lets go: an attached run is hung up. */
  [Symbol.dispose](): void
}

/** Attaches to a run; one that is not detached starts by this. `unavailable` when it is gone. */
export async function openStdio(
  address: StdioAddress,
  options: StdioOptions,
  { signal }: CallOptions,
): Promise<Stdio> {
  const stdio = new StdioConnection(address)
  try {
    const reader = new SlabReader(stdio.read)
    const socket = await connectUnix(address.socketPath, { signal, reader })
    writeRoute(socket, address)
    stdio.start(socket, options)
    return stdio
  } catch (error) {
    const failure = asHolonError(error)
    const errno = failure.details['errno']
    if (errno !== 'ENOENT' && errno !== 'ECONNREFUSED') throw failure
    throw new HolonError('unavailable', `attach to run "${address.runId}": it is over`, {
      retryable: false,
      cause: failure,
    })
  }
}

const outputOf = { O: 'stdout', E: 'stderr' } as const

/** Made by openStdio and RunStarter. */
export class StdioConnection implements Stdio {
  readonly exit: Promise<ExitStatus>
  #address: StdioAddress
  readonly #exit = Promise.withResolvers<ExitStatus>()
  readonly #outputs: Readonly<Record<OutputName, Output>>
  readonly #decoder: FrameDecoder
  readonly #stopped = new Set<(signal: number) => void>()
  readonly #life = new AbortController()
  readonly #onClose = () => this.#lost()
  #stdin: Writable | undefined
  #sendsStdin = true
  /** What is being read lies in it. */
  #slab: Slab | undefined
  #socket: UnixSocket | undefined
  #control: Promise<UnixSocket> | undefined
  #over = false
  #begun: PromiseWithResolvers<{ readonly runId: string; readonly machine: string }> | undefined
  /** Who takes the socket back when the stream is over. */
  #onOver: (() => void) | undefined

  constructor(address: StdioAddress) {
    this.#address = address
    this.exit = this.#exit.promise
    // Who does not ask how it ended is not ended by it.
    this.exit.catch(() => {})
    this.#outputs = { stdout: this.#output('O'), stderr: this.#output('E') }
    this.#decoder = new FrameDecoder({
      output: (type, bytes) => this.#take(type, bytes),
      outputEnd: (type) => this.#outputs[outputOf[type]].end(),
      frame: (type, payload) => this.#frame(type, payload),
    })
  }

  get stdin(): Writable {
    if (this.#stdin === undefined) {
      this.#stdin = new Writable({
        highWaterMark: stdinPayloadBytesMax,
        // An empty frame would be the end.
        write: (chunk: Buffer, _encoding, done) =>
          chunk.length === 0 ? done() : this.#writeStdin(chunk, done),
        final: (done) => this.#writeStdin(Buffer.alloc(0), done),
      })
      if (this.#over || !this.#sendsStdin) this.#stdin.destroy()
    }
    return this.#stdin
  }

  get stdout(): Output['readable'] {
    return this.#outputs.stdout.readable
  }

  get stderr(): Output['readable'] {
    return this.#outputs.stderr.readable
  }

  /** Takes what its socket has read; for a SlabReader. */
  readonly read = (bytes: Buffer, slab: Slab): boolean => {
    this.#slab = slab
    try {
      this.#decoder.push(bytes)
    } catch (error) {
      this.#finish(asHolonError(error, `read the output of run "${this.#address.runId}"`))
      this.#socket?.destroy()
    }
    this.#slab = undefined
    return !this.#full
  }

  start(socket: UnixSocket, options: StdioOptions): void {
    this.#socket = socket
    socket.on('error', ignore)
    socket.on('close', this.#onClose)
    socket.write(encodeFrame('A', options.stdin ? 'io' : 'o'))
    this.#sendsStdin = options.stdin
    if (!options.stdin) this.#stdin?.destroy()
    socket.resume()
  }

  /**
   * Has the far side begin a run, and resolves with which it is. Instead of `start` alone. At the
   * end of the stream `onOver` gets the socket back, unless it went with the stream.
   */
  begin(
    socket: UnixSocket,
    route: string,
    options: StdioOptions & { readonly onOver: () => void },
  ): Promise<{ readonly runId: string; readonly machine: string }> {
    this.#onOver = options.onOver
    this.#begun = Promise.withResolvers()
    // Also when the connection fails before anybody waits.
    this.#begun.promise.catch(() => {})
    this.#address = { ...this.#address, route }
    socket.cork()
    writeRoute(socket, this.#address)
    this.start(socket, options)
    socket.uncork()
    return this.#begun.promise
  }

  pumpTo(output: OutputName, target: Writable | ByteSink): Promise<PumpEnd> {
    return this.#outputs[output].pumpTo(
      typeof target === 'function' ? target : writableSink(target),
    )
  }

  closeOutput(output: OutputName): void {
    this.#outputs[output].close()
  }

  signal(number: number): void {
    this.#urgent(encodeFrame('S', Buffer.from([number])))
  }

  resize(rows: number, columns: number): void {
    const payload = Buffer.alloc(4)
    payload.writeUInt16BE(Math.min(rows, 0xffff), 0)
    payload.writeUInt16BE(Math.min(columns, 0xffff), 2)
    this.#urgent(encodeFrame('W', payload))
  }

  onStopped(listener: (signal: number) => void): void {
    this.#stopped.add(listener)
  }

  [Symbol.dispose](): void {
    // A stream that ended by itself leaves its socket to the next one.
    if (this.#over && this.#onOver !== undefined) return
    this.#finish(new HolonError('cancelled', 'this side let go of the run', { outcome: 'unknown' }))
    this.#socket?.destroy()
  }

  #output(frame: 'O' | 'E'): Output {
    return new Output({
      drained: () => this.#resume(),
      closed: () => {
        if (!this.#over) this.#socket?.write(encodeFrame('P', frame))
      },
    })
  }

  #take(type: 'O' | 'E', bytes: Buffer): void {
    assert(this.#slab !== undefined, 'output lies in a slab')
    this.#outputs[outputOf[type]].take(bytes, this.#slab)
  }

  get #full(): boolean {
    return this.#outputs.stdout.full || this.#outputs.stderr.full
  }

  #resume(): void {
    if (!this.#full) this.#socket?.resume()
  }

  #frame(type: string, payload: Buffer): void {
    if (type === 'X') this.#finish(parseExit(payload.toString()))
    else if (type === 'Q') this.#finish(parseRefusal(payload.toString()))
    else if (type === 'B') this.#hasBegun(payload.toString())
    else if (type === 'Z') this.#streamOver()
    else if (type === 'T') for (const listener of this.#stopped) listener(payload[0] ?? 0)
    // Others belong to commands and subscriptions, which this connection does not use.
  }

  #hasBegun(text: string): void {
    const { runId, machine } = JSON.parse(text) as { runId: string; machine: string }
    // Signals and sizes go on a connection of their own, to the run that there is now.
    const { machineId } = JSON.parse(this.#address.route ?? '{}') as { machineId?: string }
    this.#address = { ...this.#address, runId, route: JSON.stringify({ machineId, run: runId }) }
    this.#begun?.resolve({ runId, machine })
  }

  /** The relay says that nothing more comes, and waits for the next stream. */
  #streamOver(): void {
    const socket = this.#socket
    this.#lost()
    if (this.#onOver === undefined) return
    this.#socket = undefined
    socket?.off('error', ignore)
    socket?.off('close', this.#onClose)
    this.#onOver()
  }

  /** Nothing more comes; was that to be expected? */
  #lost(): void {
    if (this.#over) return
    const { runId, route } = this.#address
    const what =
      route === undefined
        ? `the keeper of run "${runId}" ended without saying how it ended`
        : `the machine of run "${runId}" was lost: how the program ended, or whether, is not known`
    this.#finish(new HolonError('unavailable', what, { outcome: 'unknown', retryable: false }))
  }

  /** The run is over, or lost to us; the first of these counts. */
  #finish(end: ExitStatus | HolonError): void {
    if (this.#over) return
    this.#over = true
    this.#outputs.stdout.end()
    this.#outputs.stderr.end()
    this.#stdin?.destroy()
    if (this.#control !== undefined) this.#life.abort()
    this.#control?.then((control) => control.end(), ignore)
    if (this.#onOver === undefined) this.#socket?.end()
    // What is left to be said concerns only who takes it back.
    else this.#socket?.unref()
    if (end instanceof HolonError) {
      this.#begun?.reject(end)
      this.#exit.reject(end)
    } else this.#exit.resolve(end)
  }

  #writeStdin(chunk: Buffer, done: (error?: Error | null) => void): void {
    const socket = this.#socket
    if (this.#over || socket === undefined) {
      done()
      return
    }
    // Header and payload in one write, without joining them.
    socket.cork()
    for (let at = 0; at < chunk.length || at === 0; at += stdinPayloadBytesMax) {
      const part = chunk.subarray(at, at + stdinPayloadBytesMax)
      const last = at + stdinPayloadBytesMax >= chunk.length
      const written = last ? () => done() : undefined
      socket.write(frameHeader('I', part.length), part.length === 0 ? written : undefined)
      if (part.length > 0) socket.write(part, written)
    }
    socket.uncork()
  }

  #urgent(frame: Buffer): void {
    if (this.#over) return
    this.#control ??= this.#openControl()
    this.#control.then(
      (control) => control.write(frame),
      // Better late than never: behind stdin, on the connection that there is.
      () => {
        if (!this.#over) this.#socket?.write(frame)
      },
    )
  }

  async #openControl(): Promise<UnixSocket> {
    const control = await connectUnix(this.#address.socketPath, { signal: this.#life.signal })
    writeRoute(control, this.#address)
    control.on('error', () => {})
    control.resume()
    return control
  }
}

function ignore(): void {}

/** To a run elsewhere the way leads through a relay, which must be told first. */
function writeRoute(socket: UnixSocket, { route }: StdioAddress): void {
  if (route !== undefined) socket.write(encodeFrame('R', route))
}

/** A relay's word that there is no way to the run. */
function parseRefusal(text: string): HolonError {
  const { code, message } = JSON.parse(text) as { code?: unknown; message?: unknown }
  return new HolonError(isErrorCode(code) ? code : 'internal', String(message), {
    retryable: false,
    outcome: 'unknown',
  })
}

/** `code N`, `signal N`, `signal N core`, `failed ERRNO TEXT`. */
function parseExit(text: string): ExitStatus | HolonError {
  const [kind, value = '', core] = text.split(' ')
  const number = Number(value)
  if (kind === 'code' && Number.isInteger(number) && number >= 0 && number <= 255)
    return { code: number }
  if (kind === 'failed' && /^E[A-Z0-9]+$/.test(value)) return { execErrno: value }
  const name = kind === 'signal' ? signalName(number) : undefined
  if (name !== undefined) return { signal: name, ...(core === 'core' ? { coreDumped: true } : {}) }
  return new HolonError('internal', `a keeper says a run ended by "${text}", which means nothing`, {
    outcome: 'unknown',
  })
}
