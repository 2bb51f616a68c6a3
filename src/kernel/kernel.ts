/**
 * The kernel: the object model that every door calls and adds nothing to. A reference to one of
 * these objects is a capability: who holds it may use it.
 *
 * Common to all methods. Each takes CallOptions; a call ends by its signal at the latest. Errors
 * are HolonError: `permission_denied` when the caller may not, `not_found` when the thing is gone,
 * `unavailable` when the agent cannot be reached, `deadline_exceeded` and `cancelled` from the
 * signal, with `outcome: 'unknown'` when the call may have had its effect. When the link breaks,
 * the error of an idempotent method is retryable with outcome `none`: the caller may connect again
 * and repeat it. A reference from a link is Disposable: disposing of it gives the capability back.
 *
 * Answers about many machines come from each of them: who did not answer within `fanOutMs` (or the
 * call's own deadline, if that is sooner) is named in `missing`. Rows are as of the moment their
 * machine answered. A partition shows as missing machines; nothing waits for it to heal.
 */

import type { Bundles } from './bundles.ts'
import type { Decision, EventPage, EventQuery, WhyAnswer } from './decisions.ts'
import type { LogPage, LogQuery, LogUsage } from './log-types.ts'
import type { NameWatch, Resolution } from './names.ts'
import type { Secrets } from './secrets.ts'
import type {
  CallOptions,
  ExitStatus,
  Invitation,
  InviteWish,
  JoinAnswer,
  JoinWish,
  LabelChange,
  MachineListing,
  MachineWish,
  Page,
  PlacementAnswer,
  PlacementWish,
  ProcessId,
  ProcessListing,
  ProcessPage,
  ProcessQuery,
  RunInfo,
  RunListing,
  RunSpec,
  SystemStatus,
  UnitListing,
  UnitStatus,
} from './types.ts'

/**
 * A listing of any size, a page at a time: who passes it on holds pages of it, never all. Nothing
 * is asked for before `next` is called, so who reads slowly holds everybody back; one that nobody
 * asks on for limits.listingIdleMs is given up. Disposing of it ends it.
 */
export interface Pages<P extends Page> extends Disposable {
  /**
   * The next page, until one is `last`. One call at a time. Not to be repeated: after a failure the
   * listing begins anew.
   */
  next(options: CallOptions): Promise<P>
}

/**
 * The whole: every machine, as one. A part of it (one machine, a zone) is a System, too: the same
 * verbs, for those machines alone.
 */
export interface System {
  /** The same bytes back: a probe of the link and the agent. Idempotent. */
  ping(payload: string, options: CallOptions): Promise<string>
  /** Idempotent. */
  status(options: CallOptions): Promise<SystemStatus>
  /** Every machine, by name, also those that are down. Idempotent. */
  machines(options: CallOptions): Promise<MachineListing>
  /**
   * The machines that `selector` names: "n2", "n[01-16]", "n1,n2", "eu/*" (a zone). `not_found` when
   * it names none. Which machines those are is asked anew with each call of the part. Idempotent.
   */
  part(selector: string, options: CallOptions): Promise<System>
  /**
   * All processes of all machines, in pages as machines answer; who did not is in the last one's
   * `missing`. A machine that fell silent in the middle is there, too, beside the rows that it gave.
   * Idempotent.
   */
  processes(query: ProcessQuery, options: CallOptions): Promise<Pages<ProcessPage>>
  /** One process. `stale` when the pid belongs to another process now. Idempotent. */
  process(id: ProcessId, options: CallOptions): Promise<Process>
  /**
   * Starts a program on a suitable machine. An attached run starts when its stdio is attached, and
   * ends with it. `unavailable`, outcome none, when no machine fits, with why not.
   */
  run(spec: RunSpec, options: CallOptions): Promise<Run>
  /**
   * Where an attached program is started and attached to in one step, for a part that is exactly
   * one other machine; empty otherwise: then `run` is the way. Holds as long as the part. Idempotent.
   */
  runSocket(options: CallOptions): Promise<RunSocket>
  /** Where `run` would start such a program now, and why; nothing is started. Idempotent. */
  place(wish: PlacementWish, options: CallOptions): Promise<PlacementAnswer>
  /**
   * Detached runs, and attached ones while they run; finished ones are kept for a while.
   * Idempotent.
   */
  runs(options: CallOptions): Promise<RunListing>
  /** By id or an unambiguous beginning of it. Idempotent. */
  findRun(id: string, options: CallOptions): Promise<Run>
  /**
   * Without the processes, memory and CPU time of instances: those are in Unit.status. Idempotent.
   */
  units(options: CallOptions): Promise<UnitListing>
  /**
   * "web" means "web.service". `not_found` when no machine that answers has it. A unit that several
   * machines have answers for all of them together; its verbs then need a part that has one.
   * Idempotent.
   */
  unit(name: string, options: CallOptions): Promise<Unit>
  /**
   * Where a unit, an instance or a machine is found now; names.ts says how names are written, and
   * how current the answer is. `not_found` for what has no such name, `conflict` for one that
   * several units have. A part answers with the places in it. Idempotent.
   */
  resolve(name: string, options: CallOptions): Promise<Resolution>
  /** The same with its changes; a name that does not exist yet is waited for. Idempotent. */
  watchName(name: string, options: CallOptions): Promise<NameWatch>
  /**
   * Loads a unit file, new or changed. Nothing is started or restarted by it.
   * `invalid_argument` with file:line for every line that is not understood. Idempotent.
   */
  load(file: UnitFile, options: CallOptions): Promise<Unit>
  /** Bytes of all logs. Idempotent. */
  logUsage(options: CallOptions): Promise<LogUsage>
  /**
   * Keeps new instances off a machine, or has all of the fleet's instances leave it, never below
   * MinInstances=; `none` ends either. Returns when it is written down. Idempotent.
   */
  intend(machine: string, wish: MachineWish, options: CallOptions): Promise<void>
  /**
   * What was decided about the fleet's units, and why: the last of it, as recorded in the state. A
   * part answers as the whole. `unsupported` on a machine on its own. Idempotent.
   */
  events(query: EventQuery, options: CallOptions): Promise<EventPage>
  /** Ends the agent that answers; jobs go on unless `stopJobs`. Only for who runs the agent. */
  shutdown(how: { readonly stopJobs: boolean }, options: CallOptions): Promise<void>
  /**
   * Values that units are given as files, see `LoadCredential=`. Of the fleet; of one machine, for
   * its own units, where that is alone or the part. `permission_denied` but for who runs the agent.
   * Idempotent.
   */
  secrets(options: CallOptions): Promise<Secrets>
  /**
   * Programs' files, by what is in them, on the machine that answers; others get them from there.
   * `permission_denied` but for who runs the agent. Idempotent.
   */
  bundles(options: CallOptions): Promise<Bundles>
  /** Who belongs to the whole. `permission_denied` but for who runs the agent. Idempotent. */
  membership(options: CallOptions): Promise<Membership>
}

/**
 * Which machines make up the whole. Changes need the fleet's state: `unavailable`, retryable, while
 * its engine has no majority.
 */
export interface Membership {
  /**
   * Prepares for `uses` machines to join within `ttlMs`. The first one makes this machine the first
   * of a fleet: an identity, a listening port, and the state moved to etcd. Repeating it after
   * `outcome: 'unknown'` costs at worst an invitation that nobody uses.
   */
  invite(wish: InviteWish, options: CallOptions): Promise<Invitation>
  /**
   * Makes this machine, so far on its own, one of the fleet that invited it. Its units and runs
   * stay and go on. `permission_denied` with `details.kind` for each way a token is refused;
   * `already_exists` when this machine belongs to another fleet. Idempotent.
   */
  join(wish: JoinWish, options: CallOptions): Promise<JoinAnswer>
  /** Takes this machine out of the fleet. Its units go on here, on its own. Idempotent. */
  leave(options: CallOptions): Promise<void>
  /**
   * Shuts a machine out for ever: no link from its key is accepted any more, live ones end within
   * seconds. What runs there is not touched. `not_found` for an unknown name. Idempotent.
   */
  remove(machine: string, options: CallOptions): Promise<void>
  /** Sets labels (an empty value takes one away) and the zone of a machine. Idempotent. */
  label(machine: string, change: LabelChange, options: CallOptions): Promise<void>
}

export interface UnitFile {
  /** "web.service". */
  readonly name: string
  readonly text: string
  /** Where it came from, for messages and for noticing that it changed since. */
  readonly sourcePath?: string
}

/** One process, ours or not. */
export interface Process {
  /** `not_found` once it has ended. Idempotent. */
  info(options: CallOptions): Promise<ProcessListing>
  /**
   * `signal` is a name ("SIGTERM") or number. `permission_denied` for others' processes, `stale`
   * for a reused pid.
   */
  signal(signal: string | number, options: CallOptions): Promise<void>
}

/** A process that someone wants running. */
export interface Unit {
  /** Idempotent. */
  status(options: CallOptions): Promise<UnitStatus>
  /** Resolves when every instance is up or has failed; the state then is the answer. Idempotent. */
  start(options: CallOptions): Promise<UnitStatus>
  /** Resolves when every instance has ended. Idempotent. */
  stop(options: CallOptions): Promise<UnitStatus>
  /** One instance after another, each up before the next goes down; or only `instance`. */
  restart(which: { readonly instance?: number }, options: CallOptions): Promise<UnitStatus>
  /** Started when the agent starts. Idempotent. */
  enable(options: CallOptions): Promise<UnitStatus>
  /** Idempotent. */
  disable(options: CallOptions): Promise<UnitStatus>
  /**
   * So many instances from now on, whatever its file says. Resolves when they are up or wait.
   * `invalid_argument` beyond MinInstances= and MaxInstances=; `unsupported` for a unit of one
   * machine. Idempotent.
   */
  scale(instances: number, options: CallOptions): Promise<UnitStatus>
  /**
   * Back to the text before this one, or to that with the number `to`, brought out as any change.
   * `unsupported` for a unit of one machine.
   */
  undo(which: { readonly to?: number }, options: CallOptions): Promise<UnitStatus>
  /**
   * Forgets it, its file and every wish about it; logs stay where they are. `conflict` while it is
   * wanted or an instance of it is left. Idempotent.
   */
  unload(options: CallOptions): Promise<void>
  /** The file as loaded. Idempotent. */
  cat(options: CallOptions): Promise<UnitFile>
  /** systemctl's properties: `MainPID`, `ActiveState`, … Idempotent. */
  show(options: CallOptions): Promise<Readonly<Record<string, string>>>
  /** The recorded decisions that led here, and what comes next. Idempotent. */
  why(options: CallOptions): Promise<WhyAnswer>
  /** Idempotent. */
  logs(query: LogQuery, options: CallOptions): Promise<LogPage>
}

/** One program started by `System.run`. */
export interface Run {
  /** Idempotent. */
  info(options: CallOptions): Promise<RunInfo>
  /** Where its stdio is to be had; see rpc/stdio.ts, which makes streams of it. Idempotent. */
  address(options: CallOptions): Promise<StdioAddress>
  /** Resolves when it has ended. Idempotent. */
  wait(options: CallOptions): Promise<ExitStatus>
  /** To its foreground process group. */
  signal(signal: string | number, options: CallOptions): Promise<void>
  /** KillSignal, then after the stop timeout SIGKILL, to all of its processes. Idempotent. */
  stop(options: CallOptions): Promise<void>
  /** Output of a detached run. Idempotent. */
  logs(query: LogQuery, options: CallOptions): Promise<LogPage>
  /** Forgets a finished run with its output. `conflict` while it runs. Idempotent. */
  remove(options: CallOptions): Promise<void>
}

/** A unix socket that speaks the frames of docs/keeper.md. */
export interface StdioAddress {
  readonly runId: string
  readonly socketPath: string
  /** For a run elsewhere: the payload of the frame that must come first on each connection. */
  readonly route?: string
}

/** A unix socket that speaks the frames of docs/keeper.md, after one that says what to run. */
export interface RunSocket {
  readonly socketPath?: string
  readonly machineId?: string
}

export type { Decision }
