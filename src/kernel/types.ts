/**
 * Plain values of the kernel: what its interfaces take and give. All of them are JSON, so that they
 * cross any door unchanged. Times are wall-clock milliseconds since 1970 (`…AtMs`), durations are
 * milliseconds (`…Ms`), sizes are bytes.
 */
import type { ErrorCode } from '../base/errors.ts'

/** Every call names how long it may take: the signal of a `deadline()`, or one that cancels. */
export interface CallOptions {
  readonly signal: AbortSignal
}

/** Part of a listing; see Pages. */
export interface Page {
  /** Nothing follows. */
  readonly last: boolean
}

/** How a process ended: one of `code`, `signal` and `execErrno` is set. */
export interface ExitStatus {
  /** 0 to 255. */
  readonly code?: number
  /** "SIGKILL" and the like. */
  readonly signal?: string
  readonly coreDumped?: boolean
  readonly outOfMemory?: boolean
  /** It could not be executed at all: ENOENT, EACCES, … */
  readonly execErrno?: string
}

/** A machine that a fan-out did not hear from. An answer that lacks machines always names them. */
export interface MissingMachine {
  readonly machine: string
  readonly code: ErrorCode
  readonly lastSeenAtMs?: number
}

export interface MachineInfo {
  readonly name: string
  /** Its identity, the hash of its key; "" while the machine is on its own. */
  readonly id: string
  /**
   * `up`: it answers. `suspect`: silent, and two ways of asking it failed. `down`: so for longer.
   * As seen by the machine that answers.
   */
  readonly status: 'up' | 'suspect' | 'down'
  /** A path, "eu/paris/rack3"; "" for none. */
  readonly zone: string
  readonly labels: Readonly<Record<string, string>>
  /** Where its agent listens, "10.77.0.2:4656"; the first one is tried first. */
  readonly addresses: readonly string[]
  /** Keeps a member of the state's engine. */
  readonly keepsState: boolean
  /** When it was last heard of; absent when never since this agent started, and none remembered. */
  readonly lastSeenAtMs?: number
  /** What it last said of itself; absent when it never did. */
  readonly report?: MachineReport
  /** What an operator wants of it, as last heard from the state; absent for nothing special. */
  readonly intent?: MachineIntent
}

/** `cordoned`: nothing new is placed there. `draining`: what is there leaves, too. */
export interface MachineIntent {
  readonly wish: 'cordoned' | 'draining'
  readonly sinceMs: number
  /** "uid 0". */
  readonly by: string
}

/** What a machine says of itself. */
export interface MachineReport {
  readonly atMs: number
  readonly version: string
  /** As uname has it: "x86_64". */
  readonly arch: string
  readonly hostname: string
  readonly bootId: string
  readonly cpuCount: number
  readonly memoryBytes: number
  readonly memoryAvailableBytes: number
  readonly load1: number
  /** Share of the last 10 s in which some task waited, in percent; absent where there is no PSI. */
  readonly pressure?: { readonly cpu: number; readonly memory: number; readonly io: number }
  /** Units with an active instance. */
  readonly units: number
  /** Whether etcd is installed, so that it could keep a member of the state. */
  readonly canKeepState: boolean
  readonly upSinceMs: number
  readonly agentPid: number
  readonly agentSinceMs: number
}

export interface MachineListing {
  /** By name. */
  readonly machines: readonly MachineInfo[]
  readonly state: StateHealth
}

/** How the fleet's state is, as the answering machine sees it. */
export interface StateHealth {
  /** "embedded (sqlite)", "etcd, 3 members". */
  readonly engine: string
  /** The machine that decides where units of the fleet run; absent when that is not known. */
  readonly leader?: string
  /** Set while reads or writes fail; what runs goes on. */
  readonly unavailableSinceMs?: number
  /**
   * Sentences for an operator: what the loss of which machine would do, what is being changed, why
   * nothing is moved away from a zone.
   */
  readonly notes: readonly string[]
}

export interface SystemStatus {
  readonly version: string
  readonly machines: readonly MachineInfo[]
  readonly missing: readonly MissingMachine[]
  readonly agentPid: number
  readonly agentSinceMs: number
  readonly uid: number
  readonly stateDir: string
  readonly runtimeDir: string
  readonly state: StateHealth
  readonly keeper: 'c' | 'sh'
  /** Units by active state: `{active: 3, failed: 1}`. */
  readonly units: Readonly<Record<string, number>>
  readonly runs: number
  /** Things an operator should know: one sentence each. */
  readonly warnings: readonly string[]
}

// ---- membership

export interface InviteWish {
  /** How many machines may join with it. Default 1. */
  readonly uses?: number
  /** Default 15 minutes. */
  readonly ttlMs?: number
}

export interface Invitation {
  /** Where to join, "10.77.0.1:4656". */
  readonly address: string
  /** One word; whoever has it may join. It is shown once and not kept. */
  readonly token: string
  readonly uses: number
  readonly expiresAtMs: number
}

export interface JoinWish {
  readonly address: string
  readonly token: string
  /** Default: the short host name. */
  readonly name?: string
  readonly zone?: string
  readonly labels?: Readonly<Record<string, string>>
}

export interface JoinAnswer {
  readonly name: string
  /** Names of all machines, this one included. */
  readonly machines: readonly string[]
}

export interface LabelChange {
  /** An empty value takes the label away. */
  readonly labels?: Readonly<Record<string, string>>
  /** "" for none. */
  readonly zone?: string
}

// ---- placement

export interface PlacementWish {
  /**
   * What a machine must have, all of it: "arch=arm64 mem>=2G cpus>=4 disk=ssd zone=eu/paris"; names
   * that are none of these are labels.
   */
  readonly require?: string
}

/** Where a program was or would be started, and why there. */
export interface PlacementAnswer {
  /** Absent when no machine fits. */
  readonly machine?: string
  readonly why: string
  /** Every machine that was looked at. */
  readonly candidates: readonly PlacementCandidate[]
  readonly missing: readonly MissingMachine[]
}

export interface PlacementCandidate {
  readonly machine: string
  /** Lower is better; absent when it was filtered out. */
  readonly score?: number
  /** "load 0.4 of 8 cores, 12 GiB free", or why it does not fit. */
  readonly why: string
}

// ---- processes

/** Identity of a process: the pid alone is reused by the kernel. */
export interface ProcessId {
  readonly machine: string
  readonly pid: number
  /** Start time in clock ticks since boot, from /proc/PID/stat; with it a reused pid is refused. */
  readonly startTicks?: number
}

/** One row of the process table; numbers as the kernel gives them. */
export interface ProcessInfo {
  readonly machine: string
  readonly pid: number
  readonly ppid: number
  readonly pgid: number
  readonly sid: number
  /** Threads. */
  readonly nlwp: number
  /** One letter: R S D Z T t X I. */
  readonly state: string
  readonly uid: number
  readonly gid: number
  readonly user: string
  readonly group: string
  /** Controlling terminal's name without /dev/ ("pts/3"), or "" for none. */
  readonly tty: string
  /** Foreground process group of the terminal, -1 for none. */
  readonly tpgid: number
  /** The kernel's short name; any bytes, as UTF-8 with replacement characters. */
  readonly comm: string
  /** The argument vector; empty for kernel threads and zombies. */
  readonly args: readonly string[]
  readonly startTicks: number
  readonly startedAtMs: number
  readonly userMs: number
  readonly systemMs: number
  readonly nice: number
  readonly priority: number
  readonly vszBytes: number
  readonly rssBytes: number
  /** "web.service/2", "run/k3x…", or "" for what Holon did not start. */
  readonly unit: string
}

export interface ProcessQuery {
  /** Only these processes. Default: all. */
  readonly pids?: readonly number[]
  /** Only these effective users, by number. */
  readonly uids?: readonly number[]
  /** Leave the argument vectors out where they are not shown: saves a file read per process. */
  readonly args?: boolean
  /** How long machines have for each page before they count as missing. Default 2 s. */
  readonly fanOutMs?: number
}

export interface ProcessListing {
  readonly processes: readonly ProcessInfo[]
  readonly missing: readonly MissingMachine[]
  /** Facts of each machine that answered in full; tables need them for percentages. */
  readonly machines: readonly {
    readonly machine: string
    readonly memoryBytes: number
    readonly memoryAvailableBytes: number
    readonly swapBytes: number
    readonly swapFreeBytes: number
    readonly cpuCount: number
    readonly uptimeMs: number
    readonly load: readonly [number, number, number]
    /** Totals since boot over all cores, in ms, for `top`. */
    readonly cpuBusyMs: number
    readonly cpuIdleMs: number
  }[]
}

/** All pages together are the listing; `missing` comes with the last. */
export interface ProcessPage extends ProcessListing, Page {}

// ---- runs

export interface RunSpec {
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
  /** Run as this user (name or number). Only root may name another than itself. */
  readonly user?: string
  /** A terminal of this size; stdin, stdout and stderr are it. */
  readonly tty?: { readonly rows: number; readonly columns: number }
  /** `stream`: what the attached client sends; `null`: /dev/null. */
  readonly stdin: 'stream' | 'null'
  /** Detached: output goes to a log, the run outlives the caller. */
  readonly detached: boolean
  /** Stopped after this, counted from its start. */
  readonly timeoutMs?: number
  readonly umask?: number
  /** What the machine it runs on must have; see PlacementWish. */
  readonly require?: string
}

export interface RunInfo {
  readonly id: string
  readonly machine: string
  readonly argv: readonly string[]
  readonly uid: number
  readonly detached: boolean
  readonly tty: boolean
  readonly state: 'running' | 'ended' | 'lost'
  readonly pid: number
  readonly startedAtMs: number
  readonly endedAtMs?: number
  readonly exit?: ExitStatus
}

export interface RunListing {
  /** Oldest first. */
  readonly runs: readonly RunInfo[]
  readonly missing: readonly MissingMachine[]
}

// ---- units

export type ActiveState = 'active' | 'activating' | 'deactivating' | 'inactive' | 'failed'

export interface InstanceStatus {
  /** "web.service/2". */
  readonly name: string
  readonly number: number
  readonly machine: string
  readonly active: ActiveState
  /**
   * systemd's sub state: running, exited, auto-restart, start-pre, …; and two of ours for what runs
   * and has a public port: `unready` before it answers there, `unhealthy` when it does no more.
   */
  readonly sub: string
  readonly pid: number
  readonly sinceMs: number
  readonly startedAtMs: number
  readonly restarts: number
  /** success, exit-code, signal, core-dump, timeout, start-limit-hit, oom-kill, keeper-lost, … */
  readonly result: string
  /** What the service says of itself (STATUS= of sd_notify). Untrusted, for people. */
  readonly statusText?: string
  /** Likewise, ERRNO=. */
  readonly statusErrno?: number
  readonly exit?: ExitStatus
  /** Where it listens on its machine, `$PORT`; of units with a public port. */
  readonly port?: number
  /** Why it is `unready` or `unhealthy`. */
  readonly unready?: string
  /** Processes in the instance, its main one first. */
  readonly pids: readonly number[]
  readonly memoryBytes?: number
  readonly cpuMs?: number
}

export interface UnitStatus {
  readonly name: string
  /** The machines that have it. */
  readonly machines: readonly string[]
  readonly description: string
  readonly load: 'loaded' | 'bad-setting'
  readonly active: ActiveState
  readonly sub: string
  readonly enabled: boolean
  /** Whether someone wants it running now. */
  readonly wanted: boolean
  readonly instances: readonly InstanceStatus[]
  readonly instancesWanted: number
  readonly sourcePath?: string
  /** The condition for which its last start was skipped, or the assertion for which it failed. */
  readonly unmet?: string
  readonly loadedAtMs: number
  /** "since when, what happened last, what comes next", one sentence each. */
  readonly notes: readonly string[]
  /** Whose it is: one machine's own, or the fleet's, of which this may be one machine's part. */
  readonly scope: 'machine' | 'fleet'
  /** Of a unit with a public port. */
  readonly serves?: PortPart
  /** Of a unit of the fleet as a whole. */
  readonly fleet?: FleetPart
  /** Of a timer. */
  readonly timer?: TimerPart
}

/** How a unit is reached from outside: on that port of every machine. */
export interface PortPart {
  readonly port: number
  readonly protocol: 'tcp' | 'proxy' | 'http'
  /** Names by which it is told apart from other units on the port. */
  readonly hosts: readonly string[]
  /** Where the port is not open, of machines that have instances, and why: "n2: …". */
  readonly problems: readonly string[]
}

/** What a timer has done and will do; all in milliseconds of wall time. */
export interface TimerPart {
  /** The service that it starts. */
  readonly unit: string
  /** When it is due next; absent: not before something else happens. */
  readonly nextMs?: number
  /** When it last started its unit. */
  readonly lastMs?: number
  /** The moment that it last acted on, or passed over. */
  readonly lastScheduledMs?: number
  /** Machines on which its unit runs, or ran last. */
  readonly machines: readonly string[]
  /** Why it does nothing now: "it waits for backup.service". */
  readonly waits: string
}

/** What the fleet knows of one of its units, beside how its instances are. */
export interface FleetPart {
  /** Number of the text that is wanted. */
  readonly spec: number
  /** Set by `scale`; else the file's own `Instances=`. */
  readonly scale?: number
  readonly rollout?: {
    readonly from: number
    readonly to: number
    readonly status: 'going' | 'done' | 'failed'
    readonly sinceMs: number
    readonly why?: string
  }
  /** The texts that were given, oldest first. */
  readonly history: readonly {
    readonly spec: number
    readonly atMs: number
    readonly by: string
    readonly note?: string
  }[]
  /** Where each instance belongs, and why there. */
  readonly slots: readonly {
    readonly slot: number
    readonly machine: string
    readonly spec: number
    readonly generation: number
    readonly why: string
    /** A second place, which takes over once it is ready. */
    readonly next?: string
    /** The round that it is part of, and when it had ended in that. */
    readonly round?: number
    readonly endedAtMs?: number
  }[]
  /** Its last start: what has ended since is started again by the next one only. */
  readonly round?: {
    readonly number: number
    readonly atMs: number
    readonly by: string
    readonly endedAtMs?: number
  }
  /** What cannot be done now, and why: a sentence each. */
  readonly waiting: readonly string[]
}

export type MachineWish = MachineIntent['wish'] | 'none'

export interface UnitListing {
  /** By name, then by machine. */
  readonly units: readonly UnitStatus[]
  readonly missing: readonly MissingMachine[]
  /** Set when the fleet's state does not answer: what is lacking then, in a sentence. */
  readonly stateUnavailable?: string
}
