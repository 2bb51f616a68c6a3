/**
 * Keeps etcd's members as the fleet needs them: looks, lets the plan decide, takes one step, looks
 * again. It runs on every machine that has an etcd and acts only where that etcd leads, or, when
 * the leader's machine was removed, on one other.
 *
 * Every step can be repeated, and what was done is read from etcd itself, so whoever leads next
 * goes on where this one was killed. A deposed leader does no harm: each step is announced in
 * `fleet/engine` by compare-and-set first, which needs a majority, and what two of them could
 * still both do is corrected by the next look.
 */
import { isDeepStrictEqual } from 'node:util'
import { type Clock, deadline, sleep } from '../../base/clock.ts'
import { asHolonError, HolonError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import type { Random } from '../../base/random.ts'
import { update } from '../../state/commit.ts'
import type { SignalOptions, State } from '../../state/port.ts'
import type { ManagedEngine, PeerAddress } from './engine-file.ts'
import {
  addLearner,
  type EtcdApi,
  type EtcdMemberInfo,
  type EtcdStatus,
  etcdStatus,
  memberList,
  promoteLearner,
  removeMember,
  updateMember,
} from './etcd-api.ts'
import {
  type EngineChange,
  type EngineMember,
  engineKey,
  engineSchema,
  type FleetEngineRecord,
  parseEngineRecord,
  stateCaKey,
} from './fleet-engine-record.ts'
import { parseCertificatePair } from './peer-certificates.ts'
import {
  type MachineView,
  type MemberPlan,
  type MembersView,
  type MemberTask,
  type MemberView,
  planMembers,
} from './plan.ts'
import type { StateMembers } from './state-members.ts'

export interface MembershipDeps {
  readonly clock: Clock
  readonly random: Random
  /** This machine's etcd. */
  readonly api: EtcdApi
  readonly state: State
  readonly members: StateMembers
  /** The machines of the fleet now, this one included. */
  readonly machines: () => readonly MachineView[]
  /** Before each change of members. */
  readonly backup: (signal: AbortSignal) => Promise<void>
  readonly report: (message: string) => void
  /** For tests: called between the steps of a task; what it throws ends the task there. */
  readonly atStep?: (step: string) => void
}

export interface MembershipOptions {
  readonly machineId: string
  readonly engine: () => ManagedEngine
  /** Default: limits.stateMemberSilentMs. */
  readonly silentMs?: number
  /** Default: limits.stateMemberIntervalMs. */
  readonly intervalMs?: number
}

export type MembershipStep = MemberPlan | { readonly kind: 'elsewhere' }

/** A member that takes longer to say how it is counts as not healthy. */
const statusTimeoutMs = 1_500
const stepTimeoutMs = 60_000
const learningMs = 1_000

export class Membership {
  readonly #deps: MembershipDeps
  readonly #options: MembershipOptions
  #said = ''

  constructor(deps: MembershipDeps, options: MembershipOptions) {
    this.#deps = deps
    this.#options = options
  }

  /** Looks and takes steps until the signal aborts. Failures are reported and tried again. */
  async keep({ signal }: SignalOptions): Promise<void> {
    const { clock } = this.#deps
    const usualMs = this.#options.intervalMs ?? limits.stateMemberIntervalMs
    while (!signal.aborted) {
      let pauseMs = usualMs
      try {
        using limit = deadline(clock, stepTimeoutMs, signal)
        const step = await this.step(limit)
        this.#say(step.kind === 'task' ? step.task.reason : '')
        // A learner has caught up soon. After other changes etcd wants to be left alone for a
        // while.
        const begun =
          step.kind === 'task' && (step.task.kind === 'add' || step.task.kind === 'start')
        if (begun) pauseMs = Math.min(usualMs, learningMs)
      } catch (error) {
        if (signal.aborted) return
        this.#say(asHolonError(error, 'look after the members that keep the state').message)
      }
      await sleep(clock, pauseMs, signal).catch(() => undefined)
    }
  }

  /**
   * One look and, if something is to be done, one step of it. `elsewhere`: another machine leads.
   * Fails when etcd refuses the step for now; the next look decides anew.
   */
  async step(options: SignalOptions): Promise<MembershipStep> {
    const { api, state, machines } = this.#deps
    const status = await etcdStatus(api, options)
    if (status.leaderId === '0' || status.learner) return { kind: 'elsewhere' }
    if (!(await this.#acts(status, options))) return { kind: 'elsewhere' }
    // Linearizable: this etcd has now applied every change of members that was ever acknowledged.
    await state.get(engineKey, options)
    const list = await memberList(api, options)
    const view: MembersView = {
      machines: machines(),
      members: await this.#look(list, status.memberId, options),
      silentMs: this.#options.silentMs ?? limits.stateMemberSilentMs,
    }
    const plan = planMembers(view)
    await this.#record(view.members, undefined, options)
    if (plan.kind === 'task') await this.#perform(plan.task, view, options)
    return plan
  }

  /**
   * The one that leads acts. When that one's machine is in the fleet no more, nobody hears it: then
   * the first of those that are takes it out.
   */
  async #acts(status: EtcdStatus, options: SignalOptions): Promise<boolean> {
    if (status.leaderId === status.memberId) return true
    const list = await memberList(this.#deps.api, options)
    const machines = this.#deps.machines()
    const machineOf = ({ name }: EtcdMemberInfo) =>
      machines.find(({ machineId }) => machineId === name)
    const leader = list.find(({ memberId }) => memberId === status.leaderId)
    if (leader === undefined || machineOf(leader) !== undefined) return false
    const [first] = list
      .filter((member) => !member.learner && machineOf(member)?.up === true)
      .sort((a, b) => (a.name < b.name ? -1 : 1))
    return first?.memberId === status.memberId
  }

  #say(message: string): void {
    if (message !== '' && message !== this.#said) this.#deps.report(message)
    this.#said = message
  }

  #look(
    list: readonly EtcdMemberInfo[],
    leaderId: string,
    options: SignalOptions,
  ): Promise<readonly MemberView[]> {
    const machines = this.#deps.machines()
    return Promise.all(
      list.map(async ({ memberId, name, peerUrls, learner }) => {
        const peerUrl = peerUrls[0] ?? ''
        const machine = machines.find((each) =>
          name === '' ? each.peerUrl === peerUrl : each.machineId === name,
        )
        const leader = memberId === leaderId
        const healthy =
          leader || (machine?.up === true && (await this.#answers(machine, memberId, options)))
        const machineId = machine?.machineId
        return { memberId, machineId, peerUrl, learner, started: name !== '', healthy, leader }
      }),
    )
  }

  async #answers(
    machine: MachineView,
    memberId: string,
    { signal }: SignalOptions,
  ): Promise<boolean> {
    using limit = deadline(this.#deps.clock, statusTimeoutMs, signal)
    try {
      const status = await this.#deps.members.status(machine.machineId, limit)
      return status.answers && status.memberId === memberId && status.hasLeader === true
    } catch {
      return false
    }
  }

  async #perform(task: MemberTask, view: MembersView, options: SignalOptions): Promise<void> {
    const { api } = this.#deps
    const { kind, memberId, peerUrl } = task
    this.#at(kind, 'begin')
    if (kind !== 'start') {
      await this.#deps.backup(options.signal)
      this.#at(kind, 'backed up')
      await this.#record(view.members, this.#change(task), options)
      this.#at(kind, 'announced')
    }
    if (kind === 'add') {
      const added = await addLearner(api, peerUrl, options)
      this.#at(kind, 'done in etcd')
      await this.#recordNow(options)
      this.#at(kind, 'recorded')
      await this.#prepare({ ...task, memberId: added }, options)
    } else if (memberId !== undefined) {
      await this.#performOn({ ...task, memberId }, options)
    }
    this.#at(kind, 'machine told')
    if (kind !== 'start') await this.#recordNow(options)
    this.#at(kind, 'end')
  }

  async #performOn(
    task: MemberTask & { readonly memberId: string },
    options: SignalOptions,
  ): Promise<void> {
    const { api, members } = this.#deps
    const { memberId, machineId, peerUrl } = task
    switch (task.kind) {
      case 'start':
        await this.#prepare(task, options)
        break
      case 'promote':
        await promoteLearner(api, memberId, options)
        this.#at(task.kind, 'done in etcd')
        break
      case 'readdress':
        await updateMember(api, memberId, peerUrl, options)
        this.#at(task.kind, 'done in etcd')
        if (machineId !== undefined) {
          await members.readdress(machineId, { memberId, peerUrl }, options)
        }
        break
      default:
        await removeMember(api, memberId, options)
        this.#at(task.kind, 'done in etcd')
        await this.#tellRemoved(machineId, memberId, options)
    }
  }

  // It may be dead or shut out: then it finds out by itself when it is back.
  async #tellRemoved(
    machineId: string | undefined,
    memberId: string,
    { signal }: SignalOptions,
  ): Promise<void> {
    const machine = this.#deps.machines().find((each) => each.machineId === machineId)
    if (machine?.up !== true || machineId === undefined) return
    using limit = deadline(this.#deps.clock, statusTimeoutMs * 4, signal)
    const { era } = this.#options.engine()
    try {
      await this.#deps.members.stopMember(machineId, { memberId, era }, limit)
    } catch (error) {
      const { message } = asHolonError(error)
      this.#deps.report(`${machine.name} keeps the state no longer, but was not told: ${message}`)
    }
  }

  async #prepare(
    task: MemberTask & { readonly memberId: string },
    options: SignalOptions,
  ): Promise<void> {
    const { machineId, memberId, peerUrl } = task
    if (machineId === undefined) return
    const ca = await this.#deps.state.get(stateCaKey, options)
    if (ca === undefined) {
      throw new HolonError('internal', `start etcd on another machine: there is no ${stateCaKey}`)
    }
    const { era, clusterToken } = this.#options.engine()
    const request = {
      era,
      clusterToken,
      memberId,
      peerUrl,
      initialCluster: await this.#initialCluster(memberId, machineId, options),
      stateCa: parseCertificatePair(ca.value, stateCaKey),
    }
    await this.#deps.members.prepare(machineId, request, options)
  }

  // etcd refuses to start with a list that is not exactly the cluster's, itself by its name.
  async #initialCluster(
    memberId: string,
    machineId: string,
    options: SignalOptions,
  ): Promise<readonly PeerAddress[]> {
    const list = await memberList(this.#deps.api, options)
    return list.flatMap((member) => {
      const name = member.memberId === memberId ? machineId : member.name || member.memberId
      return member.peerUrls.map((peerUrl) => ({ machineId: name, peerUrl }))
    })
  }

  #change(task: MemberTask): EngineChange {
    const { kind, machineId = '', memberId, reason } = task
    const by = this.#options.machineId
    const change = { kind, machineId, reason, by, sinceMs: this.#deps.clock.wallMs() }
    return memberId === undefined ? change : { ...change, memberId }
  }

  async #recordNow(options: SignalOptions): Promise<void> {
    const list = await memberList(this.#deps.api, options)
    const machines = this.#deps.machines()
    const rows = list.map(({ memberId, name, peerUrls, learner }) => {
      const peerUrl = peerUrls[0] ?? ''
      const machine = machines.find((each) => each.peerUrl === peerUrl)
      return { memberId, machineId: name || machine?.machineId, peerUrl, learner }
    })
    await this.#record(rows, undefined, options)
  }

  async #record(
    rows: readonly Pick<MemberView, 'memberId' | 'machineId' | 'peerUrl' | 'learner'>[],
    change: EngineChange | undefined,
    options: SignalOptions,
  ): Promise<void> {
    const { era, clusterToken } = this.#options.engine()
    const members: readonly EngineMember[] = rows
      .map(({ memberId, machineId = '', peerUrl, learner }) => {
        return { machineId, memberId, peerUrl, learner }
      })
      .sort((a, b) => (a.machineId < b.machineId ? -1 : 1))
    const base = { era, clusterToken, members }
    const next: FleetEngineRecord = change === undefined ? base : { ...base, change }
    const writer = `machine ${this.#options.machineId}`
    const { state } = this.#deps
    await update(
      this.#deps,
      state,
      engineKey,
      (entry) => {
        const now = entry === undefined ? undefined : parseEngineRecord(entry.value)
        if (now !== undefined && now.era > era) {
          throw new HolonError('stale', 'the state was restored since: this etcd is of the past')
        }
        return isDeepStrictEqual(now, next)
          ? { kind: 'keep' }
          : { kind: 'put', value: next, schema: engineSchema }
      },
      { ...options, writer },
    )
  }

  #at(kind: string, step: string): void {
    this.#deps.atStep?.(`${kind}: ${step}`)
  }
}
