import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  type MachineView,
  type MembersView,
  type MemberView,
  planMembers,
  quorumOf,
  votersWished,
} from './plan.ts'

const silentMs = 600_000

function machine(n: number, rest: Partial<MachineView> = {}): MachineView {
  return {
    machineId: `m${n}`,
    name: `n${n}`,
    zone: 'z',
    peerUrl: `https://10.77.0.${n}:4657`,
    up: true,
    forMs: 1_000_000,
    canHost: true,
    ...rest,
  }
}

function member(n: number, rest: Partial<MemberView> = {}): MemberView {
  return {
    memberId: String(1000 + n),
    machineId: `m${n}`,
    peerUrl: `https://10.77.0.${n}:4657`,
    learner: false,
    started: true,
    healthy: true,
    leader: n === 1,
    ...rest,
  }
}

function describe(machines: readonly MachineView[], members: readonly MemberView[]): string {
  const plan = planMembers({ machines, members, silentMs })
  assert.ok((plan.kind === 'task' ? plan.task.reason : plan.reason).length > 10)
  return plan.kind === 'nothing' ? 'nothing' : `${plan.task.kind} ${plan.task.machineId}`
}

test('planMembers() keeps one member for one or two machines', () => {
  assert.equal(describe([machine(1)], [member(1)]), 'nothing')
  assert.equal(describe([machine(1), machine(2)], [member(1)]), 'nothing')
})

test('planMembers() adds a learner, starts it, promotes it', () => {
  const three = [machine(1), machine(2), machine(3)]
  assert.equal(describe(three, [member(1)]), 'add m2')
  const learner = { learner: true, started: false, healthy: false }
  assert.equal(describe(three, [member(1), member(2, learner)]), 'start m2')
  assert.equal(describe(three, [member(1), member(2, { learner: true })]), 'promote m2')
  assert.equal(describe(three, [member(1), member(2)]), 'add m3')
  assert.equal(describe(three, [member(1), member(2), member(3)]), 'nothing')
})

test('planMembers() does not begin to grow when only one machine could be added', () => {
  const three = [machine(1), machine(2), machine(3, { up: false, forMs: 10 })]
  assert.equal(describe(three, [member(1)]), 'nothing')
})

test('planMembers() prefers machines of other zones', () => {
  const fleet = [machine(1), machine(2), machine(3, { zone: 'y' })]
  assert.equal(describe(fleet, [member(1)]), 'add m3')
})

test('planMembers() does not count on machines that cannot run etcd', () => {
  const fleet = [machine(1), machine(2, { canHost: false }), machine(3)]
  assert.equal(describe(fleet, [member(1)]), 'nothing')
})

test('planMembers() replaces a silent member after the bound, not before', () => {
  const four = (forMs: number) => [
    machine(1),
    machine(2),
    machine(3, { up: false, forMs }),
    machine(4),
  ]
  const dead = [member(1), member(2), member(3, { healthy: false })]
  assert.equal(describe(four(silentMs - 1), dead), 'nothing')
  assert.equal(describe(four(silentMs), dead), 'remove m3')
  assert.equal(describe(four(silentMs), [member(1), member(2)]), 'add m4')
})

test('planMembers() waits for a silent member that nobody can replace', () => {
  const three = [machine(1), machine(2), machine(3, { up: false, forMs: silentMs })]
  assert.equal(describe(three, [member(1), member(2), member(3, { healthy: false })]), 'nothing')
})

test('planMembers() changes nothing without a majority', () => {
  const four = [1, 2, 3].map((n) => machine(n, { up: n === 1, forMs: silentMs }))
  const members = [member(1), member(2, { healthy: false }), member(3, { healthy: false })]
  assert.equal(describe([...four, machine(4)], members), 'nothing')
})

test('planMembers() removes members of removed machines and shrinks, the leader last', () => {
  const stranger = member(3, { machineId: undefined })
  const two = [machine(1), machine(2)]
  assert.equal(describe(two, [member(1), member(2), stranger]), 'remove undefined')
  assert.equal(describe(two, [member(1), member(2)]), 'remove m2')
})

test('planMembers() tells the others first where a machine is now', () => {
  const fleet = [machine(1, { peerUrl: 'https://10.0.0.9:4657' })]
  assert.equal(describe(fleet, [member(1)]), 'readdress m1')
})

/** A fleet with any past: members of machines up or down, learners, strangers. */
const anyView: fc.Arbitrary<MembersView> = fc
  .array(
    fc.record({
      up: fc.boolean(),
      silent: fc.boolean(),
      zone: fc.constantFrom('a', 'b'),
      canHost: fc.boolean(),
      role: fc.constantFrom('none', 'voter', 'voter', 'learner', 'stranger'),
      started: fc.boolean(),
      healthy: fc.boolean(),
      moved: fc.nat(9).map((n) => n === 0),
    }),
    { minLength: 1, maxLength: 9 },
  )
  .map((rows) => {
    const machines: MachineView[] = []
    const members: MemberView[] = []
    rows.forEach(({ up, silent, zone, canHost, role, started, healthy, moved }, index) => {
      const n = index + 1
      const forMs = silent ? silentMs : 5
      const peerUrl = `https://10.77.${moved ? 1 : 0}.${n}:4657`
      if (role !== 'stranger') machines.push(machine(n, { up, forMs, zone, canHost, peerUrl }))
      if (role === 'none') return
      const learner = role === 'learner' && !members.some((each) => each.learner)
      const ok = up && healthy && (started || !learner)
      const machineId = role === 'stranger' ? undefined : `m${n}`
      members.push(member(n, { machineId, learner, started, healthy: ok, leader: false }))
    })
    return { machines, members, silentMs }
  })

test('planMembers() never leaves a majority that is not known to be healthy', () => {
  fc.assert(
    fc.property(anyView, (view) => {
      const plan = planMembers(view)
      if (plan.kind === 'nothing') return
      const { kind, memberId, machineId } = plan.task
      const voters = view.members.filter((each) => !each.learner)
      const healthy = voters.filter((each) => each.healthy).length
      const target = view.members.find((each) => each.memberId === memberId)
      if (kind === 'remove' && target?.learner === false) {
        const rest = healthy - (target.healthy ? 1 : 0)
        assert.ok(rest >= quorumOf(voters.length - 1), 'a removal breaks the majority')
      }
      if (kind === 'promote') {
        assert.ok(target?.learner === true && target.healthy && target.started)
        assert.ok(healthy + 1 >= quorumOf(voters.length + 1), 'a promotion breaks the majority')
      }
      if (kind === 'add') {
        assert.ok(healthy === voters.length, 'a member does not answer')
        assert.ok(!view.members.some((each) => each.learner), 'two changes at once')
        const candidate = view.machines.find((each) => each.machineId === machineId)
        assert.ok(candidate?.up === true && candidate.canHost)
        assert.ok(voters.length < votersWished(view.machines.length))
      }
    }),
    { numRuns: 5000 },
  )
})

/** What etcd and the machines make of a task, with everything in it going well. */
function apply(view: MembersView): MembersView | undefined {
  const plan = planMembers(view)
  if (plan.kind === 'nothing') return undefined
  const { kind, memberId, machineId, peerUrl } = plan.task
  const change = (rest: Partial<MemberView>) =>
    view.members.map((each) => (each.memberId === memberId ? { ...each, ...rest } : each))
  switch (kind) {
    case 'add': {
      const fresh = { learner: true, started: false, healthy: false, leader: false, peerUrl }
      const n = Number(machineId?.slice(1))
      return { ...view, members: [...view.members, member(n, fresh)] }
    }
    case 'start':
      return { ...view, members: change({ started: true, healthy: true }) }
    case 'promote':
      return { ...view, members: change({ learner: false }) }
    case 'readdress':
      return { ...view, members: change({ peerUrl }) }
    case 'remove':
      return { ...view, members: view.members.filter((each) => each.memberId !== memberId) }
  }
}

test('planMembers() comes to rest, at the wished number when all machines are up', () => {
  fc.assert(
    fc.property(anyView, fc.boolean(), (start, allUp) => {
      let view = start
      if (allUp) {
        const machines = start.machines.map((each) => ({ ...each, up: true, canHost: true }))
        const members = start.members
          .filter((each) => each.machineId !== undefined)
          .map((each) => ({ ...each, started: true, healthy: true }))
        view = { ...start, machines, members }
      }
      let steps = 0
      for (let next = apply(view); next !== undefined; next = apply(view)) {
        view = next
        steps += 1
        assert.ok(steps < 60, `it goes round: ${JSON.stringify(view)}`)
      }
      const voters = view.members.filter((each) => !each.learner)
      if (allUp && voters.length > 0) {
        assert.equal(voters.length, votersWished(view.machines.length))
      }
    }),
    { numRuns: 5000 },
  )
})
