/**
 * The link to a compiled keeper: one connection to its socket, subscribed to its events. When the
 * connection ends, the state file tells whether the job ended or its keeper died.
 */
import type { Duplex } from 'node:stream'
import { withSignal } from '../../base/clock.ts'
import { HolonError } from '../../base/errors.ts'
import { joinPath, readTextIfThere } from '../../io/files.ts'
import { connectUnix } from '../../io/sockets.ts'
import type { CallOptions } from '../../kernel/types.ts'
import { encodeFrame, FrameDecoder } from '../../rpc/keeper-frames.ts'
import type { JobEnd, JobLink, JobObserver } from './link.ts'
import { hasEnded, type JobEvent, type JobState, parseEvent, parseState } from './records.ts'

/** Connects and subscribes. Resolves when the first state is known. */
export async function openSocketLink(
  dir: string,
  observer: JobObserver,
  { signal }: CallOptions,
): Promise<JobLink> {
  const socket = await connectUnix(joinPath(dir, 'sock'), { signal })
  const link = new SocketLink(dir, socket, observer)
  try {
    await withSignal(link.subscribed, signal)
    return link
  } catch (error) {
    link[Symbol.dispose]()
    throw error
  }
}

/** What a job without a keeper left: its state and the events not told yet. */
export function readRemains(dir: string, observer: JobObserver): JobState | undefined {
  let seq = observer.afterSeq
  for (const line of (readTextIfThere(joinPath(dir, 'events')) ?? '').split('\n')) {
    const event = parseEvent(line)
    if (event === undefined || event.seq <= seq) continue
    seq = event.seq
    observer.onEvent(event)
  }
  const state = parseState(readTextIfThere(joinPath(dir, 'state')) ?? '')
  if (state !== undefined) observer.onState(state)
  return state
}

class SocketLink implements JobLink {
  readonly subscribed: Promise<void>
  readonly ended: Promise<JobEnd>
  readonly #dir: string
  readonly #socket: Duplex
  readonly #observer: JobObserver
  readonly #answers: ((line: string) => void)[] = []
  #state: JobState | undefined
  #seq: number
  #disposed = false

  constructor(dir: string, socket: Duplex, observer: JobObserver) {
    this.#dir = dir
    this.#socket = socket
    this.#observer = observer
    this.#seq = observer.afterSeq
    const subscribed = Promise.withResolvers<void>()
    const ended = Promise.withResolvers<JobEnd>()
    this.subscribed = subscribed.promise
    this.ended = ended.promise
    const decoder = new FrameDecoder({
      output: () => {},
      outputEnd: () => {},
      frame: (type, payload) => {
        this.#onFrame(type, payload.toString('utf8'))
        if (this.#state !== undefined) subscribed.resolve()
      },
    })
    socket.on('data', (chunk: Buffer) => decoder.push(chunk))
    socket.on('error', () => {})
    socket.once('close', () => {
      if (this.#disposed) return
      const end = this.#onClosed()
      subscribed.resolve()
      ended.resolve(end)
    })
    socket.write(encodeFrame('Q', String(observer.afterSeq)))
  }

  get state(): JobState | undefined {
    return this.#state
  }

  async stop(reason: string, options: CallOptions): Promise<void> {
    await this.#command(`stop ${reason.replaceAll('\n', ' ')}`, options)
  }

  async kill(signal: number, to: 'main' | 'all', options: CallOptions): Promise<void> {
    await this.#command(`kill ${signal} ${to}`, options)
  }

  [Symbol.dispose](): void {
    this.#disposed = true
    this.#socket.destroy()
  }

  /** Resolves when the keeper has taken the command, or has ended with its job meanwhile. */
  async #command(text: string, { signal }: CallOptions): Promise<void> {
    if (this.#socket.destroyed) return
    const answer = new Promise<string>((resolve) => this.#answers.push(resolve))
    this.#socket.write(encodeFrame('X', text))
    const line = await withSignal(Promise.race([answer, this.ended]), signal)
    if (!line.startsWith('error ')) return
    const [, errno = '', ...rest] = line.split(' ')
    throw new HolonError(errno === 'ESRCH' ? 'not_found' : 'internal', `${text}: ${rest.join(' ')}`)
  }

  #onFrame(type: string, text: string): void {
    if (type === 'R') this.#answers.shift()?.(text)
    if (type !== 'V') return
    for (const line of text.split('\n')) {
      if (line.startsWith('state ')) this.#onState(line.slice('state '.length))
      else this.#onEvent(parseEvent(line))
    }
  }

  #onState(line: string): void {
    const state = parseState(line)
    if (state === undefined) return
    this.#state = state
    this.#observer.onState(state)
  }

  #onEvent(event: JobEvent | undefined): void {
    if (event === undefined || event.seq <= this.#seq) return
    this.#seq = event.seq
    this.#observer.onEvent(event)
  }

  #onClosed(): JobEnd {
    const state = readRemains(this.#dir, { ...this.#observer, afterSeq: this.#seq })
    if (state !== undefined) this.#state = state
    return state !== undefined && hasEnded(state) ? 'ended' : 'lost'
  }
}
