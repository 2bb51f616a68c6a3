/** A small interface and a target for it, to test links with; run by itself it listens for them. */
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { abortError, deadline } from '../../src/base/clock.ts'
import { HolonError, isErrorCode } from '../../src/base/errors.ts'
import { realClock } from '../../src/io/clock.ts'
import type { CallOptions } from '../../src/kernel/types.ts'
import { connectRpc, type RpcClient } from '../../src/rpc/connect.ts'
import { defineInterface } from '../../src/rpc/interface.ts'
import { listenRpc, type RpcListener } from '../../src/rpc/listen.ts'
import type { RpcLimits } from '../../src/rpc/rpc-limits.ts'

export interface Counter {
  next(options: CallOptions): Promise<number>
}

export interface Toy {
  echo(value: unknown, options: CallOptions): Promise<unknown>
  fail(error: unknown, options: CallOptions): Promise<void>
  /** Ends only by its signal. */
  hang(label: string, options: CallOptions): Promise<void>
  hangOnce(label: string, options: CallOptions): Promise<void>
  big(length: number, options: CallOptions): Promise<string>
  /** As `echo`, but crosses as text. */
  text(value: string, options: CallOptions): Promise<string>
  counter(start: number, options: CallOptions): Promise<Counter>
  lateCounter(start: number, options: CallOptions): Promise<Counter>
}

export const counterInterface = defineInterface<Counter>('Counter', {
  next: { args: 0, idempotent: false },
})

export const toyInterface = defineInterface<Toy>('Toy', {
  echo: { args: 1, idempotent: true },
  fail: { args: 1, idempotent: true },
  hang: { args: 1, idempotent: true },
  hangOnce: { args: 1, idempotent: false },
  big: { args: 1, idempotent: true },
  text: { args: 1, idempotent: true, isText: true },
  counter: { args: 1, idempotent: true, returns: counterInterface },
  lateCounter: { args: 1, idempotent: true, returns: counterInterface },
})

/** What a target has seen. */
export class ToyTarget implements Toy, Disposable {
  readonly seen: string[] = []
  readonly release = Promise.withResolvers<void>()
  counters = 0
  disposals = 0

  async echo(value: unknown): Promise<unknown> {
    return value
  }

  async fail(error: unknown): Promise<void> {
    const { code, message, ...rest } = error as { code: string; message: string }
    if (isErrorCode(code)) throw new HolonError(code, message, rest)
    throw Object.assign(new Error(message), { code })
  }

  async hang(label: string, { signal }: CallOptions): Promise<void> {
    this.seen.push(`began ${label}`)
    if (!signal.aborted) await once(signal, 'abort')
    this.seen.push(`${abortError(signal).code} ${label}`)
    throw abortError(signal)
  }

  hangOnce(label: string, options: CallOptions): Promise<void> {
    return this.hang(label, options)
  }

  async big(length: number): Promise<string> {
    return 'x'.repeat(length)
  }

  async text(value: string): Promise<string> {
    return value
  }

  async counter(start: number): Promise<Counter & Disposable> {
    let at = start
    this.counters++
    return {
      next: async () => at++,
      [Symbol.dispose]: () => {
        this.counters--
      },
    }
  }

  async lateCounter(start: number): Promise<Counter & Disposable> {
    this.seen.push('began late')
    await this.release.promise
    return this.counter(start)
  }

  [Symbol.dispose](): void {
    this.disposals++
  }
}

export const toyVersion = '1.2.3'

export interface ToyLink extends AsyncDisposable {
  readonly path: string
  readonly toy: ToyTarget
  readonly listener: RpcListener
  readonly client: RpcClient<Toy>
  /** Bugs that the server reported. */
  readonly bugs: unknown[]
}

export interface ToyLinkOptions {
  readonly client?: Partial<RpcLimits>
  readonly server?: Partial<RpcLimits>
}

export function temporaryDirectory(): { readonly path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), 'holon-rpc-'))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}

export async function connectToy(
  path: string,
  limits: Partial<RpcLimits> = {},
): Promise<RpcClient<Toy>> {
  using limit = deadline(realClock, 10_000)
  return await connectRpc(realClock, path, toyInterface, {
    version: toyVersion,
    limits,
    signal: limit.signal,
  })
}

/** A listener and a client of it, in this process. */
export async function toyLink(options: ToyLinkOptions = {}): Promise<ToyLink> {
  const directory = temporaryDirectory()
  const path = join(directory.path, 'sock')
  const toy = new ToyTarget()
  const bugs: unknown[] = []
  const listener = await listenRpc(realClock, path, toyInterface, () => toy, {
    version: toyVersion,
    limits: options.server ?? {},
    onInternalError: (error) => bugs.push(error),
  })
  const client = await connectToy(path, options.client)
  return {
    path,
    toy,
    listener,
    client,
    bugs,
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]()
      await listener[Symbol.asyncDispose]()
      directory[Symbol.dispose]()
    },
  }
}

/** A peer that writes what it wants, and what it was told. */
export async function rawPeer(path: string): Promise<{ socket: Socket; told: () => string }> {
  const socket = connect(path)
  let told = ''
  socket.on('data', (chunk) => {
    told += chunk.toString()
  })
  socket.on('error', () => {})
  await new Promise((resolve) => socket.once('connect', resolve))
  return { socket, told: () => told }
}

/** Polls until `reached`, or fails with `state` after ten seconds. */
export async function until(reached: () => boolean, state: () => unknown): Promise<void> {
  const endMs = Date.now() + 10_000
  while (!reached()) {
    if (Date.now() > endMs) throw new Error(`not reached: ${JSON.stringify(state())}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

if (import.meta.main) {
  await listenRpc(realClock, process.argv[2] ?? '', toyInterface, () => new ToyTarget(), {
    version: toyVersion,
    onInternalError: (error) => console.error(error),
  })
  process.stdout.write('ready\n')
  process.stdin.on('end', () => process.exit(0)).resume()
}
