/**
 * What people are told of the engine: which, how many members, since when it does not answer, and
 * what the loss of which machine does.
 */
import type { Clock } from '../../base/clock.ts'
import { asHolonError } from '../../base/errors.ts'
import type { SignalOptions, State } from '../../state/port.ts'
import { leaderKey, parseLeader } from '../reconcile/leadership.ts'
import type { FleetEngineRecord } from './fleet-engine-record.ts'
import { quorumOf } from './plan.ts'

export interface StateHealth {
  /** "etcd, 3 members" */
  readonly engine: string
  /** Wall time since when it does not answer, and why. */
  readonly unavailable?: { readonly sinceMs: number; readonly why: string }
  /** What the loss of machines does; for two machines, what the loss of each does. */
  readonly advice: string
}

/** Asks the engine now and then who leads, and remembers since when it does not answer. */
export class StateWatch {
  readonly #clock: Clock
  readonly #state: State
  #leader: string | undefined
  #unavailable: { readonly sinceMs: number; readonly why: string } | undefined

  constructor(clock: Clock, state: State) {
    this.#clock = clock
    this.#state = state
  }

  get unavailable(): { readonly sinceMs: number; readonly why: string } | undefined {
    return this.#unavailable
  }

  /** Id of the machine that led at the last look; undefined when that failed, too. */
  get leader(): string | undefined {
    return this.#leader
  }

  /** A linearizable read, under the caller's deadline. Never fails. */
  async look(options: SignalOptions): Promise<boolean> {
    const startedMs = this.#clock.wallMs()
    try {
      const entry = await this.#state.get(leaderKey, options)
      this.#leader = entry === undefined ? undefined : parseLeader(entry.value).machineId
      this.#unavailable = undefined
    } catch (error) {
      this.#leader = undefined
      const why = asHolonError(error).message
      this.#unavailable = { sinceMs: this.#unavailable?.sinceMs ?? startedMs, why }
    }
    return this.#unavailable === undefined
  }
}

/** `names`: of a machine's id; `machines`: all of the fleet. */
export function describeState(
  engine: string,
  record: FleetEngineRecord | undefined,
  machines: readonly { readonly machineId: string; readonly name: string }[],
  unavailable?: { readonly sinceMs: number; readonly why: string },
): StateHealth {
  const voters = record?.members.filter(({ learner }) => !learner) ?? []
  const text = record === undefined ? engine : `etcd, ${count(voters.length, 'member')}`
  const nameOf = (id: string) => machines.find(({ machineId }) => machineId === id)?.name ?? id
  const names = voters.map(({ machineId }) => nameOf(machineId)).sort()
  const others = machines.map(({ name }) => name).filter((name) => !names.includes(name))
  const health = { engine: text, advice: adviceOf(names, others) }
  return unavailable === undefined ? health : { ...health, unavailable }
}

/** `keepers` have State, `others` do not. */
function adviceOf(keepers: readonly string[], others: readonly string[]): string {
  const [first] = keepers
  if (first === undefined) return 'the state is on this machine alone'
  const stops =
    'what runs goes on and ps, run, kill and logs work, but nothing can be changed for good'
  if (keepers.length === 1) {
    const machines = 1 + others.length
    if (machines === 1) return `${first} keeps the state`
    const other = others.length === 1 ? (others[0] ?? '') : 'another machine'
    const third = machines === 2 ? '; a third machine would make the loss of any one harmless' : ''
    return (
      `${first} keeps the state: without ${first} ${stops} until it is back; ` +
      `without ${other} the state goes on${third}`
    )
  }
  const losable = keepers.length - quorumOf(keepers.length)
  const all = keepers.join(', ')
  if (losable === 0) return `${all} keep the state: without either of them ${stops}`
  return `${all} keep the state, which survives the loss of any ${losable} of them`
}

function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`
}
