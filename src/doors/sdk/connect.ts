/**
 * The door for programs: the kernel's objects over a link to the agent, with a default deadline on
 * every call, and runs with their stdio as streams.
 *
 * `system` is the kernel interface itself; what else is here only saves typing.
 */
import { type Deadline, deadline } from '../../base/clock.ts'
import { HolonError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import { version } from '../../base/version.ts'
import { realClock } from '../../io/clock.ts'
import { realHost } from '../../io/host.ts'
import type { Run, System, Unit } from '../../kernel/kernel.ts'
import type { Resolution } from '../../kernel/names.ts'
import type {
  ExitStatus,
  MachineListing,
  ProcessListing,
  ProcessQuery,
  RunSpec,
  SystemStatus,
  UnitListing,
} from '../../kernel/types.ts'
import { connectRpc } from '../../rpc/connect.ts'
import { type OutputName, openStdio, type Stdio } from '../../rpc/stdio.ts'
import { systemInterface } from '../../rpc/wire.ts'
import { allProcesses } from './all-pages.ts'
import { findAgent } from './find-agent.ts'
import { LazyRun } from './lazy-run.ts'
import { type NameVerbs, watchName } from './names.ts'
import { Parts } from './parts.ts'

export interface ConnectOptions {
  /** The agent's socket. Default: HOLON_DIR's, the user's own, or the system's. */
  readonly socketPath?: string
  /** For connecting, and for each call of the short forms. Default 30 s. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

export interface RunOptions extends Partial<Omit<RunSpec, 'argv'>> {
  /**
   * Where: "n2", or several of which a suitable one is chosen, "n[01-16]", "eu/*". Default: any.
   */
  readonly machine?: string
  /** For starting it. The run itself may take as long as it wants. */
  readonly signal?: AbortSignal
}

/** An attached run: it ends when this side lets go of it. */
export interface RunHandle extends Disposable {
  readonly run: Run
  /** Its stdin, stdout and stderr as Node streams; both outputs must be read for it to go on. */
  readonly stdio: Stdio
  /** Resolves with how it ended, once its output is out too. */
  readonly exit: Promise<ExitStatus>
}

export interface RunResult {
  readonly exit: ExitStatus
  readonly stdout: string
  readonly stderr: string
}

/** The short forms, for the whole or for some machines of it. */
export interface Verbs {
  readonly system: System
  status(): Promise<SystemStatus>
  processes(query?: ProcessQuery): Promise<ProcessListing>
  machines(): Promise<MachineListing>
  units(): Promise<UnitListing>
  /** "web" means "web.service". */
  unit(name: string): Promise<Unit>
  /** Where "web", "1.web" or "n1.machines" is found now. */
  resolve(name: string): Promise<Resolution>
  readonly names: NameVerbs
  /** Starts a program with its stdio here. Environment and directory are this process's own. */
  start(argv: string | readonly string[], options?: RunOptions): Promise<RunHandle>
  /** Runs a program to its end without input, and gives what it wrote, at most 64 MiB. */
  run(argv: string | readonly string[], options?: RunOptions): Promise<RunResult>
  /**
   * The same for the machines that `selector` names: "n2", "n1,n3", "n[01-16]", "eu/*" (a zone).
   * `not_found` when it names none.
   */
  on(selector: string): Promise<Verbs>
  /** A deadline for calls of `system`. */
  deadline(timeoutMs?: number): Deadline
}

export interface Holon extends Verbs, AsyncDisposable {
  /** Ends the link. Attached runs end with it, detached ones go on. */
  [Symbol.asyncDispose](): Promise<void>
}

const collectedBytesMax = 64 * 1024 * 1024

/** `unavailable` when no agent runs here. */
export async function connect(options: ConnectOptions = {}): Promise<Holon> {
  const timeoutMs = options.timeoutMs ?? limits.callTimeoutMs
  using opening = deadline(realClock, timeoutMs, options.signal)
  const path = options.socketPath ?? (await findAgent(realClock, realHost()))
  const link = await connectRpc(realClock, path, systemInterface, {
    version,
    signal: opening.signal,
  })
  const verbs = makeVerbs(link.main, { ...options, timeoutMs })
  return { ...verbs, [Symbol.asyncDispose]: () => link[Symbol.asyncDispose]() }
}

function makeVerbs(
  system: System,
  options: ConnectOptions & { readonly timeoutMs: number },
): Verbs {
  const host = realHost()
  const { timeoutMs } = options
  const limit = (ms = timeoutMs) => deadline(realClock, ms, options.signal)
  const bounded = async <T>(call: (o: { signal: AbortSignal }) => Promise<T>): Promise<T> => {
    using bound = limit()
    return await call(bound)
  }
  const parts = new Parts(system)

  async function start(
    argv: string | readonly string[],
    wish: RunOptions = {},
  ): Promise<RunHandle> {
    const { signal, machine, ...rest } = wish
    using starting = deadline(realClock, timeoutMs, signal ?? options.signal)
    const where = machine === undefined ? system : await parts.get(machine, starting)
    const spec: RunSpec = {
      env: definedOnly(host.env),
      cwd: host.cwd(),
      stdin: 'stream',
      detached: false,
      umask: host.umask(),
      ...rest,
      argv: typeof argv === 'string' ? [argv] : argv,
    }
    const direct = !spec.detached && spec.require === undefined && machine !== undefined
    const starter = direct ? await parts.runStarter(where, starting) : undefined
    if (starter !== undefined) {
      const { stdio, runId } = await starter.start(spec, starting)
      return {
        run: new LazyRun((o) => where.findRun(runId, o)),
        stdio,
        exit: stdio.exit,
        [Symbol.dispose]: () => stdio[Symbol.dispose](),
      }
    }
    const run = await where.run(spec, starting)
    const address = await run.address(starting)
    const stdio = await openStdio(address, { stdin: rest.stdin !== 'null' }, starting)
    return { run, stdio, exit: stdio.exit, [Symbol.dispose]: () => stdio[Symbol.dispose]() }
  }

  return {
    system,
    status: () => bounded((o) => system.status(o)),
    processes: (query = {}) => bounded((o) => allProcesses(system, query, o)),
    machines: () => bounded((o) => system.machines(o)),
    units: () => bounded((o) => system.units(o)),
    unit: (name) => bounded((o) => system.unit(name, o)),
    resolve: (name) => bounded((o) => system.resolve(name, o)),
    names: {
      watch: (name, { signal = options.signal } = {}) => watchName(system, name, limit, signal),
    },
    start,
    async run(argv, wish = {}) {
      using handle = await start(argv, { stdin: 'null', ...wish })
      const [exit, stdout, stderr] = await Promise.all([
        handle.exit,
        collect(handle.stdio, 'stdout'),
        collect(handle.stdio, 'stderr'),
      ])
      return { exit, stdout, stderr }
    },
    on: async (selector) => makeVerbs(await bounded((o) => system.part(selector, o)), options),
    deadline: limit,
  }
}

/** Without a stream between: most programs write little, and a stream costs more than that. */
async function collect(stdio: Stdio, output: OutputName): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  const end = await stdio.pumpTo(output, (chunk, done) => {
    bytes += chunk.length
    if (bytes > collectedBytesMax) return done(tooMuch())
    chunks.push(Buffer.from(chunk))
    done()
  })
  if (end.kind === 'closed' && bytes > collectedBytesMax) throw tooMuch()
  return Buffer.concat(chunks).toString()
}

function tooMuch(): HolonError {
  return new HolonError(
    'exhausted',
    `run: more than ${collectedBytesMax} bytes of output; use start() and read the stream`,
  )
}

function definedOnly(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined),
  )
}
