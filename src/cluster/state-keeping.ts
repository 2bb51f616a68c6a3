/**
 * The fleet's State as this machine has it. A machine that runs an etcd (a keeper) asks its own,
 * and another keeper's when that does not answer; every other machine asks a keeper over a link.
 * Which it is may change while the agent runs: the members follow the fleet.
 */
import { type Clock, deadline } from '../base/clock.ts'
import { asHolonError, HolonError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import type { Random } from '../base/random.ts'
import { freeBytes, readText, removeTree } from '../io/files.ts'
import { removeFile } from '../io/state-files.ts'
import type { StateHealth } from '../kernel/types.ts'
import { EtcdClient } from '../state/etcd/client.ts'
import { openEtcd } from '../state/etcd/etcd-state.ts'
import type { State } from '../state/port.ts'
import { engineFilePath, readEngineChoice } from './etcd/engine-file.ts'
import { parseEtcdUrl } from './etcd/external-url.ts'
import { backUpFleet, keepFleetBackups } from './etcd/fleet-backup.ts'
import { type FleetEngineRecord, fleetPrefix } from './etcd/fleet-engine-record.ts'
import { FleetState } from './etcd/fleet-state.ts'
import { LocalStateMember, memberPaths } from './etcd/local-member.ts'
import { clientSocketPath } from './etcd/member-service.ts'
import { Membership } from './etcd/membership.ts'
import { tidyUp } from './etcd/move.ts'
import type { MachineView } from './etcd/plan.ts'
import type { ServiceRunner } from './etcd/service-runner.ts'
import { describeState, StateWatch } from './etcd/state-health.ts'
import type { StateMembers } from './etcd/state-members.ts'
import type { Links } from './links.ts'
import type { MachineRecord } from './members.ts'
import { findState } from './state/find-state.ts'
import { type FoundState, RemoteState } from './state/remote-state.ts'
import { StateServer, type StateService } from './state/state-service.ts'

export interface StateKeepingDeps {
  readonly clock: Clock
  readonly random: Random
  readonly report: (message: string) => void
  /** The machine's own store: it holds what a fleet of one has before its first invitation. */
  readonly embedded: State
  readonly service: ServiceRunner
  readonly links: Links
  /** All machines, and which of them keep the state, as last heard. */
  readonly machines: () => readonly MachineRecord[]
  readonly keepers: () => readonly string[]
  /** Whether it did not answer when it was last told that this one is alive. */
  readonly isSilent: (machineId: string) => boolean
  readonly views: () => readonly MachineView[]
}

export interface StateKeepingOptions {
  readonly stateDir: string
  readonly runtimeDir: string
  readonly machineId: string
  /** "0.0.0.0:4657" */
  readonly listenPeer: string
  /** Silence after which a machine that keeps the state is given up. */
  readonly silentMs: number
  readonly hosts: () => readonly string[]
}

const lookMs = 5_000
/** For an engine that is known to be away. */
const brieflyMs = 500

export class StateKeeping implements AsyncDisposable {
  readonly state: FleetState
  readonly member: LocalStateMember
  readonly #deps: StateKeepingDeps
  readonly #options: StateKeepingOptions
  readonly #life = new AbortController()
  readonly #local: State
  readonly #api: EtcdClient
  readonly #watch: StateWatch
  readonly #remote: RemoteState
  #external: State | undefined
  #loops: Promise<unknown>[] = []
  #record: FleetEngineRecord | undefined

  /** Asks nothing yet: an engine that does not answer shows with the first call. */
  constructor(deps: StateKeepingDeps, options: StateKeepingOptions) {
    const { clock, random, report, service } = deps
    const { stateDir, runtimeDir } = options
    this.#deps = deps
    this.#options = options
    const paths = memberPaths(stateDir, runtimeDir)
    const endpoints = [{ socketPath: clientSocketPath(paths) }]
    this.#api = new EtcdClient({ clock }, endpoints)
    const diskFreeBytes = () => (this.#isAlone ? freeBytes(paths.dir) : undefined)
    this.#local = openEtcd({ clock, random }, { endpoints, diskFreeBytes })
    this.member = new LocalStateMember(
      { clock, service, api: this.#api, report },
      {
        stateDir,
        paths,
        machineId: options.machineId,
        listenPeer: options.listenPeer,
        hosts: options.hosts,
      },
    )
    this.#remote = new RemoteState(clock, (signal, failed) => this.#find(signal, failed))
    this.state = new FleetState(this.#chosen())
    this.#watch = new StateWatch(clock, this.state)
  }

  /** Starts this machine's etcd, if it has one, and what looks after the members. */
  start(): void {
    const { signal } = this.#life
    const { clock, random, report, views } = this.#deps
    const { stateDir, machineId, silentMs } = this.#options
    const onError = (error: unknown) => report(asHolonError(error, 'back up the state').message)
    const membership = new Membership(
      {
        clock,
        random,
        api: this.#api,
        state: this.#local,
        members: this.#members(),
        machines: views,
        backup: (limit) => backUpFleet(this.#local, stateDir, { signal: limit }),
        report,
      },
      { machineId, silentMs, engine: () => this.#managed() },
    )
    this.#loops = [
      this.#open(),
      this.#whileKeeper((keeping) => membership.keep({ signal: keeping })),
      this.#whileKeeper((keeping) => this.#comeHome(keeping)),
      this.#whileKeeper((keeping) =>
        keepFleetBackups(clock, this.#local, stateDir, { signal: keeping, onError }),
      ),
      this.member.keepCertificate({ signal }),
      this.#look(),
    ]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#life.abort(new HolonError('unavailable', 'the agent is stopping'))
    await Promise.allSettled(this.#loops)
    await Promise.allSettled([this.#remote.close(), this.#local.close(), this.#external?.close()])
    this.#api[Symbol.dispose]()
  }

  /** Whether this machine has State without asking another one. */
  get isKeeper(): boolean {
    const { engine } = this.member.choice
    return engine !== 'link'
  }

  /** What this machine has of State itself, secrets included; `unsupported` where it has not. */
  get direct(): State {
    const direct = this.#direct()
    if (direct !== undefined) return direct
    throw new HolonError('unsupported', 'the state is kept on other machines')
  }

  /** That machine is silent: if it serves State to this one, another one is asked now. */
  leave(machineId: string): void {
    this.#remote.leave(machineId, `${machineId} is silent`)
  }

  /** For peers; undefined where State is reached over links only. */
  service(): StateService | undefined {
    const direct = this.#direct()
    return direct === undefined ? undefined : new StateServer(this.#deps.clock, direct)
  }

  /** Takes note of `fleet/engine`. */
  async meet(record: FleetEngineRecord): Promise<void> {
    this.#record = record
    using limit = deadline(this.#deps.clock, limits.callTimeoutMs, this.#life.signal)
    await this.member.meet(record, limit)
    this.follow()
  }

  /** Takes up a changed engine.json. */
  follow(): void {
    const next = this.#chosen()
    if (this.state.current !== next) this.state.switchTo(next)
  }

  /** Asks the engine now, and waits less for one that did not answer the last time. */
  async health(signal: AbortSignal): Promise<StateHealth> {
    const { clock, machines } = this.#deps
    const patienceMs = this.#watch.unavailable === undefined ? limits.fanOutMs : brieflyMs
    using limit = deadline(clock, patienceMs, signal)
    await this.#watch.look({ signal: limit.signal })
    const engine = this.member.choice.engine === 'embedded' ? this.#deps.embedded.engine : 'etcd'
    const all = machines()
    const described = describeState(engine, this.#record, all, this.#watch.unavailable)
    const change = this.#record?.change
    const nameOf = (id: string) => all.find(({ machineId }) => machineId === id)?.name ?? id
    const doing = change === undefined ? [] : [`${nameOf(change.machineId)}: ${change.reason}`]
    const { unavailable } = described
    const { leader } = this.#watch
    return {
      engine: described.engine,
      ...(leader === undefined ? {} : { leader: nameOf(leader) }),
      notes: [
        ...(this.#record === undefined ? [] : [described.advice]),
        ...doing,
        ...(unavailable === undefined ? [] : [unavailable.why]),
      ],
      ...(unavailable === undefined ? {} : { unavailableSinceMs: unavailable.sinceMs }),
    }
  }

  /** An etcd that the user runs. */
  openExternal(url: string): State {
    const { clock, random } = this.#deps
    const { places, prefix, tls } = parseEtcdUrl(url)
    const pem =
      tls === undefined
        ? undefined
        : { ca: readText(tls.ca), cert: readText(tls.cert), key: readText(tls.key) }
    const endpoints = places.map((place) => (pem === undefined ? place : { ...place, tls: pem }))
    this.#external ??= openEtcd({ clock, random }, { endpoints, prefix, compact: false })
    return this.#external
  }

  /**
   * This machine leaves the fleet: its etcd is stopped, its data removed. The others take it out of
   * the members when they notice, which is at once when it left in order.
   */
  async abandon(signal: AbortSignal): Promise<void> {
    await this.#deps.service.stop('this machine leaves the fleet', { signal })
    removeFile(engineFilePath(this.#options.stateDir))
    removeTree(memberPaths(this.#options.stateDir, this.#options.runtimeDir).dir)
  }

  /** This machine's own etcd. */
  get local(): State {
    return this.#local
  }

  /** No other machine's etcd can go on when this one cannot. */
  get #isAlone(): boolean {
    return (this.#record?.members.length ?? 1) === 1
  }

  #managed() {
    const { choice } = this.member
    if (choice.engine === 'etcd') return choice
    throw new HolonError('unavailable', 'this machine runs no etcd', { retryable: false })
  }

  #direct(): State | undefined {
    const choice = readEngineChoice(this.#options.stateDir)
    if (choice.engine === 'embedded') return this.#deps.embedded
    if (choice.engine === 'etcd') return this.#local
    return choice.engine === 'external' ? this.openExternal(choice.url) : undefined
  }

  #chosen(): State {
    const choice = readEngineChoice(this.#options.stateDir)
    if (choice.engine === 'embedded') return this.#deps.embedded
    if (choice.engine === 'external') return this.openExternal(choice.url)
    return this.#remote
  }

  async #open(): Promise<void> {
    try {
      using limit = deadline(this.#deps.clock, limits.callTimeoutMs, this.#life.signal)
      await this.member.open(limit)
    } catch (error) {
      this.#deps.report(asHolonError(error, 'start etcd').message)
    }
    await this.#tidyUp()
  }

  /** What a move left that was interrupted after its switch. */
  async #tidyUp(): Promise<void> {
    const { clock, random, embedded, report } = this.#deps
    const { engine } = this.member.choice
    if (engine !== 'etcd' && engine !== 'external') return
    try {
      using limit = deadline(clock, limits.callTimeoutMs, this.#life.signal)
      const { entries } = await embedded.list(fleetPrefix, limit)
      if (entries.length === 0) return
      const writer = `machine ${this.#options.machineId}`
      await tidyUp({ clock, random }, this.state, embedded, { signal: limit.signal, writer })
    } catch (error) {
      report(asHolonError(error, 'tidy up after the state was moved').message)
    }
  }

  /** Runs `work` whenever this machine keeps State, until it does so no longer. */
  async #whileKeeper(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const { signal } = this.#life
    const keeps = () => !signal.aborted && this.member.choice.engine === 'etcd'
    while (!signal.aborted) {
      if (keeps()) {
        const keeping = new AbortController()
        const done = work(AbortSignal.any([signal, keeping.signal]))
        while (keeps()) await this.#pause(lookMs)
        keeping.abort()
        await done
      }
      await this.#pause(lookMs)
    }
  }

  async #look(): Promise<void> {
    while (!this.#life.signal.aborted) {
      using limit = deadline(this.#deps.clock, limits.fanOutMs, this.#life.signal)
      if (this.member.choice.engine !== 'embedded') await this.#watch.look(limit)
      await this.#pause(lookMs)
    }
  }

  #pause(ms: number): Promise<void> {
    const { signal } = this.#life
    return new Promise((resolve) => {
      if (signal.aborted) return resolve()
      const timer = this.#deps.clock.timer(ms, resolve, { background: true })
      signal.addEventListener(
        'abort',
        () => {
          timer[Symbol.dispose]()
          resolve()
        },
        { once: true },
      )
    })
  }

  /** Its etcd answers, has a leader, and a vote. */
  async #isWell(signal: AbortSignal): Promise<boolean> {
    const { answers, hasLeader, learner } = await this.member.status({ signal })
    return answers && hasLeader === true && learner !== true
  }

  /**
   * Who has become a keeper asks itself: another one was found before, and would be asked until it
   * fails.
   */
  async #comeHome(signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps
    while (!signal.aborted) {
      await this.#pause(lookMs)
      const { at } = this.#remote
      if (at === undefined || at === this.#options.machineId) continue
      using limit = deadline(clock, limits.fanOutMs, signal)
      const isWell = await this.#isWell(limit.signal).catch(() => false)
      if (isWell) this.#remote.leave(at, 'this machine keeps the state itself now')
    }
  }

  /** A machine that serves State: this one first, when its etcd is well. */
  async #find(signal: AbortSignal, failed?: string): Promise<FoundState> {
    const { machineId } = this.#options
    const { clock, keepers, random, links, isSilent } = this.#deps
    const own = () => ({ at: machineId, service: new OwnState(clock, this.#local) })
    const isMember = this.member.choice.engine === 'etcd'
    if (isMember && failed !== machineId && (await this.#isWell(signal))) return own()
    const candidates = keepers().filter((id) => id !== machineId)
    try {
      return await findState({ clock, random, links, candidates, isSilent }, signal, failed)
    } catch (error) {
      if (!isMember || signal.aborted) throw error
      return own()
    }
  }

  #members(): StateMembers {
    const { links } = this.#deps
    const of = async (machineId: string, signal: AbortSignal) => {
      if (machineId === this.#options.machineId) return this.member
      return (await links.peer(machineId, signal)).stateMember({ signal })
    }
    return {
      prepare: async (id, request, options) =>
        (await of(id, options.signal)).prepare(request, options),
      stopMember: async (id, request, options) =>
        (await of(id, options.signal)).stopMember(request, options),
      readdress: async (id, request, options) =>
        (await of(id, options.signal)).readdress(request, options),
      status: async (id, options) => (await of(id, options.signal)).status(options),
    }
  }
}

/** This machine's own etcd, in the shape of another machine's. */
class OwnState extends StateServer implements Disposable {
  [Symbol.dispose](): void {
    // The engine is the agent's.
  }
}
