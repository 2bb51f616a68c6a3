/** Real etcd for tests: one member as a child, in a directory of its own, ended with the test. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { realClock } from '../../src/io/clock.ts'
import { EtcdClient, type EtcdEndpoint } from '../../src/state/etcd/client.ts'

/** Why tests with etcd are skipped here; undefined where it is installed. */
export const etcdMissing: string | undefined =
  spawnSync('etcd', ['--version']).error === undefined ? undefined : 'etcd is not installed'

/** What the engine needs of a managed etcd. */
export const etcdFlags: readonly string[] = [
  '--max-txn-ops=1024',
  '--max-request-bytes=4194304',
  '--quota-backend-bytes=2147483648',
]

export interface EtcdMemberOptions {
  readonly name?: string
  readonly host?: string
  readonly peerPort: number
  /** "a=http://127.0.0.1:23000,b=…"; default: alone. */
  readonly cluster?: string
  readonly flags?: readonly string[]
  /** A command that runs another one: where etcd is to run. */
  readonly within?: readonly string[]
}

/** Call `start` first. The data survive `kill` and `start`, not the disposal. */
export class EtcdMember implements AsyncDisposable {
  readonly directory: string
  readonly endpoint: EtcdEndpoint
  readonly #command: readonly string[]
  #child: ChildProcess | undefined

  constructor(options: EtcdMemberOptions) {
    const { name = 'default', host = '127.0.0.1', peerPort } = options
    this.directory = mkdtempSync(join(tmpdir(), 'holon-etcd-'))
    // etcd 3.4 takes no absolute path: a socket in its working directory, with a "port".
    this.endpoint = { socketPath: join(this.directory, 'client:0') }
    const peer = `http://${host}:${peerPort}`
    this.#command = [
      ...(options.within ?? []),
      'etcd',
      `--name=${name}`,
      '--data-dir=data',
      '--listen-client-urls=unix://client:0',
      '--advertise-client-urls=http://127.0.0.1:1',
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=${options.cluster ?? `${name}=${peer}`}`,
      '--initial-cluster-token=holon-test',
      ...etcdFlags,
      ...(options.flags ?? []),
    ]
  }

  get pid(): number {
    return this.#child?.pid ?? 0
  }

  start(): void {
    // A killed etcd 3.4 leaves its socket behind, and then refuses to start.
    rmSync(this.endpoint.socketPath ?? '', { force: true })
    const log = openSync(join(this.directory, 'log'), 'a')
    const [program = '', ...args] = this.#command
    this.#child = spawn(program, args, { cwd: this.directory, stdio: ['ignore', log, log] })
    closeSync(log)
  }

  /** Resolves when it answers. */
  async ready(): Promise<void> {
    using client = new EtcdClient({ clock: realClock }, [this.endpoint])
    const signal = AbortSignal.timeout(15_000)
    while (true) {
      try {
        await client.post('kv/range', { key: 'AA==' }, { signal })
        return
      } catch (error) {
        if (signal.aborted) throw new Error(`etcd: ${error}\n${this.log()}`)
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    }
  }

  log(): string {
    return readFileSync(join(this.directory, 'log'), 'utf8').slice(-4000)
  }

  signal(name: NodeJS.Signals): void {
    this.#child?.kill(name)
  }

  /** SIGKILL, and waits for the end. */
  async kill(): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await ended
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
    rmSync(this.directory, { recursive: true, force: true })
  }
}

/** One member alone, ready. */
export async function startEtcd(options: EtcdMemberOptions): Promise<EtcdMember> {
  const member = new EtcdMember(options)
  member.start()
  await member.ready()
  return member
}
