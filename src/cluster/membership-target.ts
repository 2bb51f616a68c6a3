/**
 * Who belongs to the fleet: the kernel's Membership, for who runs the agent.
 *
 * When this machine dies in the middle: a first invitation that got as far as the papers goes on
 * with the next one (the fleet is written in one txn, moving its state is safe at each step); a
 * join that the fleet has accepted is repeated with the same key and token; leaving is done in the
 * state first, so a machine that could not finish is refused until it forgets the fleet.
 */
import type { Clock } from '../base/clock.ts'
import { HolonError } from '../base/errors.ts'
import type { Random } from '../base/random.ts'
import { version } from '../base/version.ts'
import { identityDir, membersPath } from '../io/paths.ts'
import { removeFile } from '../io/state-files.ts'
import type { Membership } from '../kernel/kernel.ts'
import type {
  CallOptions,
  Invitation,
  InviteWish,
  JoinAnswer,
  JoinWish,
  LabelChange,
} from '../kernel/types.ts'
import { update } from '../state/commit.ts'
import type { State } from '../state/port.ts'
import { writeEngineChoice } from './etcd/engine-file.ts'
import { findEtcd } from './etcd/local-member.ts'
import { moveToExternal, moveToManaged } from './etcd/move.ts'
import { quorumOf } from './etcd/plan.ts'
import type { Fleet } from './fleet.ts'
import { forgetIdentity, loadIdentity, saveIdentity } from './identity/identity.ts'
import { loadOrMakeMachineKey } from './identity/machine-key.ts'
import { joinFleet } from './join/client.ts'
import { machineSchema } from './join/enroll.ts'
import { foundFleet } from './join/found.ts'
import { createInvite } from './join/invites.ts'
import { leaveFleet, removeMachine } from './join/remove.ts'
import type { FleetMember } from './member.ts'
import { type MachineRecord, Members, machinePrefix, parseMachineRecord } from './members.ts'
import { addressesOf } from './own-address.ts'
import { listenAddress, listenPeer, type PortSettings, peerUrlOf } from './port-settings.ts'

export interface MembershipTargetDeps {
  readonly clock: Clock
  readonly random: Random
  readonly fleet: Fleet
  /** The machine's own store. */
  readonly embedded: State
}

export interface MembershipTargetOptions {
  readonly stateDir: string
  readonly name: string
  readonly settings: PortSettings
  readonly onBeginAnew: () => void
}

/** etcd takes 1 to 2 s to choose another leader. */
const engineAwayMs = 5_000

export class MembershipTarget implements Membership {
  readonly #deps: MembershipTargetDeps
  readonly #options: MembershipTargetOptions

  constructor(deps: MembershipTargetDeps, options: MembershipTargetOptions) {
    this.#deps = deps
    this.#options = options
  }

  async invite(wish: InviteWish, { signal }: CallOptions): Promise<Invitation> {
    const { clock, random } = this.#deps
    const member = this.#deps.fleet.member ?? (await this.#found(signal))
    await this.#move(member, signal)
    const { token, uses, expiresAtMs } = await createInvite(
      { clock, random },
      member.keeping.state,
      { caPem: member.identity.caPem, createdBy: member.self.name, signal, ...wish },
    )
    return { address: this.#inviteAddress(member), token, uses, expiresAtMs }
  }

  async join(wish: JoinWish, { signal }: CallOptions): Promise<JoinAnswer> {
    const { clock } = this.#deps
    const { stateDir, settings } = this.#options
    const dir = identityDir(stateDir)
    if (loadIdentity(dir) !== undefined) {
      throw new HolonError(
        'already_exists',
        'this machine is in a fleet already; `holon leave` puts it on its own first',
      )
    }
    const key = loadOrMakeMachineKey(dir)
    const { papers, machine, members } = await joinFleet(clock, {
      address: wish.address,
      token: wish.token,
      name: wish.name ?? this.#options.name,
      zone: wish.zone ?? '',
      labels: wish.labels ?? {},
      addresses: settings.advertise === undefined ? [] : [settings.advertise],
      listenPort: listenAddress(settings).port,
      version,
      key,
      signal,
    })
    // The papers come last: with them this machine is a member.
    writeEngineChoice(stateDir, { engine: 'link', era: 0 })
    const known = members.map(({ machineId, name, addresses }) => {
      return machineId === machine.machineId
        ? machine
        : recordOf({ machineId, name, addresses, publicKey: '' })
    })
    const machines = known.some(({ machineId }) => machineId === machine.machineId)
      ? known
      : [...known, machine]
    removeFile(membersPath(stateDir))
    // Who let us in has the state; the others come with the first look into it.
    const others = machines.filter(({ machineId }) => machineId !== machine.machineId)
    const host = others.filter(({ addresses }) => addresses.includes(wish.address))
    const keepers = host.length > 0 ? host : others
    new Members(membersPath(stateDir)).update({
      machines,
      removed: [],
      stateKeepers: keepers.map(({ machineId }) => machineId),
    })
    saveIdentity(dir, key, papers)
    this.#beginAnew()
    return { name: machine.name, machines: machines.map(({ name }) => name).sort() }
  }

  async leave({ signal }: CallOptions): Promise<void> {
    const { clock, random, fleet } = this.#deps
    const { member } = fleet
    if (member === undefined) return
    const { machineId } = member.identity
    const { members } = member
    const others = members.all.filter((machine) => machine.machineId !== machineId)
    if (others.length > 0 && !members.isRemoved(machineId)) {
      this.#requireLosable(member, others)
      await this.#requireState(member, 'leave', signal)
      const state = member.keeping.state
      await leaveFleet({ clock, random, state, by: member.self.name }, machineId, { signal })
    }
    await this.#forget(member, signal)
    this.#beginAnew()
  }

  async remove(machine: string, { signal }: CallOptions): Promise<void> {
    const { clock, random } = this.#deps
    const member = this.#member('remove a machine')
    if (machine === member.self.name) {
      throw new HolonError('invalid_argument', 'this machine itself leaves with `holon leave`')
    }
    await this.#requireState(member, `remove ${machine}`, signal)
    const { state } = member.keeping
    await removeMachine({ clock, random, state, by: member.self.name }, machine, { signal })
  }

  async label(machine: string, change: LabelChange, { signal }: CallOptions): Promise<void> {
    const { clock, random } = this.#deps
    checkLabels(change)
    const member = this.#deps.fleet.member ?? (await this.#found(signal))
    const found = member.members.all.find(({ name }) => name === machine)
    const id =
      found?.machineId ?? (machine === member.self.name ? member.self.machineId : undefined)
    if (id === undefined) throw unknownMachine(machine)
    await this.#requireState(member, `label ${machine}`, signal)
    let gone = false
    await update(
      { clock, random },
      member.keeping.state,
      `${machinePrefix}${id}`,
      (entry) => {
        gone = entry === undefined
        if (entry === undefined) return { kind: 'keep' }
        const record = parseMachineRecord(entry.value)
        const labels = { ...record.labels, ...change.labels }
        for (const [name, value] of Object.entries(labels)) if (value === '') delete labels[name]
        const value = { ...record, labels, zone: change.zone ?? record.zone }
        return { kind: 'put', value, schema: machineSchema }
      },
      { signal, writer: `agent ${member.self.name}` },
    )
    if (gone) throw unknownMachine(machine)
  }

  /** Makes this machine the first of a fleet. */
  async #found(signal: AbortSignal): Promise<FleetMember> {
    const { clock, random, embedded, fleet } = this.#deps
    const { stateDir, name, settings } = this.#options
    const dir = identityDir(stateDir)
    const addresses = addressesOf(settings, listenAddress(settings).port)
    const key = loadOrMakeMachineKey(dir)
    const wish = { name, addresses, zone: '', labels: {}, version }
    const papers = await foundFleet({ clock, random, state: embedded }, key, wish, { signal })
    new Members(membersPath(stateDir)).update({
      machines: [{ ...recordOf({ ...key, ...wish }), joinedAtMs: clock.wallMs() }],
      removed: [],
      stateKeepers: [key.machineId],
    })
    return fleet.enter(saveIdentity(dir, key, papers))
  }

  /** To etcd, unless the state is there already. */
  async #move(member: FleetMember, signal: AbortSignal): Promise<void> {
    const { clock, random, embedded } = this.#deps
    const { stateDir, settings } = this.#options
    const { keeping, identity } = member
    if (keeping.member.choice.engine !== 'embedded') return
    const { machineId, clusterId } = identity
    const common = { stateDir, clusterId, writer: `machine ${machineId}`, signal }
    if (settings.state !== undefined) {
      const openEngine = async (url: string) => keeping.openExternal(url)
      const options = { ...common, url: settings.state, openEngine }
      await moveToExternal({ clock, random }, keeping.state, embedded, options)
    } else {
      if (findEtcd() === undefined) throw noEtcd()
      const [address] = member.ownAddresses()
      if (address === undefined) throw noAddress()
      await moveToManaged({ clock, random }, keeping.state, embedded, {
        ...common,
        member: keeping.member,
        machineId,
        peerUrl: peerUrlOf(address),
        listenPeer: listenPeer(settings),
        openEngine: async () => keeping.local,
      })
    }
    keeping.follow()
  }

  /** Of a machine that can sign: this one, or one that keeps the state. */
  #inviteAddress(member: FleetMember): string {
    const own = member.keeping.isKeeper ? member.self : undefined
    const keepers = member.members.stateKeepers.map((id) => member.members.byId(id))
    for (const machine of [own, ...keepers]) {
      const [address] = machine?.addresses ?? []
      if (address !== undefined) return address
    }
    const [address] = member.ownAddresses()
    if (address !== undefined) return address
    throw noAddress()
  }

  /** The only machine that keeps the state would take it along, one of too few would stop it. */
  #requireLosable(member: FleetMember, others: readonly MachineRecord[]): void {
    const { stateKeepers } = member.members
    const { machineId } = member.identity
    if (!stateKeepers.includes(machineId)) return
    if (member.keeping.member.choice.engine === 'external') return
    const rest = stateKeepers.filter((id) => id !== machineId)
    if (rest.length === 0) {
      throw new HolonError(
        'conflict',
        `leave: this machine keeps the fleet's state alone, and ${others.length} other machines ` +
          'need it; remove them first (`holon machines remove NAME`), or join a third machine, ' +
          'after which three keep it',
      )
    }
    const up = rest.filter((id) => member.liveness.presence(id).up)
    const needed = quorumOf(stateKeepers.length)
    if (up.length >= needed) return
    throw new HolonError(
      'conflict',
      `leave: of the machines that keep the fleet's state ${needed} must go on, and only ` +
        `${up.length} of the others answer; try again in a minute, or when ` +
        '`holon machines` shows that more of them are up',
      { retryable: true },
    )
  }

  /** Nobody waits half a minute for an engine that is away, and not just changing its leader. */
  async #requireState(member: FleetMember, action: string, signal: AbortSignal): Promise<void> {
    const { unavailableSinceMs: since } = await member.keeping.health(signal)
    if (since === undefined || this.#deps.clock.wallMs() - since < engineAwayMs) return
    throw new HolonError(
      'unavailable',
      `${action}: the fleet's state does not answer; \`holon machines\` says since when. ` +
        'Repeat this when it is back',
      { retryable: true },
    )
  }

  async #forget(member: FleetMember, signal: AbortSignal): Promise<void> {
    const { stateDir } = this.#options
    await member.keeping.abandon(signal)
    removeFile(membersPath(stateDir))
    forgetIdentity(identityDir(stateDir))
  }

  #member(action: string): FleetMember {
    const { member } = this.#deps.fleet
    if (member !== undefined) return member
    throw new HolonError('not_found', `${action}: this machine is on its own`)
  }

  /** After the answer has left. */
  #beginAnew(): void {
    this.#deps.clock.timer(0, () => this.#options.onBeginAnew())
  }
}

function recordOf(
  known: Pick<MachineRecord, 'machineId' | 'name' | 'addresses' | 'publicKey'>,
): MachineRecord {
  const { machineId, name, addresses, publicKey } = known
  return { machineId, name, addresses, publicKey, zone: '', labels: {}, version, joinedAtMs: 0 }
}

const labelName = /^[A-Za-z][\w./-]{0,62}$/
const labelValue = /^[\w./:+-]{0,255}$/
const zonePath = /^(?:[\w.-]+(?:\/[\w.-]+)*)?$/

function checkLabels({ labels = {}, zone }: LabelChange): void {
  for (const [name, value] of Object.entries(labels)) {
    if (!labelName.test(name) || !labelValue.test(value)) {
      throw new HolonError(
        'invalid_argument',
        `${JSON.stringify(`${name}=${value}`)} is no label: letters, digits and . _ - / are`,
      )
    }
  }
  if (zone !== undefined && !zonePath.test(zone)) {
    throw new HolonError(
      'invalid_argument',
      `${JSON.stringify(zone)} is no zone; write a path, like eu/paris/rack3`,
    )
  }
}

function unknownMachine(name: string): HolonError {
  return new HolonError(
    'not_found',
    `there is no machine ${JSON.stringify(name)}; \`holon machines\` lists them`,
  )
}

function noEtcd(): HolonError {
  return new HolonError(
    'unsupported',
    'a fleet keeps its state in etcd, which is not installed here: `apt install etcd-server` ' +
      '(3.4 or later), or use an etcd of yours with `holon up --state etcd://HOST:PORT`',
  )
}

function noAddress(): HolonError {
  return new HolonError(
    'unavailable',
    'this machine has no address that others could reach; `holon up --advertise HOST:PORT` gives one',
    { retryable: false },
  )
}
