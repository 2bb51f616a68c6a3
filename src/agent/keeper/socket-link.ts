/**
 * A link to the compiled keeper, over its socket. The keeper sends the state and every event since
 * the last one known; commands are answered in the order they were sent.
 *
 * A connection that closes is tried again as long as somebody listens: a keeper drops a subscriber
 * that is too slow. When nobody does, the job's files tell whether that was its end.
 */
import type { Duplex } from 'node:stream'
import { abortError, type Clock, deadline, sleep, withSignal } from '../../base/clock.ts'
import { asHolonError, HolonError } from '../../base/errors.ts'
import { joinPath } from '../../io/files.ts'
import { connectUnix } from '../../io/sockets.ts'
import type { CallOptions } from '../../kernel/types.ts'
import { encodeFrame, FrameDecoder } from '../../rpc/keeper-frames.ts'
import type { LeaseEnd } from '../../unit/job-spec.ts'
import {
  commandReason,
  type JobEnd,
  type JobLink,
  type JobRecord,
  jobIsOver,
  requireSignal,
} from './job-record.ts'
import { isFinal, type JobState } from './records.ts'
import { leaseWords } from './spec-encoding.ts'

const connectTimeoutMs = 5_000
/** Connections in a row on which the keeper said nothing. */
const emptyConnectionsMax = 5

/** Resolves once the keeper has told its state, or is known to be gone. */
export async function openSocketLink(
  deps: { readonly clock: Clock },
  record: JobRecord,
  { signal }: CallOptions,
): Promise<JobLink> {
  const link = new SocketLink(deps, record)
  try {
    await link.connect(signal)
    return link
  } catch (error) {
    link[Symbol.dispose]()
    throw error
  }
}

interface Command {
  readonly resolve: (answer: string) => void
  readonly reject: (error: HolonError) => void
}

class SocketLink implements JobLink {
  readonly #clock: Clock
  readonly #record: JobRecord
  readonly #life = new AbortController()
  #socket: Duplex | undefined
  #commands: Command[] = []
  #told = Promise.withResolvers<void>()
  #emptyConnections = 0

  constructor({ clock }: { readonly clock: Clock }, record: JobRecord) {
    this.#clock = clock
    this.#record = record
  }

  get dir(): string {
    return this.#record.dir
  }

  get state(): JobState | undefined {
    return this.#record.state
  }

  get malformed(): number {
    return this.#record.malformed
  }

  get ended(): Promise<JobEnd> {
    return this.#record.ended
  }

  /** Connects and subscribes; a keeper that is gone finishes the record. */
  async connect(signal: AbortSignal): Promise<void> {
    let socket: Duplex
    try {
      socket = await connectUnix(joinPath(this.dir, 'sock'), { signal })
    } catch (error) {
      const errno = asHolonError(error).details['errno']
      if (errno !== 'ENOENT' && errno !== 'ECONNREFUSED' && errno !== 'ENOTDIR') throw error
      this.#gone()
      return
    }
    if (this.#record.finished) {
      socket.destroy()
      return
    }
    this.#listen(socket)
    await withSignal(this.#told.promise, signal)
  }

  async stop(reason: string, options: CallOptions): Promise<void> {
    if (this.#record.finished) return
    try {
      await this.#command(`stop ${commandReason(reason)}`, options)
    } catch (error) {
      // What was asked for has happened.
      const phase = this.state?.phase
      if (phase === undefined || !isFinal(phase)) throw error
    }
  }

  async kill(signal: number | undefined, to: 'main' | 'all', options: CallOptions): Promise<void> {
    await this.#command(`kill ${requireSignal(signal)} ${to}`, options)
  }

  async lease(until: LeaseEnd, options: CallOptions): Promise<void> {
    await this.#command(`lease ${leaseWords(until)}`, options)
  }

  async askState(options: CallOptions): Promise<JobState | undefined> {
    if (!this.#record.finished) this.#record.takeState(await this.#command('state', options))
    return this.state
  }

  [Symbol.dispose](): void {
    this.#record.release()
    this.#life.abort(new HolonError('cancelled', 'the link to the keeper was closed'))
    this.#socket?.destroy()
    this.#fail('the link to the keeper was closed')
  }

  #listen(socket: Duplex): void {
    this.#socket = socket
    const decoder = new FrameDecoder({
      // Never attached, so there is none.
      output: () => {},
      outputEnd: () => {},
      frame: (type, payload) => this.#frame(type, payload.toString()),
    })
    socket.on('data', (chunk: Buffer) => {
      try {
        decoder.push(chunk)
      } catch {
        socket.destroy()
      }
    })
    socket.on('error', () => {})
    socket.on('close', () => void this.#closed(socket))
    socket.write(encodeFrame('Q', String(this.#record.seq)))
  }

  #frame(type: string, text: string): void {
    if (type === 'R') this.#commands.shift()?.resolve(text)
    if (type !== 'V') return
    this.#emptyConnections = 0
    for (const line of text.split('\n')) {
      if (line.startsWith('state ')) this.#record.takeState(line.slice('state '.length))
      else if (line !== '') this.#record.takeEvent(line)
    }
    if (this.state !== undefined) this.#told.resolve()
  }

  async #closed(socket: Duplex): Promise<void> {
    if (this.#socket !== socket) return
    this.#socket = undefined
    if (this.#record.finished) return
    this.#record.readFiles()
    this.#fail('the keeper closed the connection')
    if (this.state !== undefined && isFinal(this.state.phase)) return this.#gone()
    this.#emptyConnections++
    try {
      using limit = deadline(this.#clock, connectTimeoutMs, this.#life.signal)
      if (this.#emptyConnections > emptyConnectionsMax) return this.#gone()
      await sleep(this.#clock, 20 * (this.#emptyConnections - 1), limit.signal)
      await this.connect(limit.signal)
    } catch {
      if (!this.#record.finished && this.#socket === undefined) this.#gone()
    }
  }

  #gone(): void {
    this.#record.finish()
    this.#told.resolve()
    this.#fail('the keeper has ended')
  }

  #fail(why: string): void {
    const commands = this.#commands
    this.#commands = []
    for (const { reject } of commands) {
      reject(new HolonError('unavailable', `${this.dir}: ${why}`, { outcome: 'unknown' }))
    }
  }

  #command(text: string, { signal }: CallOptions): Promise<string> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(abortError(signal))
      const socket = this.#socket
      if (socket === undefined) return reject(jobIsOver(this.dir))
      // A command that was given up keeps its place: its answer is not the next one's.
      const onAbort = () => reject(abortError(signal))
      signal.addEventListener('abort', onAbort, { once: true })
      this.#commands.push({
        resolve: (answer) => {
          signal.removeEventListener('abort', onAbort)
          const failed = /^error ([A-Z0-9]+) ?(.*)$/s.exec(answer)
          if (failed === null) return resolve(answer.replace(/^state /, ''))
          const [, errno = 'EIO', message = ''] = failed
          const cause = Object.assign(new Error(message || errno), { code: errno })
          reject(asHolonError(cause, `${text.split(' ')[0]} the job in ${this.dir}`))
        },
        reject: (error) => {
          signal.removeEventListener('abort', onAbort)
          reject(error)
        },
      })
      socket.write(encodeFrame('X', text))
    })
  }
}
