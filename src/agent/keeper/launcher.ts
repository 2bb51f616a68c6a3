/**
 * Starts jobs. Which keeper keeps them, the compiled one or the shell's, is known here only.
 */
import type { Clock } from '../../base/clock.ts'
import { sleep, withSignal } from '../../base/clock.ts'
import { asHolonError, HolonError } from '../../base/errors.ts'
import { ensureDir, exists, joinPath, removeTree, writeText } from '../../io/files.ts'
import { buildKeeper } from '../../io/keeper-build.ts'
import { type ShKeeper, spawnShKeeper } from '../../io/keeper-files.ts'
import { Nursery } from '../../io/nursery.ts'
import { Users } from '../../io/users.ts'
import type { CallOptions } from '../../kernel/types.ts'
import { encodeFrame } from '../../rpc/keeper-frames.ts'
import type { JobSpec } from '../../unit/job-spec.ts'
import { type JobLink, type JobObserver, openJob } from './link.ts'
import { startLocalStreamJob } from './local-stream-job.ts'
import { encodeShellSpec, encodeSpec } from './spec-encoding.ts'

export interface StreamJob {
  /** Speaks the frames of docs/keeper.md; the program starts when a client attaches. */
  readonly socketPath: string
  /** -1 when the agent itself keeps the job. */
  readonly keeperPid: number
}

export interface JobLauncher extends AsyncDisposable {
  readonly kind: 'c' | 'sh'
  /** For operators: which keeper, or why there is no compiled one. */
  readonly note: string
  /**
   * Starts a job with `output: 'log'`. Rejects with the keeper's reason when nothing was started,
   * with outcome unknown when that is not known. Not idempotent.
   */
  start(spec: JobSpec, observer: JobObserver, options: CallOptions): Promise<JobLink>
  /** The same for `output: 'stream'`. */
  startStream(spec: JobSpec, options: CallOptions): Promise<StreamJob>
  /** Takes over the job in `dir`, whichever keeper it has; one that ended is no error. */
  open(dir: string, observer: JobObserver, options: CallOptions): Promise<JobLink>
  /** Lets go; kept jobs go on. */
  [Symbol.asyncDispose](): Promise<void>
}

export interface LauncherDeps {
  readonly clock: Clock
  readonly report: (message: string) => void
}

export interface LauncherOptions {
  /** Holds build.sh, the C sources and keeper.sh. */
  readonly sourceDir: string
  /** Where the built keeper is kept. */
  readonly binDir: string
  readonly forceSh?: boolean
  /** Of jobs that ask for none. Without it they are as nice as this process. */
  readonly nice?: number | undefined
  /** What runs keeper.sh. Default /bin/sh. */
  readonly shell?: readonly string[]
}

/** Builds the keeper if need be. Falls back to the shell's, and says why in `note`. */
export async function openLauncher(
  deps: LauncherDeps,
  options: LauncherOptions,
): Promise<JobLauncher> {
  const build = options.forceSh
    ? { kind: 'sh' as const, reason: 'HOLON_KEEPER=sh asks for it' }
    : await buildKeeper(options)
  if (build.kind === 'c') return new CompiledLauncher(deps, build.path, options.nice)
  const note = `jobs are kept by a shell script, without terminals: ${build.reason}`
  return new ShellLauncher(deps, { ...options, note })
}

class CompiledLauncher implements JobLauncher {
  readonly kind = 'c'
  readonly note: string
  readonly #deps: LauncherDeps
  readonly #nursery: Nursery
  readonly #nice: number | undefined

  constructor(deps: LauncherDeps, path: string, nice: number | undefined) {
    this.#deps = deps
    this.#nice = nice
    this.note = `jobs are kept by ${path}`
    this.#nursery = new Nursery({ path, report: deps.report })
  }

  async start(spec: JobSpec, observer: JobObserver, options: CallOptions): Promise<JobLink> {
    await this.#nursery.start(
      spec.id,
      encodeFrame('N', encodeSpec(withNice(spec, this.#nice))),
      options,
    )
    return await openJob(this.#deps, spec.dir, observer, options)
  }

  async startStream(spec: JobSpec, options: CallOptions): Promise<StreamJob> {
    const frame = encodeFrame('N', encodeSpec(withNice(spec, this.#nice)))
    const keeperPid = await this.#nursery.start(spec.id, frame, options)
    return { socketPath: joinPath(spec.dir, 'sock'), keeperPid }
  }

  open(dir: string, observer: JobObserver, options: CallOptions): Promise<JobLink> {
    return openJob(this.#deps, dir, observer, options)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#nursery[Symbol.asyncDispose]()
  }
}

function withNice(spec: JobSpec, nice: number | undefined): JobSpec {
  return nice === undefined ? spec : { nice, ...spec }
}

const startPollMs = 5

class ShellLauncher implements JobLauncher {
  readonly kind = 'sh'
  readonly note: string
  readonly #deps: LauncherDeps
  readonly #options: LauncherOptions
  readonly #users = new Users()
  readonly #streamJobs = new Set<AsyncDisposable>()

  constructor(deps: LauncherDeps, options: LauncherOptions & { readonly note: string }) {
    this.#deps = deps
    this.#options = options
    this.note = options.note
  }

  async start(spec: JobSpec, observer: JobObserver, options: CallOptions): Promise<JobLink> {
    const text = encodeShellSpec(withNice(spec, this.#options.nice))
    this.#makeDir(spec)
    writeText(joinPath(spec.dir, 'spec.sh'), text, 0o600)
    const script = joinPath(this.#options.sourceDir, 'keeper.sh')
    const keeper = spawnShKeeper(this.#options.shell ?? ['/bin/sh'], script, spec.dir)
    await this.#untilKept(spec, keeper, options)
    return await openJob(this.#deps, spec.dir, observer, options)
  }

  async startStream(spec: JobSpec, { signal }: CallOptions): Promise<StreamJob> {
    this.#makeDir(spec)
    const deps = { clock: this.#deps.clock, users: this.#users }
    const starting = startLocalStreamJob(deps, withNice(spec, this.#options.nice), {
      onEnd: (job) => this.#streamJobs.delete(job),
    })
    const job = await withSignal(starting, signal)
    this.#streamJobs.add(job)
    return { socketPath: job.socketPath, keeperPid: -1 }
  }

  open(dir: string, observer: JobObserver, options: CallOptions): Promise<JobLink> {
    return openJob(this.#deps, dir, observer, options)
  }

  /** Jobs that the agent itself keeps end with it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#streamJobs].map((job) => job[Symbol.asyncDispose]()))
  }

  #makeDir(spec: JobSpec): void {
    if (exists(joinPath(spec.dir, 'state')) || exists(joinPath(spec.dir, 'sock'))) {
      throw new HolonError('already_exists', `start ${spec.id}: a job is in ${spec.dir} already`)
    }
    ensureDir(spec.dir, 0o711)
  }

  async #untilKept(spec: JobSpec, keeper: ShKeeper, { signal }: CallOptions): Promise<void> {
    let ended: string | undefined
    void keeper.ended.then((how) => {
      ended = how
    })
    const state = joinPath(spec.dir, 'state')
    while (!exists(state)) {
      if (ended !== undefined) {
        removeTree(spec.dir)
        throw new HolonError('internal', `start ${spec.id}: keeper.sh ended: ${ended}`)
      }
      try {
        await sleep(this.#deps.clock, startPollMs, signal)
      } catch (error) {
        throw asHolonError(error, `start ${spec.id}`)
      }
    }
  }
}
