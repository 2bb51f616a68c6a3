/**
 * The nursery: the small process that forks keepers for us. Requests go in on its stdin as frames,
 * answers come back as lines. When it dies it is started again by the next request; keepers that run
 * do not notice. A request whose answer did not come may have been carried out.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'
import { abortError } from '../base/clock.ts'
import { HolonError } from '../base/errors.ts'

type NurseryProcess = ChildProcessByStdio<Writable, Readable, null>

interface Waiting {
  readonly resolve: (keeperPid: number) => void
  readonly reject: (error: HolonError) => void
}

const codes: Readonly<Record<string, 'not_found' | 'permission_denied' | 'exhausted' | 'conflict'>> = {
  ENOENT: 'not_found',
  EACCES: 'permission_denied',
  EPERM: 'permission_denied',
  ENOSPC: 'exhausted',
  EMFILE: 'exhausted',
  ENFILE: 'exhausted',
  EAGAIN: 'exhausted',
  ENOMEM: 'exhausted',
  EADDRINUSE: 'conflict',
}

export class Nursery implements AsyncDisposable {
  readonly #binary: string
  readonly #waiting = new Map<string, Waiting>()
  #process: NurseryProcess | undefined
  #answers = ''

  constructor(binary: string) {
    this.#binary = binary
  }

  /** Has a keeper started for the job `id`; its socket listens when this resolves. */
  start(id: string, frame: Uint8Array, signal: AbortSignal): Promise<number> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(abortError(signal))
      if (this.#waiting.has(id)) {
        return reject(new HolonError('conflict', `${id} is being started already`))
      }
      const onAbort = () => {
        this.#waiting.delete(id)
        reject(abortError(signal))
      }
      const settled = <T>(settle: (value: T) => void) => (value: T) => {
        this.#waiting.delete(id)
        signal.removeEventListener('abort', onAbort)
        settle(value)
      }
      this.#waiting.set(id, { resolve: settled(resolve), reject: settled(reject) })
      signal.addEventListener('abort', onAbort, { once: true })
      this.#running().stdin.write(frame)
    })
  }

  /** Ends the nursery; keepers go on. */
  async [Symbol.asyncDispose](): Promise<void> {
    const running = this.#process
    this.#process = undefined
    if (running === undefined || running.exitCode !== null) return
    const gone = new Promise((resolve) => running.once('exit', resolve))
    running.stdin.end()
    await gone
  }

  #running(): NurseryProcess {
    if (this.#process !== undefined) return this.#process
    const started = spawn(this.#binary, ['serve'], {
      stdio: ['pipe', 'pipe', 'inherit'],
      cwd: '/',
      env: {},
    })
    this.#process = started
    this.#answers = ''
    started.stdin.on('error', () => {})
    started.stdout.setEncoding('utf8')
    started.stdout.on('data', (text: string) => this.#onAnswers(text))
    const onEnd = (why: string) => this.#onEnd(started, why)
    started.once('error', (error) => onEnd(error.message))
    started.once('exit', (code, signal) => onEnd(signal ?? `status ${code}`))
    return started
  }

  #onAnswers(text: string): void {
    const lines = (this.#answers + text).split('\n')
    this.#answers = lines.pop() ?? ''
    for (const line of lines) {
      const [verdict, id = '', third = '', ...rest] = line.split(' ')
      const waiting = this.#waiting.get(id)
      if (verdict === 'ok') waiting?.resolve(Number(third))
      else {
        const text = rest.join(' ')
        waiting?.reject(new HolonError(codes[third] ?? 'internal', `start ${id}: ${text || third}`))
      }
    }
  }

  #onEnd(ended: NurseryProcess, why: string): void {
    if (this.#process === ended) this.#process = undefined
    const error = new HolonError('unavailable', `the nursery ended (${why})`, { outcome: 'unknown' })
    for (const waiting of [...this.#waiting.values()]) waiting.reject(error)
  }
}
