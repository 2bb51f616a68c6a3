/**
 * How etcd is kept running, without saying by whom: the agent does it with a keeper, tests may do
 * it otherwise. A service outlives whoever started it and is restarted whenever it ends.
 */
import type { SignalOptions } from '../../state/port.ts'

export interface ServiceSpec {
  /** Absolute. */
  readonly path: string
  /** argv[0] first. */
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
  /** Removed before each start, also before those that nobody asks for. */
  readonly removeFirst: readonly string[]
  /** For its bounded log files. */
  readonly logDir: string
}

export type ServiceState =
  | { readonly kind: 'running'; readonly pid: number; readonly restarts: number }
  /** Between an end and the next start. */
  | { readonly kind: 'restarting'; readonly restarts: number; readonly why: string }
  | { readonly kind: 'stopped' }

/** One service. Calls come one after the other. */
export interface ServiceRunner {
  /**
   * Has it run with exactly this spec, from now on. One that already runs with it, perhaps since
   * before this process began, is left alone; one with another spec is stopped first. Idempotent.
   */
  start(spec: ServiceSpec, options: SignalOptions): Promise<void>
  /** Ends it in order and resolves when no process of it is left. Idempotent. */
  stop(reason: string, options: SignalOptions): Promise<void>
  state(): ServiceState
  /** Where people find what it wrote. */
  readonly logDir: string
}
