/**
 * kill -9 of agents at random moments of a first invitation, which founds a fleet and moves its
 * state to etcd, and of a join: the same commands succeed afterwards, nothing is lost, units go on.
 * Needs root. HOLON_SEED chooses the moments.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { start } from './fleet-support.ts'
import { Lab, labName, type Machine, noLab } from './harness.ts'
import {
  agentHostPid,
  invite,
  joinBy,
  machinesOf,
  type Pass,
  untilReached,
  untilSeen,
} from './join-support.ts'

const name = labName('join-interrupted')
const rounds = 8
/** About as long as the work that is interrupted takes, with the start of the command. */
const withinMs = 1_600

/** Numerical Recipes' generator: good enough to choose moments, and repeatable. */
function moments(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return (state / 2 ** 32) * withinMs
  }
}

async function killAgent(lab: Lab, machine: Machine): Promise<void> {
  const pid = agentHostPid(lab, machine.name)
  process.kill(pid, 'SIGKILL')
  await lab.until(`the agent of ${machine.name} is gone`, () => {
    try {
      return agentHostPid(lab, machine.name) !== pid
    } catch {
      return true
    }
  })
}

async function interruptedInvite(lab: Lab, n1: Machine, afterMs: number): Promise<Pass> {
  const running = start(n1, ['invite', '--json', '--uses', '2'])
  await sleep(afterMs)
  await killAgent(lab, n1)
  const { status, stdout, stderr } = await running.endsWithin(60_000, 'the invitation ends')
  // Never half of an answer.
  if (status !== 0) assert.match(stderr, /^holon: /, stdout)
  await n1.ok(['up'])
  return invite(n1, '--uses', '2')
}

async function interruptedJoin(
  lab: Lab,
  pass: Pass,
  { joiner, victim }: { readonly joiner: Machine; readonly victim: Machine },
  afterMs: number,
): Promise<void> {
  const running = joinBy(joiner, pass)
  await sleep(afterMs)
  await killAgent(lab, victim)
  const first = await running
  await victim.ok(['up'])
  const again = await joinBy(joiner, pass)
  const isIn = again.status === 0 || /in a fleet already/.test(again.stderr)
  assert.ok(isIn, `${JSON.stringify(first)}, then ${JSON.stringify(again)}`)
}

test('kill -9 in the middle of invite and join: they succeed afterwards, nothing is lost', {
  skip: noLab,
}, async () => {
  const seed = Number(process.env['HOLON_SEED'] ?? Date.now() % 1_000_000)
  const next = moments(seed)
  const told: string[] = []
  await Lab.with(2, { name, join: false }, async (lab) => {
    const [n1, n2] = [lab.machine('n1'), lab.machine('n2')]
    await n1.shell(`printf '[Service]\\nExecStart=/bin/sleep 4250\\n' >/root/stay.service`)
    await n1.ok(['enable', '--now', '/root/stay.service'])
    const unitPid = async () => (await n1.shell('pgrep -fx "/bin/sleep 4250"')).stdout
    const pid = await unitPid()
    assert.match(pid, /^\d+\n$/)
    for (let round = 1; round <= rounds; round++) {
      const [inviteMs, joinMs] = [next(), next()]
      const victim = round % 2 === 0 ? n1 : n2
      told.push(`${inviteMs.toFixed()} ms, ${joinMs.toFixed()} ms of ${victim.name}`)
      const context = `seed ${seed}: ${told.join('; ')}`
      try {
        await n1.ok(['machines', 'label', 'n1', `round=${round}`])
        const pass = await interruptedInvite(lab, n1, inviteMs)
        const rows = await machinesOf(n1)
        assert.deepEqual(rows?.[0]?.labels, { round: String(round) })
        await interruptedJoin(lab, pass, { joiner: n2, victim }, joinMs)
        await untilSeen(lab, ['n1', 'n2'])
        await untilReached(lab, ['n1'], ['n2'])
        await untilReached(lab, ['n2'], ['n1'])
        const state = await n2.json<readonly { name: string; labels: object }[]>([
          'machines',
          '--json',
        ])
        assert.deepEqual(state.find((row) => row.name === 'n1')?.labels, { round: String(round) })
        assert.equal(await unitPid(), pid)
        await n2.ok(['leave', '--yes'])
        await n1.ok(['leave', '--yes'])
      } catch (error) {
        throw new Error(`${context}\n${error instanceof Error ? error.stack : error}`, {
          cause: error,
        })
      }
    }
  })
})
