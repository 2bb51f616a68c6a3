/**
 * Which machines shall run etcd: one look at the fleet and at etcd's members → the next step, or
 * none, with a reason that an operator can read. Pure.
 *
 * Rules, each a promise of the tests beside this file:
 * - At most one step, and none while an earlier one is not complete, except what completes it.
 * - No step after which the voters known to be healthy are no majority; only a learner, which has
 *   no vote, may always go.
 * - A machine becomes a learner first and gets its vote when it has caught up.
 * - Growing begins only when there are machines to reach the next odd number: two voters are worse
 *   than one, since the loss of either stops writing.
 * - A voter that is silent too long is replaced, never merely dropped: while nobody can take its
 *   place it costs nothing to wait for it. One whose machine was removed goes as soon as it can.
 */
import type { EngineChange } from './fleet-engine-record.ts'

export interface MachineView {
  readonly machineId: string
  readonly name: string
  readonly zone: string
  /** What this machine's etcd is, or would be, reached at. */
  readonly peerUrl: string
  readonly up: boolean
  /** How long it has been up or down, in milliseconds. */
  readonly forMs: number
  /** Whether it can run etcd at all. */
  readonly canHost: boolean
}

export interface MemberView {
  readonly memberId: string
  /** Undefined: of no machine of the fleet (it was removed, or its address is nobody's). */
  readonly machineId: string | undefined
  readonly peerUrl: string
  readonly learner: boolean
  /** It has started at least once. */
  readonly started: boolean
  /** It answered just now and is in contact with the leader. */
  readonly healthy: boolean
  readonly leader: boolean
}

export interface MembersView {
  /** The fleet without removed machines. */
  readonly machines: readonly MachineView[]
  readonly members: readonly MemberView[]
  /** Silence after which a member's machine is given up. */
  readonly silentMs: number
}

export interface MemberTask {
  readonly kind: EngineChange['kind']
  readonly machineId: string | undefined
  /** Undefined for `add`. */
  readonly memberId: string | undefined
  readonly peerUrl: string
  readonly reason: string
}

export type MemberPlan =
  | { readonly kind: 'task'; readonly task: MemberTask }
  | { readonly kind: 'nothing'; readonly reason: string }

/** Voters wished for: an odd number, so that each member counts. */
export function votersWished(machines: number): number {
  if (machines >= 7) return 5
  return machines >= 3 ? 3 : 1
}

export function quorumOf(voters: number): number {
  return Math.floor(voters / 2) + 1
}

export function planMembers(view: MembersView): MemberPlan {
  const look = new Look(view)
  if (look.healthy < quorumOf(look.voters.length)) {
    return nothing(
      `${look.healthy} of ${look.voters.length} members answer, ` +
        `${quorumOf(look.voters.length)} are needed: no change until they are back`,
    )
  }
  return (
    planReaddress(look) ??
    planStrangers(look) ??
    planLearner(look) ??
    planReplacement(look) ??
    planSize(look)
  )
}

/** The view with what every rule asks of it. */
class Look {
  readonly view: MembersView
  readonly voters: readonly MemberView[]
  readonly learners: readonly MemberView[]
  readonly healthy: number
  readonly wish: number
  /** Machines that could become members now, best first. */
  readonly candidates: readonly MachineView[]

  constructor(view: MembersView) {
    this.view = view
    this.voters = view.members.filter((member) => !member.learner)
    this.learners = view.members.filter((member) => member.learner)
    this.healthy = this.voters.filter((member) => member.healthy).length
    this.wish = votersWished(view.machines.length)
    this.candidates = rankCandidates(view)
  }

  machine(member: MemberView): MachineView | undefined {
    return this.view.machines.find(({ machineId }) => machineId === member.machineId)
  }

  name(member: MemberView): string {
    return this.machine(member)?.name ?? `the member at ${member.peerUrl}`
  }

  /** Of a machine that has been silent too long. */
  givenUp(member: MemberView): boolean {
    const machine = this.machine(member)
    return machine !== undefined && !machine.up && machine.forMs >= this.view.silentMs
  }

  /** Whether the rest still has a majority of voters that are known to be healthy. */
  safeWithout(member: MemberView): boolean {
    if (member.learner) return true
    const rest = this.healthy - (member.healthy ? 1 : 0)
    return this.voters.length > 1 && rest >= quorumOf(this.voters.length - 1)
  }

  get safeWithOneMore(): boolean {
    return this.healthy + 1 >= quorumOf(this.voters.length + 1)
  }
}

// A machine that moved is spoken to at its new address before anything else is judged by silence.
function planReaddress(look: Look): MemberPlan | undefined {
  for (const member of look.view.members) {
    const machine = look.machine(member)
    if (machine === undefined || !machine.up || machine.peerUrl === member.peerUrl) continue
    const reason = `${machine.name} is now at ${machine.peerUrl}, no longer at ${member.peerUrl}`
    return task('readdress', member, reason, machine.peerUrl)
  }
  return undefined
}

function planStrangers(look: Look): MemberPlan | undefined {
  const strangers = look.view.members.filter((member) => look.machine(member) === undefined)
  const stranger = strangers.find((member) => look.safeWithout(member))
  if (stranger !== undefined) {
    return task('remove', stranger, `${look.name(stranger)} is no machine of the fleet any more`)
  }
  if (strangers[0] === undefined) return undefined
  return nothing(
    `${look.name(strangers[0])} is no machine of the fleet any more, but the state would stop ` +
      'without it: waiting for the other members',
  )
}

function planLearner(look: Look): MemberPlan | undefined {
  const learner = look.learners[0]
  if (learner === undefined) return undefined
  const name = look.name(learner)
  if (look.givenUp(learner)) return task('remove', learner, `${name} fell silent while it joined`)
  if (look.voters.length >= look.wish) {
    return task(
      'remove',
      learner,
      `there are ${look.voters.length} members, enough without ${name}`,
    )
  }
  if (look.machine(learner)?.up !== true) {
    return nothing(`${name} is joining as a member, but is not reachable: waiting for it`)
  }
  if (!learner.started || !learner.healthy) {
    return task('start', learner, `${name} shall become a member and its etcd does not run yet`)
  }
  if (!look.safeWithOneMore) return nothing(`${name} waits for its vote until all members answer`)
  return task('promote', learner, `${name} has caught up and gets its vote`)
}

function planReplacement(look: Look): MemberPlan | undefined {
  const silent = look.voters.filter((member) => look.givenUp(member))
  const [first] = silent
  if (first === undefined) return undefined
  // An even number gets its substitute by growing; otherwise there must be one first.
  const substitute = look.candidates[0]
  const tooMany = look.voters.length > look.wish
  for (const member of silent) {
    if (!look.safeWithout(member) || (substitute === undefined && !tooMany)) continue
    const instead = tooMany ? 'and is not needed' : `and ${substitute?.name} takes its place`
    return task('remove', member, `${look.name(member)} has been silent too long ${instead}`)
  }
  if (substitute === undefined && look.voters.length % 2 === 1) {
    return nothing(`${look.name(first)} is silent, and no other machine can take its place`)
  }
  return undefined
}

function planSize(look: Look): MemberPlan {
  const count = look.voters.length
  const unhealthy = look.voters.find((member) => !member.healthy)
  if (count > look.wish) return planShrink(look)
  if (unhealthy !== undefined) {
    return nothing(`${look.name(unhealthy)} does not answer: no change of members until it does`)
  }
  if (count === look.wish) {
    return nothing(`${count} of ${look.view.machines.length} machines keep the state, as wished`)
  }
  const needed = count % 2 === 0 ? 1 : 2
  const candidate = look.candidates[0]
  if (candidate !== undefined && look.candidates.length >= needed) {
    const { machineId, peerUrl, name } = candidate
    const machines = look.view.machines.length
    const reason = `${machines} machines are to have ${look.wish} members: ${name} is the next`
    return { kind: 'task', task: { kind: 'add', machineId, memberId: undefined, peerUrl, reason } }
  }
  if (count % 2 === 0 && !look.view.machines.some((machine) => isAway(look, machine))) {
    return planShrink(look)
  }
  return nothing(`${look.wish} members are wished for, but too few machines are up to be ones`)
}

/** Not up, but not given up either: it may yet become a member. */
function isAway(look: Look, machine: MachineView): boolean {
  return machine.canHost && !machine.up && machine.forMs < look.view.silentMs
}

function planShrink(look: Look): MemberPlan {
  const order = [...look.voters].sort((a, b) => shrinkRank(look, a) - shrinkRank(look, b))
  const member = order.find((each) => look.safeWithout(each))
  if (member === undefined) return nothing('a member too many, but none can go safely')
  const to = look.voters.length - 1
  return task('remove', member, `${to} members are enough: ${look.name(member)} is one no longer`)
}

/** Who goes first: the silent, then one whose zone has another, the leader last. */
function shrinkRank(look: Look, member: MemberView): number {
  if (look.givenUp(member)) return 0
  if (!member.healthy) return 1
  if (member.leader) return 4
  const zone = look.machine(member)?.zone
  const others = look.voters.filter((each) => each !== member)
  return others.some((each) => look.machine(each)?.zone === zone) ? 2 : 3
}

function rankCandidates(view: MembersView): readonly MachineView[] {
  const taken = new Set(view.members.map((member) => member.machineId))
  const used = new Set<string>()
  for (const machine of view.machines) if (taken.has(machine.machineId)) used.add(machine.zone)
  return view.machines
    .filter((machine) => machine.up && machine.canHost && !taken.has(machine.machineId))
    .sort((a, b) => {
      const zones = Number(used.has(a.zone)) - Number(used.has(b.zone))
      return zones !== 0 ? zones : a.name < b.name ? -1 : 1
    })
}

function task(
  kind: MemberTask['kind'],
  member: MemberView,
  reason: string,
  peerUrl: string = member.peerUrl,
): MemberPlan {
  const { machineId, memberId } = member
  return { kind: 'task', task: { kind, machineId, memberId, peerUrl, reason } }
}

function nothing(reason: string): MemberPlan {
  return { kind: 'nothing', reason }
}
