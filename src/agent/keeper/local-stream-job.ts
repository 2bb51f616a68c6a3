/**
 * A job with `output: 'stream'` where there is no compiled keeper: the agent itself starts the
 * program and serves the same frames on the same socket. It ends with the agent. No terminals, no
 * supplementary groups of another user, and a stopped program is not told of.
 */
import type { Duplex, Readable } from 'node:stream'
import type { Clock, Timer } from '../../base/clock.ts'
import { HolonError } from '../../base/errors.ts'
import { signalNumber } from '../../base/signals.ts'
import { joinPath, removeTree } from '../../io/files.ts'
import { listenUnix, type UnixListener } from '../../io/listen-socket.ts'
import {
  isDirectory,
  type LocalChild,
  type LocalChildEnd,
  spawnLocalChild,
} from '../../io/local-child.ts'
import type { Users } from '../../io/users.ts'
import { encodeFrame, FrameDecoder, frameHeader } from '../../rpc/keeper-frames.ts'
import type { JobSpec } from '../../unit/job-spec.ts'

export interface LocalStreamDeps {
  readonly clock: Clock
  readonly users: Users
}

export interface LocalStreamJob extends AsyncDisposable {
  readonly socketPath: string
  /** Ends the program by SIGKILL, if it still runs. */
  [Symbol.asyncDispose](): Promise<void>
}

/** How long it waits for its first client: nobody else would ever end it. */
const attachMs = 30_000
const connectionsMax = 32
const sighup = 1
const sigterm = 15
const sigkill = 9
const sigcont = 18

/** Listens at `dir`/sock; the directory must exist. `unsupported` for a terminal. */
export async function startLocalStreamJob(
  deps: LocalStreamDeps,
  spec: JobSpec,
  options: { readonly onEnd: (job: LocalStreamJob) => void },
): Promise<LocalStreamJob> {
  if (spec.tty !== undefined) {
    throw new HolonError(
      'unsupported',
      `start ${spec.id}: a terminal needs the compiled keeper; install a C compiler (gcc or ` +
        'clang) and start the agent again, or run it without a terminal (-T)',
    )
  }
  const job = new Job(deps, spec, options.onEnd)
  await job.listen()
  return job
}

class Job implements LocalStreamJob {
  readonly socketPath: string
  readonly #deps: LocalStreamDeps
  readonly #spec: JobSpec
  readonly #onEnd: (job: LocalStreamJob) => void
  readonly #connections = new Set<Duplex>()
  readonly #timers = new Set<Timer>()
  #listener: UnixListener | undefined
  #child: LocalChild | undefined
  #client: Duplex | undefined
  #endFrame: Buffer | undefined
  #over = false

  constructor(deps: LocalStreamDeps, spec: JobSpec, onEnd: (job: LocalStreamJob) => void) {
    this.#deps = deps
    this.#spec = spec
    this.#onEnd = onEnd
    this.socketPath = joinPath(spec.dir, 'sock')
  }

  async listen(): Promise<void> {
    const owner = { uid: this.#spec.ownerUid, gid: -1 }
    this.#listener = await listenUnix(this.socketPath, (socket) => this.#accept(socket), { owner })
    this.#after(attachMs, () => {
      if (this.#child === undefined) void this[Symbol.asyncDispose]()
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#over) return
    this.#over = true
    for (const timer of this.#timers) timer[Symbol.dispose]()
    this.#child?.cleanUp()
    await this.#listener?.[Symbol.asyncDispose]()
    removeTree(this.#spec.dir)
    const last = this.#endFrame
    for (const connection of this.#connections) {
      if (connection === this.#client && last !== undefined) connection.end(last)
      else connection.end()
    }
    this.#onEnd(this)
  }

  #after(ms: number, fire: () => void): void {
    const timer = this.#deps.clock.timer(ms, () => {
      this.#timers.delete(timer)
      if (!this.#over) fire()
    })
    this.#timers.add(timer)
  }

  #accept(socket: Duplex): void {
    if (this.#connections.size >= connectionsMax || this.#over) {
      socket.destroy()
      return
    }
    this.#connections.add(socket)
    const refuse = () => socket.destroy()
    const decoder = new FrameDecoder({
      output: refuse,
      outputEnd: refuse,
      frame: (type, payload) => this.#frame(socket, type, payload),
    })
    socket.on('data', (chunk: Buffer) => {
      try {
        decoder.push(chunk)
      } catch {
        refuse()
      }
    })
    socket.on('error', () => {})
    // The client's end of writing is no hang-up; its going away is.
    socket.on('end', () => socket.end())
    socket.on('close', () => {
      this.#connections.delete(socket)
      if (socket === this.#client) this.#hangUp()
    })
  }

  #frame(socket: Duplex, type: string, payload: Buffer): void {
    if (type === 'A') this.#attach(socket)
    else if (type === 'I') this.#input(socket, payload)
    else if (type === 'P') this.#closeOutput(payload.toString())
    else if (type === 'S') this.#child?.signalGroup(payload[0] ?? 0)
    else if (type === 'X') socket.write(encodeFrame('R', this.#command(payload.toString())))
    // Without a terminal there is no window, and without a log no events.
    else if (type !== 'W' && type !== 'Q') socket.destroy()
  }

  #attach(socket: Duplex): void {
    if (this.#client !== undefined) return
    this.#client = socket
    const spec = this.#spec
    const command = spec.commands.find(({ phase }) => phase === 'start')
    const where = this.#directory()
    if (command === undefined || where === undefined) {
      void this.#finish('failed ENOENT there is no such directory')
      return
    }
    const env = Object.fromEntries(spec.env)
    const child = spawnLocalChild({
      path: command.path,
      argv: command.argv,
      env: { ...env, HOLON_JOB: spec.dir },
      cwd: where,
      ...this.#identity(),
      umask: spec.umask,
      ...(spec.nice === undefined ? {} : { nice: spec.nice }),
      stdin: spec.stdin === 'stream',
      cgroups: spec.cgroups,
      dir: spec.dir,
    })
    this.#child = child
    const outputs = [this.#pump(socket, 'O', child.stdout), this.#pump(socket, 'E', child.stderr)]
    if (spec.runtimeMaxMs > 0) this.#after(spec.runtimeMaxMs, () => this.#stop())
    void child.exited.then(async (end) => {
      if (end.kind === 'exit') this.#endTheRest(child)
      await Promise.all(outputs)
      await this.#finish(endText(end))
    })
  }

  #identity(): { uid?: number; gid?: number } {
    const { user } = this.#spec
    if (user === undefined) return {}
    const entry = this.#deps.users.user(/^\d+$/.test(user) ? Number(user) : user)
    const uid = entry?.uid ?? Number(user)
    return { uid, gid: entry?.gid ?? uid }
  }

  #directory(): string | undefined {
    const { cwd, user } = this.#spec
    const optional = cwd.startsWith('-')
    const path = optional ? cwd.slice(1) : cwd
    const named = user !== undefined && /^\d+$/.test(user) ? Number(user) : (user ?? 0)
    const resolved = path === '~' ? (this.#deps.users.user(named)?.home ?? '/') : path
    if (isDirectory(resolved)) return resolved
    return optional ? '/' : undefined
  }

  /** Resolves when the byte stream has gone out, or nobody wants it. */
  #pump(socket: Duplex, type: 'O' | 'E', from: Readable): Promise<void> {
    return new Promise((resolve) => {
      from.on('data', (chunk: Buffer) => {
        socket.cork()
        socket.write(frameHeader(type, chunk.length))
        const more = socket.write(chunk)
        socket.uncork()
        if (more) return
        from.pause()
        socket.once('drain', () => from.resume())
      })
      from.on('end', () => socket.write(encodeFrame(type)))
      from.on('close', () => resolve())
      socket.on('close', () => from.destroy())
    })
  }

  #input(socket: Duplex, payload: Buffer): void {
    const stdin = this.#child?.stdin
    if (!stdin || stdin.writableEnded || stdin.destroyed) return
    if (payload.length === 0) {
      stdin.end()
      return
    }
    // The chunk's bytes are the socket's; the pipe may take them later.
    if (stdin.write(Buffer.from(payload))) return
    socket.pause()
    const resume = () => {
      stdin.off('drain', resume)
      stdin.off('close', resume)
      socket.resume()
    }
    stdin.on('drain', resume)
    stdin.on('close', resume)
  }

  #closeOutput(which: string): void {
    if (which === 'O') this.#child?.stdout.destroy()
    if (which === 'E') this.#child?.stderr.destroy()
  }

  #command(text: string): string {
    const [verb, number, to] = text.split(' ')
    if (verb === 'stop') {
      this.#stop()
      return 'ok'
    }
    if (verb !== 'kill') return `error ENOTSUP ${JSON.stringify(verb)} needs the compiled keeper`
    const signal = signalNumber(number ?? '')
    if (signal === undefined) return 'error EINVAL no such signal'
    if (this.#child === undefined) return 'error ESRCH it does not run'
    if (to === 'all') this.#child.signalGroup(signal)
    else this.#child.signalMain(signal)
    return 'ok'
  }

  #stop(): void {
    if (this.#child === undefined) void this.#finish('code 0')
    else this.#end(this.#child, this.#spec.killSignal)
  }

  #hangUp(): void {
    if (this.#over) return
    if (this.#child === undefined) void this[Symbol.asyncDispose]()
    else this.#end(this.#child, sighup)
  }

  #endTheRest(child: LocalChild): void {
    if (this.#spec.killMode === 'control-group') this.#end(child, sigterm)
  }

  #end(child: LocalChild, signal: number): void {
    child.signalGroup(signal)
    child.signalGroup(sigcont)
    const { timeoutStopMs } = this.#spec
    if (timeoutStopMs === 0) return
    this.#after(timeoutStopMs, () => {
      child.signalGroup(sigkill)
      child.stdout.destroy()
      child.stderr.destroy()
    })
  }

  async #finish(text: string): Promise<void> {
    if (this.#over) return
    // Once the client has it, the directory is gone: a run that has ended is not listed any more.
    this.#endFrame = encodeFrame('X', text)
    await this[Symbol.asyncDispose]()
  }
}

function endText(end: LocalChildEnd): string {
  if (end.kind === 'failed') return `failed ${end.errno} ${end.message}`
  if (end.signal !== null) return `signal ${signalNumber(end.signal) ?? 0}`
  return `code ${end.code ?? 0}`
}
