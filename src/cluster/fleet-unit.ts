/**
 * A unit of the fleet, as the kernel has it: wishes go into State, where the leader finds them; how
 * things are is put together from State (where instances belong) and from the machines that have
 * them (how they are).
 *
 * Dies the caller in the middle, the wish stands: it is carried out all the same.
 */
import { type Clock, sleep } from '../base/clock.ts'
import { HolonError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import type { WhyAnswer } from '../kernel/decisions.ts'
import type { Unit, UnitFile } from '../kernel/kernel.ts'
import type { LogPage, LogQuery } from '../kernel/log-types.ts'
import type {
  CallOptions,
  FleetPart,
  InstanceStatus,
  MissingMachine,
  UnitStatus,
} from '../kernel/types.ts'
import { instancesWanted } from '../unit/placement-rules.ts'
import type { FleetUnits, WaitingSlots } from './fleet-units.ts'
import type { FindKept } from './logs-kept/find-kept.ts'
import { keeperRestart, readDecisions } from './reconcile/decision-log.ts'
import type { HeldBack, HeldBackQuery } from './reconcile/held-back.ts'
import type { SlotRecord, SpecRecord, Stored } from './reconcile/records.ts'
import { isOver as isRoundOver } from './reconcile/rounds.ts'
import { unitFacts } from './reconcile/unit-facts.ts'
import { servesOf, type UnitHolder, UnitOfMany, worstOf } from './unit-of-many.ts'

export interface FleetUnitDeps {
  readonly clock: Clock
  readonly units: FleetUnits
  readonly nameOf: (machineId: string) => string
  /** Throws `permission_denied` when the caller may not. */
  readonly owns: (what: string) => void
  readonly by: string
  /** The machines that have an instance, asked now. */
  readonly holders: (signal: AbortSignal) => Promise<{
    readonly holders: readonly UnitHolder[]
    readonly missing: readonly MissingMachine[]
  }>
  /** Copies of its logs. */
  readonly kept: FindKept
  /** From whoever leads; `waiting` is empty, and all else absent, when nobody says. */
  readonly heldBack: (
    about: Pick<HeldBackQuery, 'fitting'>,
    signal: AbortSignal,
  ) => Promise<HeldBack>
}

/** What the state says of a unit. */
export interface KnownUnit {
  readonly spec: SpecRecord
  readonly slots: readonly Stored<SlotRecord>[]
  readonly text: string
}

const pollMs = 200
/** A start that waits for something for so long has its answer: what it waits for. */
const patienceMs = 6_000

export class FleetUnit implements Unit {
  readonly #deps: FleetUnitDeps
  readonly #name: string

  constructor(deps: FleetUnitDeps, name: string) {
    this.#deps = deps
    this.#name = name
  }

  async status({ signal }: CallOptions): Promise<UnitStatus> {
    const [known, { holders, missing }, { waiting }] = await Promise.all([
      this.known(signal),
      this.#holders(signal),
      this.#deps.heldBack({}, signal),
    ])
    const parts = await Promise.all(
      holders.map(({ unit }) => unit.status({ signal }).catch(() => undefined)),
    )
    const present = parts.filter((part) => part !== undefined)
    return this.statusOf(known, present, { missing, waiting })
  }

  /** What the state says of it. `not_found` when it is not there any more. */
  async known(signal: AbortSignal): Promise<KnownUnit> {
    const { units } = this.#deps
    const [spec, slots] = await Promise.all([
      this.#spec(signal),
      units.verbs.slots(this.#name, { signal }),
    ])
    return { spec, slots, text: await units.texts.get(this.#name, spec.spec, signal) }
  }

  /** What the state says, with what the machines say of their parts. */
  statusOf(
    { spec, slots, text }: KnownUnit,
    parts: readonly UnitStatus[],
    {
      missing,
      waiting,
    }: { readonly missing: readonly MissingMachine[]; readonly waiting: WaitingSlots },
  ): UnitStatus {
    const present = parts.flatMap((part) => part.instances)
    const instances = this.#instances(slots, present)
    const { rules, serves } = unitFacts(this.#name, text)
    // Of those that fit nobody knows but the leader, who makes their slots: one at least.
    const wanted = rules.global ? Math.max(1, slots.length) : instancesWanted(rules, spec.scale)
    const active = worstOf(instances.map((each) => each.active))
    const up = instances.filter((each) => each.active === 'active').length
    const fleet = this.#fleetPart(spec, slots, waiting)
    const runs = spec.wanted && !isRoundOver(spec)
    return {
      name: this.#name,
      scope: 'fleet',
      machines: [...new Set(instances.map(({ machine }) => machine))].sort(),
      description: parts[0]?.description ?? '',
      load: 'loaded',
      active: runs && active === 'inactive' ? 'activating' : active,
      sub: runs ? `${up}/${wanted} up` : active === 'failed' ? 'failed' : 'dead',
      enabled: spec.enabled,
      wanted: spec.wanted,
      instances,
      instancesWanted: wanted,
      loadedAtMs: spec.changedAtMs,
      notes: notesOf(missing),
      fleet,
      ...servesOf(serves, parts),
      ...(spec.sourcePath === undefined ? {} : { sourcePath: spec.sourcePath }),
    }
  }

  async start({ signal }: CallOptions): Promise<UnitStatus> {
    this.#deps.owns(`start ${this.#name}; root may`)
    await this.#deps.units.verbs.want(this.#name, true, this.#deps.by, { signal })
    this.#asked('start')
    return this.#untilUp(signal)
  }

  async stop({ signal }: CallOptions): Promise<UnitStatus> {
    this.#deps.owns(`stop ${this.#name}; root may`)
    await this.#deps.units.verbs.want(this.#name, false, this.#deps.by, { signal })
    this.#asked('stop')
    while (true) {
      const status = await this.status({ signal })
      const isOver = status.instances.every(
        ({ active }) => active === 'inactive' || active === 'failed',
      )
      if (isOver && status.fleet?.slots.length === 0) return status
      await sleep(this.#deps.clock, pollMs, signal)
    }
  }

  /** All of them go as a rollout of the same text goes; one alone starts again where it is. */
  async restart(
    { instance }: { readonly instance?: number },
    { signal }: CallOptions,
  ): Promise<UnitStatus> {
    const { units, by, owns } = this.#deps
    owns(`restart ${this.#name}; root may`)
    if (instance === undefined) {
      await units.verbs.again(this.#name, by, { signal })
      this.#asked('restart')
      return this.#untilUp(signal)
    }
    const before = instanceOf(await this.status({ signal }), instance)
    await units.verbs.restartSlot(this.#name, instance, by, { signal })
    this.#asked(`restart ${this.#name}/${instance}`)
    return this.#untilUp(signal, (status) => instanceOf(status, instance) !== before)
  }

  enable({ signal }: CallOptions): Promise<UnitStatus> {
    return this.#enable(true, signal)
  }

  disable({ signal }: CallOptions): Promise<UnitStatus> {
    return this.#enable(false, signal)
  }

  async scale(instances: number, { signal }: CallOptions): Promise<UnitStatus> {
    this.#deps.owns(`scale ${this.#name}; root may`)
    await this.#requireScale(instances, signal)
    await this.#deps.units.verbs.scale(this.#name, instances, this.#deps.by, { signal })
    this.#asked(`scale to ${instances}`)
    return this.#untilUp(signal)
  }

  /** Back to the text before, or to the one with that number. */
  async undo({ to }: { readonly to?: number }, { signal }: CallOptions): Promise<UnitStatus> {
    const { units, by, owns } = this.#deps
    owns(`change ${this.#name}; root may`)
    const { history, spec } = await this.#spec(signal)
    const wanted = to ?? (await this.#textBefore(spec, history, signal))
    if (wanted === undefined || !history.some((each) => each.spec === wanted)) {
      const known = [...new Set(history.map((each) => each.spec))].join(', ')
      throw new HolonError(
        'not_found',
        `${this.#name} has no text ${wanted ?? 'before this one'}; known: ${known}`,
      )
    }
    await units.verbs.revert(this.#name, wanted, by, { signal })
    this.#asked(`go back to text ${wanted}`)
    return this.#untilUp(signal)
  }

  async unload({ signal }: CallOptions): Promise<void> {
    const { units, owns } = this.#deps
    owns(`unload ${this.#name}; root may`)
    await units.verbs.unload(this.#name, { signal })
    this.#asked('unload')
  }

  /** The newest earlier one that reads otherwise: a restart gives the same text another number. */
  async #textBefore(
    spec: number,
    history: SpecRecord['history'],
    signal: AbortSignal,
  ): Promise<number | undefined> {
    const { texts } = this.#deps.units
    const text = await texts.get(this.#name, spec, signal)
    // Not the newest other one: after a rollback that is the text that failed.
    const earlier = new Set(history.map((each) => each.spec).filter((each) => each < spec))
    for (const each of [...earlier].sort((a, b) => b - a)) {
      if ((await texts.get(this.#name, each, signal)) !== text) return each
    }
    return undefined
  }

  async cat({ signal }: CallOptions): Promise<UnitFile> {
    const { spec, sourcePath } = await this.#spec(signal)
    const text = await this.#deps.units.texts.get(this.#name, spec, signal)
    return { name: this.#name, text, ...(sourcePath === undefined ? {} : { sourcePath }) }
  }

  async show({ signal }: CallOptions): Promise<Readonly<Record<string, string>>> {
    const [status, { holders }] = await Promise.all([
      this.status({ signal }),
      this.#holders(signal),
    ])
    const first = await holders[0]?.unit.show({ signal })
    return {
      ...first,
      Id: this.#name,
      ActiveState: status.active,
      SubState: status.sub,
      UnitFileState: status.enabled ? 'enabled' : 'disabled',
      Instances: String(status.instancesWanted),
      Machines: status.machines.join(' '),
    }
  }

  async why({ signal }: CallOptions): Promise<WhyAnswer> {
    const [status, { fitting }, decisions, { holders }] = await Promise.all([
      this.status({ signal }),
      this.#deps.heldBack({ fitting: this.#name }, signal),
      readDecisions(this.#deps.units.state, this.#name, { signal }),
      this.#holders(signal),
    ])
    const parts = await Promise.all(
      holders.map(({ unit }) => unit.why({ signal }).catch(() => undefined)),
    )
    // Who answers tells more of it.
    const answered = new Set(holders.filter((_, i) => parts[i]).map(({ machine }) => machine))
    const led = decisions.filter(
      ({ what, machine }) => what !== keeperRestart || !answered.has(machine),
    )
    const all = [...led, ...parts.flatMap((part) => part?.decisions ?? [])]
    return {
      unit: this.#name,
      status,
      decisions: all.sort((a, b) => a.atMs - b.atMs),
      next: [...(status.fleet?.waiting ?? []), ...parts.flatMap((part) => part?.next ?? [])],
      ...(fitting === undefined ? {} : { fitting }),
    }
  }

  async logs(query: LogQuery, options: CallOptions): Promise<LogPage> {
    this.#deps.owns(`read the logs of ${this.#name}; root may`)
    const [{ holders, missing }, kept] = await Promise.all([
      this.#holders(options.signal),
      this.#deps.kept(query, options.signal),
    ])
    using all = new UnitOfMany(this.#deps.clock, this.#name, holders, missing, {
      kept: async () => kept,
    })
    return await all.logs(query, options)
  }

  // ---- parts

  #holders(signal: AbortSignal) {
    return this.#deps.holders(signal)
  }

  async #spec(signal: AbortSignal): Promise<SpecRecord> {
    const spec = await this.#deps.units.verbs.spec(this.#name, { signal })
    if (spec !== undefined) return spec
    throw new HolonError('not_found', `the fleet has no unit ${this.#name} any more`)
  }

  async #enable(enabled: boolean, signal: AbortSignal): Promise<UnitStatus> {
    const { units, by, owns } = this.#deps
    owns(`${enabled ? 'enable' : 'disable'} ${this.#name}; root may`)
    await units.verbs.enable(this.#name, enabled, by, { signal })
    this.#asked(enabled ? 'enable' : 'disable')
    return this.status({ signal })
  }

  #asked(what: string): void {
    const { units, by } = this.#deps
    units.asked(this.#name, what, by)
  }

  async #requireScale(instances: number, signal: AbortSignal): Promise<void> {
    const { spec } = await this.#spec(signal)
    const { rules } = unitFacts(
      this.#name,
      await this.#deps.units.texts.get(this.#name, spec, signal),
    )
    if (rules.global) {
      throw new HolonError(
        'invalid_argument',
        `scale ${this.#name}: it runs on every machine that fits (Global=yes); ` +
          'change Require= or PerNode= in its file',
      )
    }
    const { maxInstances: most = limits.unitInstancesMax, minInstances, partition } = rules
    // What is stopped before it is started elsewhere needs one to spare.
    const spare = partition === 'at-most' && minInstances !== undefined ? 1 : 0
    const least = (minInstances ?? 0) + spare
    if (!Number.isInteger(instances) || instances > most || instances < least) {
      throw new HolonError(
        'invalid_argument',
        `scale ${this.#name} to ${instances}: its file allows ${least} to ${most}`,
      )
    }
  }

  /** Until every instance is up or has failed, and no change is being brought out. */
  async #untilUp(
    signal: AbortSignal,
    isDone: (status: UnitStatus) => boolean = () => true,
  ): Promise<UnitStatus> {
    const { clock } = this.#deps
    let waited = ''
    let sinceMs = clock.nowMs()
    while (true) {
      const status = await this.status({ signal })
      if (isSettled(status) && isDone(status)) return status
      // Something that waits for the same reasons for long is an answer, too.
      const isUnderWay = status.instances.some(
        ({ active }) => active === 'activating' || active === 'deactivating',
      )
      const waits = isUnderWay ? '' : (status.fleet?.waiting.join() ?? '')
      if (waits !== waited) sinceMs = clock.nowMs()
      waited = waits
      if (waits !== '' && clock.nowMs() - sinceMs > patienceMs) return status
      await sleep(clock, pollMs, signal)
    }
  }

  /** What the slots say should be there, as the machines say it is; and what is there besides. */
  #instances(
    slots: readonly Stored<SlotRecord>[],
    present: readonly InstanceStatus[],
  ): readonly InstanceStatus[] {
    const shown = new Set<InstanceStatus>()
    const wanted = slots.flatMap(({ record }) =>
      [record.machineId, record.next?.machineId ?? '']
        .filter((id) => id !== '')
        .map((machineId) => {
          const machine = this.#deps.nameOf(machineId)
          const name = `${record.unit}/${record.slot}`
          const found = present.find((each) => each.name === name && each.machine === machine)
          if (found !== undefined) shown.add(found)
          return found ?? notThere(name, record, machine)
        }),
    )
    return [...wanted, ...present.filter((each) => !shown.has(each))].sort(
      (a, b) => a.number - b.number || (a.machine < b.machine ? -1 : 1),
    )
  }

  #fleetPart(
    spec: SpecRecord,
    slots: readonly Stored<SlotRecord>[],
    waiting: WaitingSlots,
  ): FleetPart {
    const { nameOf } = this.#deps
    return {
      spec: spec.spec,
      ...(spec.scale === undefined ? {} : { scale: spec.scale }),
      ...(spec.rollout === undefined ? {} : { rollout: spec.rollout }),
      history: spec.history,
      ...(spec.round === undefined ? {} : { round: spec.round }),
      slots: slots
        .filter(({ record }) => record.machineId !== '')
        .map(({ record }) => ({
          slot: record.slot,
          machine: nameOf(record.machineId),
          spec: record.spec,
          generation: record.generation,
          why: record.why,
          ...(record.next === undefined ? {} : { next: nameOf(record.next.machineId) }),
          ...(record.round === undefined ? {} : { round: record.round }),
          ...(record.ended === undefined ? {} : { endedAtMs: record.ended.atMs }),
        })),
      waiting: waiting.map(({ slot, why }) => `${this.#name}/${slot}: ${why}`),
    }
  }
}

/** Or not any more, after its end. */
function notThere(name: string, { slot, ended }: SlotRecord, machine: string): InstanceStatus {
  const hasFailed = ended?.result === 'failed'
  return {
    name,
    number: slot,
    machine,
    active: ended === undefined ? 'activating' : hasFailed ? 'failed' : 'inactive',
    sub: ended === undefined ? 'assigned' : hasFailed ? 'failed' : 'dead',
    pid: 0,
    sinceMs: ended?.atMs ?? 0,
    startedAtMs: 0,
    restarts: 0,
    result: hasFailed ? 'exit-code' : 'success',
    pids: [],
  }
}

function isSettled({ wanted, fleet, instances, instancesWanted }: UnitStatus): boolean {
  if (fleet?.rollout?.status === 'going') return false
  if (!wanted) return true
  const isOver = ({ active, sub }: InstanceStatus) =>
    active === 'active' || active === 'failed' || (active === 'inactive' && sub === 'dead')
  const isCurrent = fleet?.slots.every(
    ({ spec, next }) => spec === fleet.spec && next === undefined,
  )
  const rolledBack = fleet?.rollout?.status === 'failed' && fleet.rollout.to === fleet.spec
  if (isCurrent !== true && !rolledBack) return false
  // What an earlier round left is not what was asked for.
  const isOfRun = fleet?.slots.every(
    ({ round, endedAtMs }) => endedAtMs === undefined || round === fleet.round?.number,
  )
  if (isOfRun === false) return false
  return instances.length === instancesWanted && instances.every(isOver)
}

/** What tells one run of an instance from the next. */
function instanceOf({ instances }: UnitStatus, number: number): string {
  const found = instances.find((each) => each.number === number)
  return `${found?.machine} ${found?.pid} ${found?.startedAtMs}`
}

function notesOf(missing: readonly MissingMachine[]): readonly string[] {
  const names = missing.map(({ machine }) => machine).join(', ')
  return names === '' ? [] : [`no answer from ${names}: it may be there, too`]
}
