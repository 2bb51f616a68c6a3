/**
 * The compiled keeper's nursery: `keeper serve`, a small process that forks keepers for us. It is
 * started with the first request and again after it died; keepers that it made do not need it.
 *
 * A request whose nursery dies has an unknown outcome: the keeper may run. Replies are matched by
 * id in the order of the requests, and one that was given up keeps its place in that order.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'
import { abortError } from '../base/clock.ts'
import { asHolonError, HolonError } from '../base/errors.ts'

export interface NurseryOptions {
  /** The compiled keeper. */
  readonly path: string
  /** A line that the nursery or a keeper wrote to stderr, or how the nursery ended. */
  readonly report: (message: string) => void
}

interface Request {
  readonly id: string
  readonly resolve: (pid: number) => void
  readonly reject: (error: HolonError) => void
}

type NurseryProcess = ChildProcessByStdio<Writable, Readable, Readable>

/** Requests that may wait for a reply; each takes a millisecond. */
const requestsMax = 10_000
const replyBytesMax = 64 * 1024

export class Nursery implements AsyncDisposable {
  readonly #options: NurseryOptions
  #process: NurseryProcess | undefined
  #requests: Request[] = []
  #disposed = false

  constructor(options: NurseryOptions) {
    this.#options = options
  }

  /** The nursery's pid while it runs. */
  get pid(): number | undefined {
    return this.#process?.pid
  }

  /**
   * Has a keeper made; `frame` is the whole `N` frame of job `id`. Resolves with the keeper's pid.
   * Rejects with the keeper's errno as a code, `unavailable` with outcome unknown when the
   * nursery dies, or as `signal` says, then with outcome unknown too. Not idempotent.
   */
  start(id: string, frame: Uint8Array, options: { readonly signal: AbortSignal }): Promise<number> {
    const { signal } = options
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(abortError(signal))
      if (this.#disposed) return reject(new HolonError('unavailable', 'the nursery was closed'))
      if (this.#requests.length >= requestsMax) {
        return reject(new HolonError('exhausted', `start ${id}: too many jobs start at once`))
      }
      const onAbort = () => reject(abortError(signal))
      signal.addEventListener('abort', onAbort, { once: true })
      const settled = () => signal.removeEventListener('abort', onAbort)
      this.#requests.push({
        id,
        resolve: (pid) => {
          settled()
          resolve(pid)
        },
        reject: (error) => {
          settled()
          reject(error)
        },
      })
      this.#running().stdin.write(frame)
    })
  }

  /** Ends the nursery; keepers go on. Once or twice alike. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true
    const child = this.#process
    if (child === undefined) return
    const exited = new Promise((resolve) => child.once('exit', resolve))
    child.stdin.end()
    await exited
  }

  #running(): NurseryProcess {
    if (this.#process !== undefined) return this.#process
    const child = spawn(this.#options.path, ['serve'], {
      stdio: ['pipe', 'pipe', 'pipe'],
      cwd: '/',
      env: {},
    })
    this.#process = child
    let rest = ''
    child.stdout.on('data', (bytes: Buffer) => {
      const lines = (rest + bytes.toString()).split('\n')
      rest = lines.pop() ?? ''
      if (rest.length > replyBytesMax) child.kill('SIGKILL')
      for (const line of lines) this.#reply(line)
    })
    let told = ''
    child.stderr.on('data', (bytes: Buffer) => {
      const lines = (told + bytes.toString()).split('\n')
      told = (lines.pop() ?? '').slice(0, replyBytesMax)
      for (const line of lines) this.#options.report(`keeper: ${line}`)
    })
    for (const stream of [child.stdin, child.stdout, child.stderr]) stream.on('error', () => {})
    child.on('error', (error) => this.#ended(child, error.message))
    child.on('exit', (code, signal) => this.#ended(child, signal ?? `status ${code}`))
    return child
  }

  #reply(line: string): void {
    const ok = /^ok (\S+) (\d+)$/.exec(line)
    const failed = /^error (\S+) ([A-Z0-9]+) ?(.*)$/.exec(line)
    const id = ok?.[1] ?? failed?.[1]
    const index = this.#requests.findIndex((request) => request.id === id)
    const [request] = index < 0 ? [] : this.#requests.splice(index, 1)
    if (request === undefined) {
      this.#options.report(`keeper: a reply that nobody waits for: ${JSON.stringify(line)}`)
      return
    }
    if (ok !== null) {
      request.resolve(Number(ok[2]))
      return
    }
    const [, , errno = 'EIO', text = ''] = failed ?? []
    const cause = Object.assign(new Error(`${text || errno}`), { code: errno })
    request.reject(asHolonError(cause, `start ${request.id}`))
  }

  #ended(child: NurseryProcess, how: string): void {
    if (this.#process !== child) return
    this.#process = undefined
    if (!this.#disposed) this.#options.report(`the nursery ended (${how}); jobs go on`)
    const requests = this.#requests
    this.#requests = []
    for (const request of requests) {
      request.reject(
        new HolonError('unavailable', `start ${request.id}: the nursery ended (${how})`, {
          outcome: 'unknown',
        }),
      )
    }
  }
}
