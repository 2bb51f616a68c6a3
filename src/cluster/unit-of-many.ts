/**
 * A unit as the machines that have it know it, together: what is asked is asked of all of them,
 * what is done needs exactly one. It owns the remote objects.
 */
import type { Clock } from '../base/clock.ts'
import { HolonError } from '../base/errors.ts'
import type { WhyAnswer } from '../kernel/decisions.ts'
import type { Unit, UnitFile } from '../kernel/kernel.ts'
import type { LogPage, LogQuery } from '../kernel/log-types.ts'
import type {
  ActiveState,
  CallOptions,
  MissingMachine,
  PortPart,
  UnitStatus,
} from '../kernel/types.ts'
import { type FindKept, logReadings } from './logs-kept/find-kept.ts'
import { mergedLogs } from './merged-logs.ts'

export interface UnitHolder {
  readonly machine: string
  readonly unit: Unit
}

export interface UnitOfManyOptions {
  /** Why nothing can be done with it as a whole. */
  readonly refusal?: HolonError | undefined
  /** Copies of its logs. Default: there are none. */
  readonly kept?: FindKept
}

/** What an operator must look at comes first. */
const worstFirst: readonly ActiveState[] = [
  'failed',
  'deactivating',
  'activating',
  'active',
  'inactive',
]

export class UnitOfMany implements Unit, Disposable {
  readonly #clock: Clock
  readonly #name: string
  readonly #holders: readonly UnitHolder[]
  readonly #missing: readonly MissingMachine[]
  readonly #refusal: HolonError | undefined
  readonly #kept: FindKept

  /** `missing`: machines that may have it, too, but did not say. */
  constructor(
    clock: Clock,
    name: string,
    holders: readonly UnitHolder[],
    missing: readonly MissingMachine[],
    { refusal, kept = async () => [] }: UnitOfManyOptions = {},
  ) {
    this.#refusal = refusal
    this.#kept = kept
    this.#clock = clock
    this.#name = name
    this.#holders = holders
    this.#missing = missing
  }

  async status(options: CallOptions): Promise<UnitStatus> {
    if (this.#holders.length === 0 && this.#refusal !== undefined) throw this.#refusal
    const all = await Promise.all(this.#holders.map(({ unit }) => unit.status(options)))
    return withMissing(mergeStatuses(all), this.#missing)
  }

  start(options: CallOptions): Promise<UnitStatus> {
    return this.#only('start').start(options)
  }

  stop(options: CallOptions): Promise<UnitStatus> {
    return this.#only('stop').stop(options)
  }

  restart(which: { readonly instance?: number }, options: CallOptions): Promise<UnitStatus> {
    return this.#only('restart').restart(which, options)
  }

  enable(options: CallOptions): Promise<UnitStatus> {
    return this.#only('enable').enable(options)
  }

  disable(options: CallOptions): Promise<UnitStatus> {
    return this.#only('disable').disable(options)
  }

  scale(instances: number, options: CallOptions): Promise<UnitStatus> {
    return this.#only('scale').scale(instances, options)
  }

  undo(which: { readonly to?: number }, options: CallOptions): Promise<UnitStatus> {
    return this.#only('undo').undo(which, options)
  }

  unload(options: CallOptions): Promise<void> {
    return this.#only('unload').unload(options)
  }

  cat(options: CallOptions): Promise<UnitFile> {
    return this.#only('cat').cat(options)
  }

  show(options: CallOptions): Promise<Readonly<Record<string, string>>> {
    return this.#only('show').show(options)
  }

  async why(options: CallOptions): Promise<WhyAnswer> {
    if (this.#holders.length === 0 && this.#refusal !== undefined) throw this.#refusal
    const all = await Promise.all(this.#holders.map(({ unit }) => unit.why(options)))
    return {
      unit: all[0]?.unit ?? this.#name,
      status: withMissing(mergeStatuses(all.map(({ status }) => status)), this.#missing),
      decisions: all.flatMap(({ decisions }) => decisions).sort((a, b) => a.atMs - b.atMs),
      next: all.flatMap(({ next }) => next),
    }
  }

  async logs(query: LogQuery, options: CallOptions): Promise<LogPage> {
    const kept = await this.#kept(query, options.signal)
    const { sources, missing } = logReadings(this.#holders, this.#missing, kept)
    return mergedLogs(this.#clock, sources, missing, query, options)
  }

  [Symbol.dispose](): void {
    for (const { unit } of this.#holders) (unit as Unit & Partial<Disposable>)[Symbol.dispose]?.()
  }

  #only(verb: string): Unit {
    const [only] = this.#holders
    if (this.#refusal !== undefined) throw this.#refusal
    if (only !== undefined && this.#holders.length === 1) return only.unit
    const names = this.#holders.map(({ machine }) => machine)
    throw new HolonError(
      'invalid_argument',
      `${verb} ${this.#name}: it is on ${names.join(', ')}; name one with -m ${names[0]}`,
    )
  }
}

export function worstOf(all: readonly ActiveState[]): ActiveState {
  return worstFirst.find((active) => all.includes(active)) ?? 'inactive'
}

function mergeStatuses(all: readonly UnitStatus[]): UnitStatus {
  const worst = all.find(({ active }) => active === worstOf(all.map((status) => status.active)))
  if (worst === undefined) throw new HolonError('internal', 'no machine has the unit')
  if (all.length === 1) return worst
  return {
    ...worst,
    machines: all.flatMap(({ machines }) => machines),
    enabled: all.some(({ enabled }) => enabled),
    wanted: all.some(({ wanted }) => wanted),
    instances: all.flatMap(({ instances }) => instances),
    instancesWanted: all.reduce((sum, { instancesWanted }) => sum + instancesWanted, 0),
    notes: all.flatMap(({ notes, machines }) => notes.map((note) => `${machines[0]}: ${note}`)),
    ...servesOf(worst.serves, all),
  }
}

/** With the problems of all machines. */
export function servesOf(
  serves: Omit<PortPart, 'problems'> | undefined,
  parts: readonly Pick<UnitStatus, 'serves'>[],
): Pick<UnitStatus, 'serves'> {
  if (serves === undefined) return {}
  const { port, protocol, hosts } = serves
  const problems = parts.flatMap((part) => part.serves?.problems ?? [])
  return { serves: { port, protocol, hosts, problems } }
}

function withMissing(status: UnitStatus, missing: readonly MissingMachine[]): UnitStatus {
  if (missing.length === 0) return status
  const names = missing.map(({ machine }) => machine).join(', ')
  return { ...status, notes: [...status.notes, `no answer from ${names}: it may be there, too`] }
}
