/**
 * Ending what a dead keeper left behind. Its main process dies with it by the kernel's doing; what
 * that process had started is found by its control groups, and where there are none by the
 * HOLON_JOB in its environment.
 */
import { type Clock, deadline, sleep } from '../base/clock.ts'
import { cgroupPids, killCgroups, removeCgroups } from '../io/cgroups.ts'
import type { ProcFs } from '../io/proc.ts'
import { sendSignal } from '../io/proc-signal.ts'

export interface LeftoversDeps {
  readonly clock: Clock
  readonly proc: ProcFs
  readonly cgroups: (job: string) => readonly string[]
  /** The job's directory: no other agent on this host has the same. */
  readonly jobDir: (job: string) => string
  readonly report: (message: string) => void
}

const timeoutMs = 10_000
const pollMs = 5

export class Leftovers {
  readonly #deps: LeftoversDeps

  constructor(deps: LeftoversDeps) {
    this.#deps = deps
  }

  /** Resolves when no process of the job is left, or after 10 s, reporting those that stay. */
  async cleanUp(job: string): Promise<void> {
    using limit = deadline(this.#deps.clock, timeoutMs)
    const groups = this.#deps.cgroups(job)
    for (;;) {
      const left = this.#find(job, groups)
      if (left.length === 0) break
      killCgroups(groups)
      for (const pid of left) this.#kill(pid)
      try {
        await sleep(this.#deps.clock, pollMs, limit.signal)
      } catch {
        this.#deps.report(`${job}: processes ${left.join(', ')} do not end even by SIGKILL`)
        return
      }
    }
    removeCgroups(groups)
  }

  /** Resolves when the process is gone or only waits to be asked how it ended, or after a while. */
  async untilGone(pid: number): Promise<void> {
    using limit = deadline(this.#deps.clock, timeoutMs)
    while (!limit.signal.aborted) {
      const state = this.#deps.proc.stat(pid)?.state
      if (state === undefined || state === 'Z' || state === 'X') return
      await sleep(this.#deps.clock, 1, limit.signal).catch(() => undefined)
    }
  }

  #find(job: string, groups: readonly string[]): readonly number[] {
    const pids = new Set(cgroupPids(groups))
    const dir = this.#deps.jobDir(job)
    for (const pid of this.#deps.proc.pidsWithEnvironment('HOLON_JOB', dir)) pids.add(pid)
    return [...pids].filter((pid) => {
      const state = this.#deps.proc.stat(pid)?.state
      return state !== undefined && state !== 'Z' && state !== 'X'
    })
  }

  #kill(pid: number): void {
    try {
      sendSignal(this.#deps.proc, { pid }, 'SIGKILL')
    } catch {
      // Gone meanwhile, or not ours: the next look tells.
    }
  }
}
