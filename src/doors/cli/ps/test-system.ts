/**
 * For tests: a CLI context that keeps what is printed, over a System that has only processes, and
 * those from the real table of this machine.
 */
import { ProcessTable } from '../../../agent/process-table.ts'
import { deadline } from '../../../base/clock.ts'
import { HolonError } from '../../../base/errors.ts'
import { realClock } from '../../../io/clock.ts'
import { ProcFs } from '../../../io/proc.ts'
import { sendSignal } from '../../../io/proc-signal.ts'
import { Users } from '../../../io/users.ts'
import type { Pages, System } from '../../../kernel/kernel.ts'
import type {
  MissingMachine,
  ProcessId,
  ProcessInfo,
  ProcessPage,
  ProcessQuery,
  StateHealth,
} from '../../../kernel/types.ts'
import type { CliContext } from '../context.ts'

export interface TestSystemOptions {
  readonly unitsByKeeper?: ReadonlyMap<number, string>
  readonly missing?: readonly MissingMachine[]
  readonly machines?: readonly string[]
  /** Called for each signal to a run. */
  readonly onRunSignal?: (id: string, signal: string | number) => void
}

export const testState: StateHealth = { engine: 'embedded (sqlite)', notes: [] }

/** Machine n1 is this one. What the System interface has beside processes is not there. */
export function testSystem(options: TestSystemOptions = {}): System {
  const proc = new ProcFs()
  const table = new ProcessTable(
    { proc, users: new Users() },
    { machine: 'n1', unitsByKeeper: () => options.unitsByKeeper ?? new Map() },
  )
  const processes = async (query: ProcessQuery): Promise<Pages<ProcessPage>> => ({
    next: async (call) => ({
      ...(await table.list(query, call)),
      missing: options.missing ?? [],
      last: true,
    }),
    [Symbol.dispose]: () => {},
  })
  const requireN1 = (name: string): void => {
    if (name !== 'n1') throw new HolonError('not_found', `there is no machine "${name}"`)
  }
  const names = options.machines ?? ['n1']
  const system = {
    processes,
    machines: async () => ({ machines: names.map((name) => ({ name })), state: testState }),
    part: async (selector: string) => {
      if (selector === 'n1') return testSystem({ ...options, machines: ['n1'] })
      throw new HolonError('not_found', `there is no machine "${selector}"`)
    },
    process: async (id: ProcessId) => {
      requireN1(id.machine)
      return { signal: async (signal: string | number) => sendSignal(proc, id, signal) }
    },
    findRun: async (id: string) => ({
      signal: async (signal: string | number) => options.onRunSignal?.(id, signal),
    }),
  }
  return system as unknown as System
}

export interface TestContext {
  readonly context: CliContext
  readonly printed: { out: string; err: string; status: number }
}

/** A context whose streams are no terminal. */
export function testContext(system: System): TestContext {
  const printed = { out: '', err: '', status: 0 }
  let selector: string | undefined
  const stream = (name: 'out' | 'err') => ({
    isTTY: false,
    write: (text: string | Buffer, done?: () => void) => {
      printed[name] += text.toString()
      done?.()
      return true
    },
  })
  const context = {
    system: async () => {
      if (selector === undefined) return system
      using limit = deadline(realClock, 30_000)
      return await system.part(selector, limit)
    },
    machines: () => selector,
    selectMachines: (machines: string) => {
      selector = machines
    },
    clock: realClock,
    stdin: { isTTY: false },
    stdout: stream('out'),
    stderr: stream('err'),
    env: {},
    deadline: () => deadline(realClock, 30_000),
    setExit: (status: number) => {
      printed.status = status
    },
  }
  return { context: context as unknown as CliContext, printed }
}

/** A process to make tables of. */
export function testProcess(values: Partial<ProcessInfo> = {}): ProcessInfo {
  return {
    machine: 'n1',
    pid: 4242,
    ppid: 1,
    pgid: 4242,
    sid: 4242,
    nlwp: 1,
    state: 'S',
    uid: 1000,
    gid: 1000,
    user: 'ann',
    group: 'staff',
    tty: '',
    tpgid: -1,
    comm: 'redis-server',
    args: ['redis-server', '*:6379'],
    startTicks: 360_000,
    startedAtMs: 3_600_000,
    userMs: 61_000,
    systemMs: 2_000,
    nice: 0,
    priority: 20,
    vszBytes: 64 * 1024 * 1024,
    rssBytes: 12 * 1024 * 1024,
    unit: '',
    ...values,
  }
}
