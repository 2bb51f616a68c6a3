/**
 * Starting jobs and taking over those that run, whichever keeper this host has. Nothing outside of
 * this folder knows which it is, but for saying so.
 */
import { HolonError } from '../../base/errors.ts'
import { exists, joinPath } from '../../io/files.ts'
import { ensureKeeper } from '../../io/keeper-build.ts'
import { Nursery } from '../../io/nursery.ts'
import type { CallOptions } from '../../kernel/types.ts'
import { encodeFrame } from '../../rpc/keeper-frames.ts'
import type { JobSpec } from '../../unit/job-spec.ts'
import type { JobEnd, JobLink, JobObserver } from './link.ts'
import { hasEnded, type JobState } from './records.ts'
import { openSocketLink, readRemains } from './socket-link.ts'
import { encodeSpec } from './spec-encoding.ts'

export interface JobLauncher extends AsyncDisposable {
  readonly kind: 'c' | 'sh'
  /** What an operator should know of it; empty for nothing. */
  readonly note: string
  /** Starts a job with `output: 'log'` in a directory that has none. */
  start(spec: JobSpec, observer: JobObserver, options: CallOptions): Promise<JobLink>
  /** Has a job with `output: 'stream'` wait for its client, who starts it by attaching. */
  startStream(spec: JobSpec, options: CallOptions): Promise<{ readonly keeperPid: number }>
  /** Takes over the job in `dir`, or what is left of it. */
  open(dir: string, observer: JobObserver, options: CallOptions): Promise<JobLink>
}

/** Takes over a job, whichever keeper started it. */
export async function openJob(
  dir: string,
  observer: JobObserver,
  options: CallOptions,
): Promise<JobLink> {
  if (exists(joinPath(dir, 'sock'))) {
    try {
      return await openSocketLink(dir, observer, options)
    } catch (error) {
      // Its keeper is dead, or ended this very moment: what it wrote down tells.
      if (!(error instanceof HolonError) || !isRefusal(error)) throw error
    }
  }
  return remains(readRemains(dir, observer))
}

function isRefusal(error: HolonError): boolean {
  const errno = error.details['errno']
  return errno === 'ECONNREFUSED' || errno === 'ENOENT'
}

function remains(state: JobState | undefined): JobLink {
  const end: JobEnd = state !== undefined && hasEnded(state) ? 'ended' : 'lost'
  return {
    state,
    ended: Promise.resolve(end),
    stop: async () => {},
    kill: async () => {
      throw new HolonError('not_found', 'the job has ended')
    },
    [Symbol.dispose]: () => {},
  }
}

class CompiledLauncher implements JobLauncher {
  readonly kind = 'c'
  readonly note = ''
  readonly #nursery: Nursery

  constructor(nursery: Nursery) {
    this.#nursery = nursery
  }

  async start(spec: JobSpec, observer: JobObserver, options: CallOptions): Promise<JobLink> {
    await this.#nursery.start(spec.id, encodeFrame('N', encodeSpec(spec)), options.signal)
    return openJob(spec.dir, { ...observer, afterSeq: 0 }, options)
  }

  async startStream(spec: JobSpec, { signal }: CallOptions) {
    const frame = encodeFrame('N', encodeSpec(spec))
    return { keeperPid: await this.#nursery.start(spec.id, frame, signal) }
  }

  open(dir: string, observer: JobObserver, options: CallOptions): Promise<JobLink> {
    return openJob(dir, observer, options)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#nursery[Symbol.asyncDispose]()
  }
}

export interface LauncherOptions {
  /** The keeper's sources. */
  readonly sourceDir: string
  /** Where the compiled one is kept. */
  readonly binDir: string
  readonly forceSh: boolean
}

export async function openLauncher(options: LauncherOptions): Promise<JobLauncher> {
  const binary = options.forceSh
    ? { kind: 'sh' as const, reason: 'asked for' }
    : ensureKeeper(options.sourceDir, options.binDir)
  if (binary.kind === 'c') return new CompiledLauncher(new Nursery(binary.path))
  throw new HolonError('unsupported', `no compiled keeper: ${binary.reason}`)
}
