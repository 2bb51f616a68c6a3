/**
 * This machine's etcd: its certificates, its data directory, its process. What it is to be is in
 * `engine.json` and nowhere else; this brings the process in line with it and changes it when the
 * machine that plans asks for that.
 *
 * A data directory belongs to one membership of one era for ever: one that was left is never used
 * again, since etcd would have voted twice with two memories. Those of earlier eras stay on the
 * disk, those of earlier memberships in this era are removed once the next one runs.
 */
import { join } from 'node:path'
import { type Clock, sleep } from '../../base/clock.ts'
import { asHolonError, HolonError } from '../../base/errors.ts'
import { ensureDir, exists, isExecutableFile, readTextIfThere, removeTree } from '../../io/files.ts'
import { makePrivateDir, namesIn, renameDurably, writeDurablySync } from '../../io/state-files.ts'
import type { SignalOptions } from '../../state/port.ts'
import { searchPath } from '../../unit/job-spec.ts'
import {
  type EngineChoice,
  type ManagedEngine,
  readEngineChoice,
  writeEngineChoice,
} from './engine-file.ts'
import { type EtcdApi, etcdStatus } from './etcd-api.ts'
import type { FleetEngineRecord } from './fleet-engine-record.ts'
import { ensureCertificate } from './member-certificate.ts'
import {
  dataPath,
  type MemberPaths,
  type MemberServiceOptions,
  memberService,
  tlsDir,
} from './member-service.ts'
import type { CertificatePair } from './peer-certificates.ts'
import type { ServiceRunner } from './service-runner.ts'
import type { MemberStatus, PrepareRequest, StateMember } from './state-members.ts'

export interface LocalMemberDeps {
  readonly clock: Clock
  readonly service: ServiceRunner
  /** This machine's etcd: `clientSocketPath(paths)`. */
  readonly api: EtcdApi
  readonly report: (message: string) => void
}

export interface LocalMemberOptions {
  readonly stateDir: string
  readonly paths: MemberPaths
  readonly machineId: string
  /** "0.0.0.0:4657" */
  readonly listenPeer: string
  /** Addresses others may reach this machine at, beside the one in its peer URL. */
  readonly hosts: () => readonly string[]
  /** Default: etcd in the usual directories. */
  readonly program?: string
  readonly electionMs?: number
}

const pollMs = 50
const certificateLookMs = 3_600_000

export function memberPaths(stateDir: string, runtimeDir: string): MemberPaths {
  return {
    dir: join(stateDir, 'etcd'),
    socketDir: join(runtimeDir, 'etcd'),
    logDir: join(stateDir, 'log', 'state', 'etcd'),
  }
}

/** The path of etcd, or undefined when it is not installed. */
export function findEtcd(): string | undefined {
  return searchPath
    .split(':')
    .map((dir) => join(dir, 'etcd'))
    .find(isExecutableFile)
}

export class LocalStateMember implements StateMember {
  readonly #deps: LocalMemberDeps
  readonly #options: LocalMemberOptions
  #queue: Promise<unknown> = Promise.resolve()

  constructor(deps: LocalMemberDeps, options: LocalMemberOptions) {
    this.#deps = deps
    this.#options = options
  }

  get choice(): EngineChoice {
    return readEngineChoice(this.#options.stateDir)
  }

  /** Takes over, or starts, the etcd that `engine.json` names; without one there, nothing. */
  async open(options: SignalOptions): Promise<void> {
    await this.#alone(async () => {
      const { choice } = this
      if (choice.engine !== 'etcd') {
        // A move that did not get to its switch may have left one.
        await this.#deps.service.stop('nothing names this etcd', options)
        return
      }
      const { listenPeer } = this.#options
      const next = { ...choice, listenPeer }
      if (choice.listenPeer !== listenPeer) this.#choose(next)
      await this.#certify(next)
      await this.#run(next, options)
    })
  }

  prepare(request: PrepareRequest, options: SignalOptions): Promise<void> {
    return this.#alone(async () => {
      const { choice } = this
      const eraHere = choice.engine === 'etcd' || choice.engine === 'link' ? choice.era : 0
      if (eraHere > request.era) {
        throw new HolonError(
          'stale',
          `start etcd here: asked for the state of restore ${request.era}, ` +
            `but this machine has seen restore ${eraHere}`,
        )
      }
      const engine = this.#engineOf(request)
      const same = choice.engine === 'etcd' && choice.dataName === engine.dataName
      // With data in its directory etcd asks nothing else of the old answer but the address.
      const next = same ? { ...choice, peerUrl: engine.peerUrl } : engine
      const spec = this.#service(next)
      if (!same) {
        const reason = 'it becomes another member of the state'
        await this.#deps.service.stop(reason, options)
        // What an attempt may have left that got no further.
        removeTree(dataPath(this.#options.paths, engine.dataName))
      }
      await this.#certify(next, request.stateCa)
      this.#choose(next)
      await this.#deps.service.start(spec, options)
      this.#removeEarlierData(next)
    })
  }

  stopMember(
    request: { readonly memberId: string; readonly era: number },
    options: SignalOptions,
  ): Promise<void> {
    return this.#alone(async () => {
      const { choice } = this
      if (choice.engine !== 'etcd' || choice.era !== request.era) return
      if ((await this.#memberId(choice, options)) !== request.memberId) return
      await this.#leave(choice.era, options)
    })
  }

  readdress(
    request: { readonly memberId: string; readonly peerUrl: string },
    options: SignalOptions,
  ): Promise<void> {
    return this.#alone(async () => {
      const { choice } = this
      if (choice.engine !== 'etcd' || choice.peerUrl === request.peerUrl) return
      if ((await this.#memberId(choice, options)) !== request.memberId) return
      const next = { ...choice, peerUrl: request.peerUrl }
      await this.#certify(next)
      this.#choose(next)
      await this.#run(next, options)
    })
  }

  async status(options: SignalOptions): Promise<MemberStatus> {
    const { choice } = this
    if (choice.engine !== 'etcd') return { answers: false }
    const { era } = choice
    try {
      const { memberId, leaderId, learner } = await etcdStatus(this.#deps.api, options)
      return { answers: true, memberId, hasLeader: leaderId !== '0', learner, era }
    } catch {
      return { answers: false, era }
    }
  }

  /**
   * Compares with what the fleet says of its members. State that was restored elsewhere since makes
   * this one the past: it is stopped at once. One that was removed while this machine could not be
   * told is stopped when its etcd has given up too.
   */
  async meet(record: FleetEngineRecord, options: SignalOptions): Promise<void> {
    await this.#alone(async () => {
      const { choice } = this
      if (choice.engine === 'link' && choice.era < record.era) {
        this.#choose({ engine: 'link', era: record.era })
      }
      if (choice.engine !== 'etcd' || choice.era > record.era) return
      if (choice.era === record.era) {
        const own = record.members.find(({ machineId }) => machineId === this.#options.machineId)
        const listed =
          own !== undefined && (choice.memberId === undefined || own.memberId === choice.memberId)
        if (listed || (await this.status(options)).answers) return
      }
      this.#deps.report(
        choice.era < record.era
          ? 'the state was restored on another machine: this machine’s old one is kept aside'
          : 'this machine keeps the state no longer: its etcd is stopped',
      )
      await this.#leave(record.era, options)
    })
  }

  /** Starts a member that nothing names yet, in an empty directory; for moving and restoring. */
  startDraft(engine: ManagedEngine, ca: CertificatePair, options: SignalOptions): Promise<void> {
    return this.#alone(async () => {
      const spec = this.#service(engine)
      await this.#deps.service.stop('its state is made anew', options)
      this.#makeRoom(engine)
      await this.#certify(engine, ca)
      await this.#deps.service.start(spec, options)
      await this.#untilLeading(options)
    })
  }

  /** From now on the draft counts. */
  adoptDraft(engine: ManagedEngine): void {
    this.#choose(engine)
    removeTree(this.#draftNote())
  }

  /** Stops a draft; its data are removed before the next one. */
  discardDraft(options: SignalOptions): Promise<void> {
    return this.#alone(() => this.#deps.service.stop('it was not completed', options))
  }

  /** Renews the certificate every day until the signal aborts; etcd reads it anew by itself. */
  async keepCertificate({ signal }: SignalOptions): Promise<void> {
    while (!signal.aborted) {
      await sleep(this.#deps.clock, certificateLookMs, signal).catch(() => undefined)
      if (signal.aborted) return
      try {
        await this.#alone(async () => {
          const { choice } = this
          if (choice.engine === 'etcd') await this.#certify(choice)
        })
      } catch (error) {
        this.#deps.report(asHolonError(error, 'renew the certificate of etcd').message)
      }
    }
  }

  // Only what is known to be an unfinished draft is removed; anything else there is kept aside.
  #makeRoom(engine: ManagedEngine): void {
    const note = this.#draftNote()
    const path = dataPath(this.#options.paths, engine.dataName)
    const drafted = readTextIfThere(note)
    if (drafted !== undefined) removeTree(dataPath(this.#options.paths, drafted))
    if (exists(path)) {
      let n = 1
      while (exists(`${path}.aside-${n}`)) n += 1
      renameDurably(path, `${path}.aside-${n}`)
    }
    writeDurablySync(note, engine.dataName)
  }

  #draftNote(): string {
    return join(this.#options.paths.dir, 'draft')
  }

  async #leave(era: number, options: SignalOptions): Promise<void> {
    await this.#deps.service.stop('this machine keeps the state no longer', options)
    this.#choose({ engine: 'link', era })
  }

  #engineOf(request: PrepareRequest): ManagedEngine {
    const { era, clusterToken, memberId, peerUrl, initialCluster } = request
    const { machineId, listenPeer } = this.#options
    const dataName = `data-${era}-${memberId}`
    const initialState = 'existing'
    const base = { engine: 'etcd', era, machineId, clusterToken, dataName, memberId } as const
    return { ...base, peerUrl, listenPeer, initialCluster, initialState }
  }

  #choose(choice: EngineChoice): void {
    writeEngineChoice(this.#options.stateDir, choice)
  }

  // The first member of an era learns its id from etcd.
  async #memberId(choice: ManagedEngine, options: SignalOptions): Promise<string | undefined> {
    return choice.memberId ?? (await this.status(options)).memberId
  }

  async #run(engine: ManagedEngine, options: SignalOptions): Promise<void> {
    await this.#deps.service.start(this.#service(engine), options)
  }

  #service(engine: ManagedEngine) {
    const { program = findEtcd(), electionMs, paths } = this.#options
    if (program === undefined) {
      throw new HolonError(
        'not_found',
        `start etcd: there is none in ${searchPath}; install it (on Debian: apt install ` +
          'etcd-server), or use one that you run: holon up --state etcd://HOST:PORT',
      )
    }
    const options: MemberServiceOptions =
      electionMs === undefined ? { program } : { program, electionMs }
    makePrivateDir(paths.dir)
    ensureDir(paths.socketDir, 0o700)
    ensureDir(paths.logDir, 0o750)
    return memberService(engine, paths, options)
  }

  #certify(engine: ManagedEngine, ca?: CertificatePair): Promise<void> {
    const hosts = [hostOf(engine.peerUrl), ...this.#options.hosts()]
    return ensureCertificate(this.#deps.clock, tlsDir(this.#options.paths), hosts, ca)
  }

  #removeEarlierData(engine: ManagedEngine): void {
    const { dir } = this.#options.paths
    for (const name of namesIn(dir)) {
      const ofThisEra = name === `data-${engine.era}` || name.startsWith(`data-${engine.era}-`)
      if (name.includes('.aside-')) continue
      if (ofThisEra && name !== engine.dataName) removeTree(join(dir, name))
    }
  }

  async #untilLeading({ signal }: SignalOptions): Promise<void> {
    while (true) {
      if (await this.#leads({ signal })) return
      await sleep(this.#deps.clock, pollMs, signal).catch((error: unknown) => {
        throw new HolonError(
          'unavailable',
          `etcd was started and does not answer; see its log in ${this.#options.paths.logDir}`,
          { cause: error },
        )
      })
    }
  }

  // Before engine.json names it, so without looking there.
  async #leads(options: SignalOptions): Promise<boolean> {
    try {
      const { leaderId, memberId } = await etcdStatus(this.#deps.api, options)
      return leaderId === memberId
    } catch {
      return false
    }
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#queue.then(work)
    this.#queue = turn.catch(() => undefined)
    return turn
  }
}

/** "10.77.0.1" of "https://10.77.0.1:4657". */
export function hostOf(peerUrl: string): string {
  return new URL(peerUrl).hostname.replaceAll(/[[\]]/g, '')
}
