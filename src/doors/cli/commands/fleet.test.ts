/**
 * The command line where machines come in: `-m`, placement, the listing of machines. A real agent
 * that is alone, and, for what takes several, a System that says there are.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before, test } from 'node:test'
import type { Command } from 'commander'
import { Agent } from '../../../agent/agent.ts'
import { realClock } from '../../../io/clock.ts'
import { realHost } from '../../../io/host.ts'
import { ownDirectories } from '../../../io/paths.ts'
import { realRandom } from '../../../io/random.ts'
import type { System } from '../../../kernel/kernel.ts'
import type { MachineInfo, StateHealth } from '../../../kernel/types.ts'
import type { CliContext } from '../context.ts'
import { testContext, testState } from '../ps/test-system.ts'
import { command as listTimers } from './list-timers.ts'
import { command as listUnits } from './list-units.ts'
import { command as machines, parseLabels } from './machines.ts'

const root = mkdtempSync(join(tmpdir(), 'holon-cli-fleet-'))
const env = { ...process.env, HOLON_DIR: root, TZ: 'UTC', NO_COLOR: '1' }
let agent: Agent

before(async () => {
  agent = await Agent.start(
    { clock: realClock, random: realRandom, host: realHost(), report: () => {} },
    {
      directories: ownDirectories(env, process.getuid?.() ?? 0),
      machine: 'n1',
      packageDir: resolve('.'),
      forceShKeeper: true,
      onEnd: () => {},
    },
  )
})
after(async () => {
  await agent[Symbol.asyncDispose]()
  rmSync(root, { recursive: true, force: true })
})

/** In the background: the agent is in this process and has to go on. */
async function holon(...args: readonly string[]) {
  const child = spawn(process.execPath, [resolve('scripts/dev.ts'), ...args], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let out = ''
  let err = ''
  child.stdout.on('data', (bytes: Buffer) => {
    out += bytes.toString()
  })
  child.stderr.on('data', (bytes: Buffer) => {
    err += bytes.toString()
  })
  const status = await new Promise((done) => child.once('close', (code) => done(code)))
  return { status, out, err }
}

test('-m before or after the command chooses machines, and names what there is not', async () => {
  for (const args of [
    ['-m', 'n1', 'run', 'echo', 'hi'],
    ['run', '-m', 'n1', 'echo', 'hi'],
    ['--timeout', '20s', '--machine=n[1-2]', 'run', 'echo', 'hi'],
    ['-mn*', 'run', 'echo', 'hi'],
  ]) {
    assert.deepEqual(await holon(...args), { status: 0, out: 'hi\n', err: '' }, args.join(' '))
  }
  // What belongs to the program is left to it.
  assert.equal((await holon('run', 'echo', '-m', 'n9')).out, '-m n9\n')
  for (const [args, status] of [
    [['-m', 'n9', 'ps', '-e'], 4],
    [['ps', '-m', 'n9'], 4],
    [['status', '-m', 'n9'], 4],
    [['list-units', '-m', 'n9'], 4],
    [['run', '-m', 'n9', 'true'], 125],
  ] as const) {
    const result = await holon(...args)
    assert.equal(result.status, status, `${args.join(' ')}: ${result.err}`)
    assert.match(result.err, /there is no machine "n9"/)
  }
  const refused = await holon('-m', 'n1', 'invite')
  assert.equal(refused.status, 2)
  assert.match(refused.err, /leave --machine out/)
  assert.equal((await holon('-m')).status, 2)
})

test('run --explain says where and why, --dry-run only that', async () => {
  const explained = await holon('run', '--explain', '--require', 'cpus>=1', 'echo', 'hi')
  assert.equal(explained.status, 0, explained.err)
  assert.equal(explained.out, 'hi\n')
  assert.match(explained.err, /^holon: on n1: .+\nMACHINE +SCORE +WHY\nn1 +\d+\.\d\d +\S/)
  const dry = await holon('run', '--dry-run', 'echo', 'hi')
  assert.deepEqual([dry.status, dry.out], [0, ''])
  const nowhere = await holon('run', '--dry-run', '--require', 'cpus>=100000', 'true')
  assert.equal(nowhere.status, 125)
  assert.match(nowhere.err, /no machine fits/)
  const odd = await holon('run', '--each', '-t', 'true')
  assert.deepEqual([odd.status, odd.out], [125, ''])
})

test('run --each works with one machine, too', async () => {
  const result = await holon('run', '--each', 'sh', '-c', 'echo hi; exit 2')
  assert.deepEqual(result, {
    status: 2,
    out: 'n1 | hi\n',
    err: 'holon: 0 of 1 machines: exit 0; n1: exit 2\n',
  })
  const detached = await holon('run', '--each', '-d', 'true')
  const [name, id = ''] = detached.out.trim().split(' ')
  assert.equal(name, 'n1')
  assert.equal((await holon('wait', id)).status, 0)
})

test('join wants a token from one place, and remove wants a yes', async () => {
  const table: readonly (readonly [readonly string[], number, RegExp])[] = [
    [['join', 'h:1'], 2, /a token is needed/],
    [['join', 'h:1', 'T', '--token-file', 'F'], 2, /a token is needed/],
    [['join', 'h:1', '-'], 2, /stdin holds no token/],
    [['join', 'h:1', 'T', '--label', 'x'], 2, /"x" is no label/],
    [['invite', '--uses', '0'], 2, /a number from 1/],
    [['invite', '--ttl', 'soon'], 2, /--ttl "soon"/],
    [['machines', 'remove', 'n3'], 2, /Say --yes/],
    [['machines', 'remove'], 2, /missing required argument/],
    [['leave'], 2, /Say --yes/],
  ]
  for (const [args, status, message] of table) {
    const result = await holon(...args)
    assert.equal(result.status, status, `${args.join(' ')}: ${result.err}`)
    assert.match(result.err, message)
  }
})

test('what is for a fleet says on a machine on its own how there comes to be one', async () => {
  for (const args of [['drain', 'n1'], ['cordon', 'n1'], ['uncordon', 'n1'], ['events']]) {
    const { status, err } = await holon(...args)
    assert.match(err, /this machine is on its own; `holon invite` makes it the first/)
    assert.notEqual(status, 0, args.join(' '))
  }
  for (const args of [
    ['scale', 'none=2'],
    ['rollout', 'status', 'none'],
    ['why', 'none'],
  ]) {
    const { status, err } = await holon(...args)
    assert.match(err, /there is no unit "none"/)
    assert.equal(status, 4, args.join(' '))
  }
  assert.match((await holon('why', 'n1')).out, /^n1 is up\n/)
})

const nowMs = realClock.wallMs()
const up: MachineInfo = {
  name: 'n1',
  id: 'abc',
  status: 'up',
  zone: 'eu/paris',
  labels: { disk: 'ssd', a: 'b' },
  addresses: ['10.77.0.1:4656'],
  keepsState: true,
  lastSeenAtMs: nowMs,
  report: {
    atMs: nowMs,
    version: '0.1.0',
    arch: 'x86_64',
    hostname: 'n1',
    bootId: 'b',
    cpuCount: 8,
    memoryBytes: 4 * 1024 ** 3,
    memoryAvailableBytes: 3 * 1024 ** 3,
    load1: 0.5,
    units: 2,
    canKeepState: true,
    upSinceMs: nowMs - 3 * 86_400_000 - 3_700_000,
    agentPid: 1,
    agentSinceMs: nowMs,
  },
}
const down: MachineInfo = {
  ...up,
  name: 'n2',
  status: 'down',
  zone: '',
  labels: {},
  lastSeenAtMs: nowMs - 60_000,
}
const { report: _, ...unknown } = { ...down, name: 'n3', status: 'suspect' as const }

async function list(state: StateHealth, all: readonly MachineInfo[], ...args: readonly string[]) {
  const system = { machines: async () => ({ machines: all, state }) }
  const { context, printed } = testContext(system as unknown as System)
  const make: (context: CliContext) => Command = machines
  await make(context)
    .exitOverride()
    .parseAsync([...args], { from: 'user' })
  return printed
}

test('machines shows what is known, and of machines that are away only what stays true', async () => {
  const { out, err, status } = await list(testState, [up, down, unknown])
  const words = out
    .trimEnd()
    .split('\n')
    .map((line) => line.split(/ {2,}/))
  assert.deepEqual(words, [
    ['NAME', 'STATUS', 'ZONE', 'CPU', 'MEM', 'LOAD', 'UNITS', 'VERSION', 'AGE'],
    ['n1', 'up', 'eu/paris', '8', '1.0G/4.0G', '0.50', '2', '0.1.0', '3d 1h'],
    ['n2', 'down', '-', '8', '-/4.0G', '-', '-', '0.1.0', '-'],
    ['n3', 'suspect', '-', '-', '-', '-', '-', '-', '-'],
  ])
  assert.equal(err, '')
  assert.equal(status, 4)
  const state = { ...testState, leader: 'n1' }
  const wide = await list(state, [up, down], '-o', 'wide')
  assert.match(wide.out, /ID +ROLES +ADDRESS +LABELS +LAST SEEN\n/)
  assert.match(wide.out, /abc +leader,state +10\.77\.0\.1:4656 +a=b,disk=ssd +now\n/)
  assert.match(wide.out, /abc +state +10\.77\.0\.1:4656 +- +1 min ago\n/)
  assert.equal((await list(testState, [up])).status, 0)
  const cordoned: MachineInfo = { ...up, intent: { wish: 'cordoned', sinceMs: 1, by: 'uid 0' } }
  assert.match((await list(testState, [cordoned])).out, /\nn1 +up,cordoned +eu/)
  assert.deepEqual(JSON.parse((await list(testState, [up], '--json')).out), [up])
})

test('machines says since when the state is unavailable, and what its engine notes', async () => {
  const state = {
    engine: 'etcd, 3 members',
    unavailableSinceMs: realClock.wallMs() - 12_000,
    notes: ['n2 is needed.'],
  }
  const { err, status } = await list(state, [up])
  assert.match(
    err,
    /^holon: the state \(etcd, 3 members\) is unavailable since [\d:]{8}, 1\d s ago: .*\nholon: note: n2 is needed\.\n$/,
  )
  assert.equal(status, 0)
})

test('list-units and list-timers say what they lack while the state does not answer', async () => {
  const stateUnavailable = "the fleet's state does not answer: timers are not listed"
  for (const make of [listUnits, listTimers]) {
    const listing = { units: [], missing: [], stateUnavailable }
    const system = { units: async () => listing } as unknown as System
    const { context, printed } = testContext(system)
    await make(context).exitOverride().parseAsync([], { from: 'user' })
    assert.deepEqual([printed.err, printed.status], [`holon: ${stateUnavailable}\n`, 4])
  }
})

test('parseLabels() takes labels and the zone apart', () => {
  assert.deepEqual(parseLabels(['zone=eu/paris', 'disk=ssd', 'gone=', 'eq=a=b']), {
    zone: 'eu/paris',
    labels: { disk: 'ssd', gone: '', eq: 'a=b' },
  })
  assert.deepEqual(parseLabels(['zone=']), { zone: '' })
  for (const bad of ['x', '=x', 'a b=c']) {
    assert.throws(() => parseLabels([bad]), { code: 'invalid_argument' })
  }
})
