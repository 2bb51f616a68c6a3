/**
 * Driving the real keeper: builds it once, starts a nursery, starts jobs, and speaks its frames.
 *
 * The frames are read and written here by hand and not with the agent's code, so that the two sides
 * of docs/keeper.md are checked against the page and not against each other's mistakes.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..', '..')
const waitMs = 15_000

export const isRoot = process.getuid?.() === 0
export const rootOnly = isRoot ? false : 'needs root'

let built: string | undefined

/** The keeper of the present sources, built at most once for them. */
export function keeperProgram(): string {
  if (process.env['HOLON_TEST_KEEPER'] !== undefined) return process.env['HOLON_TEST_KEEPER']
  if (built !== undefined) return built
  const sources = join(root, 'keeper')
  const hash = createHash('sha256')
  for (const name of readdirSync(sources).sort()) {
    if (/\.[ch]$|^build\.sh$/.test(name))
      hash.update(name).update(readFileSync(join(sources, name)))
  }
  const dir = join(root, '.cache')
  const path = join(dir, `keeper-${hash.digest('hex').slice(0, 16)}`)
  if (!existsSync(path)) {
    mkdirSync(dir, { recursive: true })
    const partial = `${path}.${process.pid}`
    const said = execFileSync('sh', [join(sources, 'build.sh'), partial], { encoding: 'utf8' })
    assert.equal(said, '', 'building prints nothing')
    renameSync(partial, path)
  }
  built = path
  return path
}

let sender: string | undefined

/** sender.c, built. */
export function senderProgram(): string {
  if (sender !== undefined) return sender
  const source = join(import.meta.dirname, 'sender.c')
  const hash = createHash('sha256').update(readFileSync(source)).digest('hex')
  const dir = join(root, '.cache')
  const path = join(dir, `sender-${hash.slice(0, 16)}`)
  if (!existsSync(path)) {
    mkdirSync(dir, { recursive: true })
    const partial = `${path}.${process.pid}`
    execFileSync('cc', ['-o', partial, source])
    renameSync(partial, path)
  }
  sender = path
  return path
}

/** Looks until `look` gives something; fails with `describe()` at the deadline. */
export async function until<T>(
  what: string,
  look: () => T | undefined | false,
  describe: () => unknown = () => '',
): Promise<T> {
  const deadline = Date.now() + waitMs
  for (;;) {
    const found = look()
    if (found !== undefined && found !== false) return found
    if (Date.now() > deadline) assert.fail(`waited ${waitMs} ms for ${what}: ${String(describe())}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

export function encode(type: string, payload: Buffer | string = ''): Buffer {
  const bytes = Buffer.from(payload)
  const head = Buffer.alloc(5)
  head.write(type, 0, 'latin1')
  head.writeUInt32BE(bytes.length, 1)
  return Buffer.concat([head, bytes])
}

export interface Frame {
  readonly type: string
  readonly payload: Buffer
}

/** One connection to a keeper. Frames are kept in order of coming. */
export class Client {
  readonly frames: Frame[] = []
  readonly socket: Socket
  closed = false
  #left: Buffer = Buffer.alloc(0)

  constructor(path: string, greeting: Buffer = Buffer.alloc(0)) {
    this.socket = connect(path)
    this.socket.on('data', (chunk: Buffer) => this.#take(chunk))
    this.socket.on('close', () => {
      this.closed = true
    })
    this.socket.on('error', () => {})
    if (greeting.length > 0) this.socket.write(greeting)
  }

  send(type: string, payload: Buffer | string = ''): void {
    this.socket.write(encode(type, payload))
  }

  all(type: string): readonly Buffer[] {
    return this.frames.filter((frame) => frame.type === type).map((frame) => frame.payload)
  }

  text(type: string): string {
    return Buffer.concat(this.all(type)).toString()
  }

  /** The job's end: the X frame's text, after the connection closed. */
  async end(): Promise<string> {
    await until('the connection to close', () => this.closed, this.describe)
    assert.equal(this.#left.length, 0, 'the last frame is whole')
    return this.text('X')
  }

  /** Sends a command and waits for its answer. */
  async command(text: string): Promise<string> {
    const before = this.all('R').length
    this.send('X', text)
    return until(`an answer to ${text}`, () => this.all('R')[before]?.toString(), this.describe)
  }

  describe = (): string =>
    this.frames.map((frame) => `${frame.type} ${frame.payload.subarray(0, 200)}`).join('\n')

  #take(chunk: Buffer): void {
    this.#left = this.#left.length === 0 ? chunk : Buffer.concat([this.#left, chunk])
    let at = 0
    while (this.#left.length - at >= 5) {
      const length = this.#left.readUInt32BE(at + 1)
      if (this.#left.length - at < 5 + length) break
      const type = String.fromCharCode(this.#left.readUInt8(at))
      this.frames.push({ type, payload: this.#left.subarray(at + 5, at + 5 + length) })
      at += 5 + length
    }
    this.#left = this.#left.subarray(at)
  }
}

export type Fields = Readonly<Record<string, string>>

function fieldsOf(words: readonly string[]): Fields {
  const pairs = words.map((word): [string, string] => {
    const equals = word.indexOf('=')
    return [word.slice(0, equals), decodeURIComponent(word.slice(equals + 1))]
  })
  return Object.fromEntries(pairs)
}

export interface Event {
  readonly seq: number
  readonly kind: string
  readonly fields: Fields
}

/** A job under test. */
export class Job {
  readonly id: string
  readonly dir: string
  readonly keeperPid: number
  readonly answer: string

  constructor(id: string, dir: string, answer: string) {
    this.id = id
    this.dir = dir
    this.answer = answer
    this.keeperPid = Number(/^ok \S+ (\d+)$/.exec(answer)?.[1] ?? 0)
  }

  read(name: string): string {
    try {
      return readFileSync(join(this.dir, name), 'latin1')
    } catch {
      return ''
    }
  }

  get state(): Fields {
    return fieldsOf(this.read('state').trim().split(' '))
  }

  get events(): readonly Event[] {
    const lines = this.read('events').split('\n').slice(0, -1)
    return lines.map((line) => {
      const [seq, , , kind, ...rest] = line.split(' ')
      return { seq: Number(seq), kind: String(kind), fields: fieldsOf(rest) }
    })
  }

  /** "start exit:code=3 …" for comparing with what should have happened. */
  get story(): string {
    const told = ['phase', 'code', 'signal', 'to', 'by', 'result', 'why', 'errno']
    return this.events
      .map(({ kind, fields }) => {
        const shown = told.filter((key) => fields[key] !== undefined).map((key) => fields[key])
        return [kind, ...shown].join(':')
      })
      .join(' ')
  }

  connect(greeting?: Buffer): Client {
    return new Client(join(this.dir, 'sock'), greeting)
  }

  attach(letters = 'o'): Client {
    return this.connect(encode('A', letters))
  }

  async phase(...wanted: readonly string[]): Promise<Fields> {
    return until(
      `phase ${wanted.join(' or ')} of ${this.id}`,
      () => {
        const { state } = this
        return state['phase'] !== undefined && wanted.includes(state['phase']) && state
      },
      () => `${this.read('state')}\n${this.read('events')}\n${this.read('log')}`,
    )
  }

  /** The last state, after the keeper has gone. */
  async over(): Promise<Fields> {
    const state = await this.phase('dead', 'failed')
    await until('the keeper to end', () => !existsSync(join(this.dir, 'sock')))
    return state
  }

  async stop(reason = 'test'): Promise<Fields> {
    const client = this.connect()
    assert.equal(await client.command(`stop ${reason}`), 'ok')
    client.socket.destroy()
    return this.over()
  }
}

/** A nursery with a directory for its jobs; disposal ends everything it started. */
export class Nursery implements AsyncDisposable {
  readonly dir = mkdtempSync(join(tmpdir(), 'keeper-test-'))
  readonly child: ChildProcess
  readonly #jobs: Job[] = []
  #said = ''

  constructor(options: { readonly uid?: number } = {}) {
    this.child = spawn(keeperProgram(), ['serve'], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ASAN_OPTIONS: process.env['ASAN_OPTIONS'] ?? '' },
      ...options,
    })
    this.child.stdout?.on('data', (chunk: Buffer) => {
      this.#said += chunk.toString()
    })
    this.child.stdin?.on('error', () => {})
  }

  send(bytes: Buffer): void {
    this.child.stdin?.write(bytes)
  }

  /** Sends a spec and returns the nursery's answer. */
  async ask(strings: readonly string[]): Promise<string> {
    this.#said = ''
    this.send(encode('N', strings.map((text) => `${text}\0`).join('')))
    await until('an answer of the nursery', () => this.#said.endsWith('\n'))
    return this.#said.trimEnd()
  }

  /** Starts a job that must start. */
  async start(id: string, strings: readonly string[]): Promise<Job> {
    const dir = join(this.dir, id)
    const job = new Job(id, dir, await this.ask([`id=${id}`, `dir=${dir}`, ...strings]))
    assert.match(job.answer, /^ok /)
    this.#jobs.push(job)
    return job
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.stdin?.end()
    for (const job of this.#jobs) {
      for (const pid of processesOf(job)) killQuietly(pid)
      if (existsSync(join(job.dir, 'sock'))) killQuietly(job.keeperPid)
      for (const pid of processesOf(job)) killQuietly(pid)
    }
    rmSync(this.dir, { recursive: true, force: true })
  }
}

function killQuietly(pid: number): void {
  try {
    if (pid > 1) process.kill(pid, 'SIGKILL')
  } catch {
    // It is gone, which is what is wanted.
  }
}

export function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

/** Living processes that carry the job's HOLON_JOB, as the agent looks for leftovers. */
export function processesOf(job: { readonly dir: string }): readonly number[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  return pids.map(Number).filter((pid) => {
    try {
      const env = readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0')
      return env.includes(`HOLON_JOB=${job.dir}`) && isAlive(pid)
    } catch {
      return false
    }
  })
}

/** The strings of one command. */
export function exec(phase: string, argv: readonly string[], flags = '-'): readonly string[] {
  return [`exec=${phase} ${flags} ${argv[0]}`, ...argv.map((argument) => `arg=${argument}`)]
}

/** A start command that is a shell script. */
export function sh(script: string, phase = 'start', flags = '-'): readonly string[] {
  return exec(phase, ['/bin/sh', '-c', script], flags)
}
