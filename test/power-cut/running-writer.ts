/** The writer as a child process, with what it has acknowledged so far. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Durability } from '../../src/state/database.ts'

const writerPath = fileURLToPath(new URL('writer.ts', import.meta.url))
const waitMsMax = 20_000

export class RunningWriter implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #ended: Promise<unknown>
  #rest = ''
  #errors = ''
  #lastAcked = 0
  #acks = 0
  #onAck: () => void = () => undefined

  constructor(path: string, durability: Durability = 'full') {
    this.#child = spawn(process.execPath, [writerPath, path, durability], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#ended = once(this.#child, 'close')
    this.#ended.then(() => this.#onAck())
    this.#child.stderr?.on('data', (bytes) => {
      this.#errors += String(bytes)
    })
    this.#child.stdout?.on('data', (bytes) => {
      const lines = (this.#rest + String(bytes)).split('\n')
      this.#rest = lines.pop() ?? ''
      for (const line of lines) this.#lastAcked = Math.max(this.#lastAcked, Number(line))
      this.#acks += lines.length
      this.#onAck()
    })
  }

  /** The number of the last acknowledged txn; 0: none yet. */
  get lastAcked(): number {
    return this.#lastAcked
  }

  /** Resolves after this many acknowledgements. */
  async acks(count: number): Promise<void> {
    const timeout = AbortSignal.timeout(waitMsMax)
    while (this.#acks < count) {
      if (timeout.aborted || this.#child.exitCode !== null) {
        throw new Error(
          `the writer has ${this.#acks} of ${count} acknowledgements: ${this.#errors}`,
        )
      }
      await new Promise<void>((resolve) => {
        this.#onAck = resolve
        timeout.addEventListener('abort', () => resolve(), { once: true })
      })
    }
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#ended
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
  }
}
