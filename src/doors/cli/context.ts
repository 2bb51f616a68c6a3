/**
 * What a command of the CLI is given: the system, the terminal, and how to report its exit status.
 */
import type { Clock, Deadline } from '../../base/clock.ts'
import type { System } from '../../kernel/kernel.ts'

export interface OwnLink extends AsyncDisposable {
  readonly system: System
}

export interface CliContext {
  /**
   * Connects to the agent at the first call and gives the same object from then on: the whole, or
   * the machines of --machine.
   */
  readonly system: () => Promise<System>
  /** What --machine said; undefined for all machines. */
  readonly machines: () => string | undefined
  /** --machine, for commands that read it themselves. Before `system()` is called. */
  readonly selectMachines: (selector: string) => void
  /**
   * A link of its own, for who outlives the first one, to the same machines. The caller ends it.
   */
  readonly connectAnew: (signal: AbortSignal) => Promise<OwnLink>
  readonly clock: Clock
  readonly stdin: NodeJS.ReadStream
  readonly stdout: NodeJS.WriteStream
  readonly stderr: NodeJS.WriteStream
  /** The caller's environment as it was before Holon's launcher touched it. */
  readonly env: Readonly<Record<string, string | undefined>>
  /**
   * The deadline for one call: --timeout, else `defaultMs`, else limits.callTimeoutMs. The caller
   * disposes it.
   */
  readonly deadline: (defaultMs?: number) => Deadline
  /** The exit status when the command returns; 0 unless set. */
  readonly setExit: (status: number) => void
}
