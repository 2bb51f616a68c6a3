/**
 * A machine's part in the units of the fleet, put together: it runs what it is given, and on the
 * machines that keep the state it stands by to decide, or decides.
 */
import { type Clock, deadline, type Timer } from '../base/clock.ts'
import { asHolonError, HolonError } from '../base/errors.ts'
import type { Random } from '../base/random.ts'
import type { MachineReport } from '../kernel/types.ts'
import type { State } from '../state/port.ts'
import type { ConditionVerdict } from '../unit/conditions.ts'
import type { Beat } from './beat.ts'
import type { MachineKey } from './identity/machine-key.ts'
import type { Links } from './links.ts'
import type { Liveness } from './liveness.ts'
import type { MachineRecord } from './members.ts'
import { AssignedWork } from './reconcile/assigned-work.ts'
import type { AskedUnit } from './reconcile/condition-answers.ts'
import { Control } from './reconcile/control.ts'
import { type ControlledMachine, controlledMachines } from './reconcile/controlled.ts'
import { DecisionLog } from './reconcile/decision-log.ts'
import type { HeldBack, HeldBackQuery } from './reconcile/held-back.ts'
import type { InstanceHost } from './reconcile/host.ts'
import type { Fitness } from './reconcile/leadership.ts'
import { MachineIntents } from './reconcile/machine-intents.ts'
import type { Placer } from './reconcile/placer.ts'
import type { HostedReport } from './reconcile/reports.ts'
import { SpecTexts } from './reconcile/spec-texts.ts'
import { readTimer, unitFacts } from './reconcile/unit-facts.ts'
import { UnitVerbs } from './reconcile/verbs.ts'
import { secretFiles, textFiles, workFile } from './reconcile/work-files.ts'
import { FleetSecrets } from './secrets/fleet-secrets.ts'
import { InstanceSecrets, type SecretHolder, SecretsHost } from './secrets/instance-secrets.ts'

export interface FleetUnitsDeps {
  readonly clock: Clock
  readonly random: Random
  readonly state: State
  readonly host: InstanceHost
  /** This machine's own. */
  readonly key: MachineKey
  readonly links: Links
  readonly liveness: Liveness
  readonly self: () => MachineRecord
  readonly machines: () => readonly MachineRecord[]
  readonly keepers: () => readonly string[]
  /** What this machine says of itself. */
  readonly ownReport: () => MachineReport
  readonly placer: () => Placer
  /** The same on all machines of one fleet, and of no other. */
  readonly seed: string
  readonly report: (message: string) => void
}

/** Why instances of a unit wait, by slot: as the leader sees it. */
export type WaitingSlots = readonly { readonly slot: number; readonly why: string }[]

const tickMs = 1_000
/** The copies of the fleet's key are looked at when somebody came or went, and after this. */
const shareMs = 60_000

export class FleetUnits implements Disposable {
  readonly texts: SpecTexts
  readonly verbs: UnitVerbs
  readonly intents: MachineIntents
  readonly secrets: FleetSecrets
  readonly #deps: FleetUnitsDeps
  readonly #writer: string
  readonly #work: AssignedWork
  readonly #log: DecisionLog
  #control: Control | undefined
  #timer: Timer | undefined
  #shared = { among: '', atMs: 0 }
  readonly #life = new AbortController()
  #sequence: number

  /** `dir`: where it keeps what it must know while State is away. */
  constructor(deps: FleetUnitsDeps, dir: string) {
    const { clock, random, state, host, report, self, key } = deps
    this.#deps = deps
    this.#writer = `agent ${self().name}`
    // A number that no earlier incarnation of this agent told.
    this.#sequence = clock.wallMs()
    this.texts = new SpecTexts(state, textFiles(dir), report)
    this.verbs = new UnitVerbs({ clock, random, state }, this.#writer)
    this.intents = new MachineIntents({ clock, state, report })
    const { texts, verbs } = this
    this.secrets = new FleetSecrets({ ...deps, texts, verbs, writer: this.#writer })
    this.#log = new DecisionLog(
      { clock, random, state, report, machine: () => self().name },
      this.#writer,
    )
    const changed = () => {
      this.#sequence += 1
      this.#deps.liveness.tellNews()
      this.#control?.ownNews()
    }
    const work = workFile(dir, report)
    const copies = secretFiles(dir)
    const holders = () => this.#secretHolders()
    const secrets = new InstanceSecrets({ clock, key, report, memory: copies, holders })
    this.#work = new AssignedWork(
      {
        clock,
        random,
        state,
        report,
        changed,
        host: new SecretsHost(host, secrets),
        texts: this.texts,
        memory: {
          read: () => work.read(),
          write: (records) => {
            work.write(records)
            copies.keepOnly(records)
          },
        },
      },
      self().machineId,
      this.#writer,
    )
  }

  start(): void {
    this.#work.start()
    this.intents.start()
    this.#tick()
  }

  [Symbol.dispose](): void {
    this.#life.abort()
    this.#timer?.[Symbol.dispose]()
    this.#work[Symbol.dispose]()
    this.intents[Symbol.dispose]()
    this.#control?.[Symbol.dispose]()
    this.#log[Symbol.dispose]()
  }

  /** Makes what is drawn by a hash differ between fleets. */
  get seed(): string {
    return this.#deps.seed
  }

  get state(): State {
    return this.#deps.state
  }

  /** Number of the report that `hosted` gives now. */
  get sequence(): number {
    return this.#sequence
  }

  get fitness(): Fitness | undefined {
    return this.#control?.fitness
  }

  hosted(): HostedReport {
    return { sequence: this.#sequence, instances: this.#work.instances() }
  }

  /** Whether a unit's conditions hold on this machine now. */
  checkConditions(about: AskedUnit): ConditionVerdict {
    return this.#deps.host.checkConditions(about)
  }

  beatFrom(machineId: string, beat: Beat): void {
    this.#control?.heard(machineId, beat.sequence)
  }

  /** A machine is seen differently than before. */
  machineChanged(machineId: string): void {
    this.#control?.controller.machineChanged(machineId)
  }

  /** Somebody asked for that, and it is written down: it stands among the unit's decisions. */
  asked(unit: string, what: string, by: string): void {
    this.#log.add(unit, what, `asked by ${by}`)
  }

  /** The same of a machine, by name. */
  askedOfMachine(machine: string, what: string, by: string): void {
    this.#log.addOfMachine(machine, what, `asked by ${by}`)
  }

  /** Only the leader knows; undefined elsewhere. */
  heldBack(about: HeldBackQuery): HeldBack | undefined {
    return this.#control?.leads === true ? this.#control.controller.heldBack(about) : undefined
  }

  /** Which machines keep the state may change at any time, and with it who stands by. */
  #tick(): void {
    const isKeeper = this.#deps.keepers().includes(this.#deps.self().machineId)
    if (isKeeper && this.#control === undefined) {
      this.#control = this.#makeControl()
      this.#control.start()
    } else if (!isKeeper && this.#control !== undefined) {
      this.#control[Symbol.dispose]()
      this.#control = undefined
    }
    if (isKeeper) this.#share()
    this.#timer = this.#deps.clock.timer(tickMs, () => this.#tick(), { background: true })
  }

  /** Who keeps the state now is to have the fleet's key. */
  #share(): void {
    const { clock, keepers, machines, report } = this.#deps
    const among = [...keepers(), '', ...machines().map(({ machineId }) => machineId)].join()
    const isRecent = clock.nowMs() - this.#shared.atMs < shareMs
    if (isRecent && among === this.#shared.among) return
    this.#shared = { among, atMs: clock.nowMs() }
    const limit = deadline(clock, shareMs / 2, this.#life.signal)
    this.secrets.key
      .share(limit.signal)
      .catch((error: unknown) => {
        if (this.#life.signal.aborted) return
        this.#shared = { among: '', atMs: clock.nowMs() }
        report(`share the key of the fleet's secrets: ${asHolonError(error).message}`)
      })
      .finally(() => limit[Symbol.dispose]())
  }

  /** This machine first, if it keeps the state. */
  #secretHolders(): readonly SecretHolder[] {
    const { keepers, links, self } = this.#deps
    const own = self().machineId
    const others = keepers().filter((machineId) => machineId !== own)
    const here: SecretHolder = (wish, options) => this.secrets.openFor(own, wish, options)
    return [
      ...(keepers().includes(own) ? [here] : []),
      ...others.map(
        (machineId): SecretHolder =>
          async (wish, options) =>
            (await links.peer(machineId, options.signal)).secret(wish, options),
      ),
    ]
  }

  #makeControl(): Control {
    const { clock, random, state, keepers, links, liveness, placer, report, self, seed } =
      this.#deps
    const own = self().machineId
    return new Control(
      {
        clock,
        random,
        state,
        keepers,
        report,
        placer: placer(),
        self: own,
        machines: () => this.#controlled(),
        fitnessOf: (machineId) => liveness.fitnessOf(machineId),
        sequence: () => this.#sequence,
        ask: async (machineId, signal) =>
          machineId === own
            ? this.hosted()
            : (await links.peer(machineId, signal)).hosted({ signal }),
        text: (unit, spec, signal) => this.texts.get(unit, spec, signal),
        askConditions: async (machineId, about, signal) =>
          machineId === own
            ? this.checkConditions(about)
            : (await links.peer(machineId, signal)).checkConditions(about, { signal }),
        facts: async (unit, spec, signal) =>
          unitFacts(unit, await this.texts.get(unit, spec, signal)),
        timer: async (name, spec, signal) =>
          readTimer(name, await this.texts.get(name, spec, signal)),
        seed,
        decided: (...decision) => this.#log.add(...decision),
        saw: (machine, what, why) => this.#log.addOfMachine(machine, what, why),
      },
      this.#writer,
    )
  }

  #controlled(): readonly ControlledMachine[] {
    const { liveness, machines, ownReport, self } = this.#deps
    return controlledMachines(machines(), liveness, self().machineId, ownReport)
  }
}

/** For a machine on its own. */
export function noFleet(what: string): HolonError {
  return new HolonError(
    'unsupported',
    `${what}: this machine is on its own; \`holon invite\` makes it the first of a fleet`,
  )
}
