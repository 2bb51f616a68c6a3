/**
 * `holon run --each` with real programs: several machines that are all this one, behind a System
 * that gives them names and lets some be away.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before, test } from 'node:test'
import { Agent } from '../../../agent/agent.ts'
import { abortError } from '../../../base/clock.ts'
import { HolonError } from '../../../base/errors.ts'
import { realClock } from '../../../io/clock.ts'
import { realHost } from '../../../io/host.ts'
import { callerSocket, ownDirectories } from '../../../io/paths.ts'
import { realRandom } from '../../../io/random.ts'
import type { Run, System } from '../../../kernel/kernel.ts'
import type { CallOptions, PlacementAnswer, RunSpec } from '../../../kernel/types.ts'
import { connect, type Holon } from '../../sdk/connect.ts'
import { testContext, testState } from '../ps/test-system.ts'
import { runEach } from './each.ts'

const root = mkdtempSync(join(tmpdir(), 'holon-each-'))
const directories = ownDirectories({ HOLON_DIR: root }, process.getuid?.() ?? 0)
let agent: Agent
let holon: Holon

before(async () => {
  agent = await Agent.start(
    { clock: realClock, random: realRandom, host: realHost(), report: () => {} },
    {
      directories,
      machine: 'n1',
      packageDir: resolve('.'),
      forceShKeeper: true,
      onEnd: () => {},
    },
  )
  holon = await connect({
    socketPath: callerSocket(directories.runtimeDir, process.getuid?.() ?? 0),
  })
})
after(async () => {
  await holon[Symbol.asyncDispose]()
  await agent[Symbol.asyncDispose]()
  rmSync(root, { recursive: true, force: true })
})

interface Fake {
  readonly names: readonly string[]
  /** Cannot be reached when asked to run something. */
  readonly away?: readonly string[]
  /** Takes the question and never answers. */
  readonly silent?: readonly string[]
  /** Known to be down before. */
  readonly down?: readonly string[]
  readonly place?: PlacementAnswer
}

/** Each program is told by $MACHINE where it is. */
function system({ names, away = [], silent = [], down = [], place }: Fake): System {
  // Whether it is silent shows after it was chosen.
  let looks = 0
  const statusOf = (name: string) => {
    if (down.includes(name)) return 'down'
    return silent.includes(name) && looks > 1 ? 'suspect' : 'up'
  }
  const part = (name: string) => ({
    run: async (spec: RunSpec, options: CallOptions): Promise<Run> => {
      if (silent.includes(name)) {
        return new Promise((_, reject) => {
          options.signal.addEventListener('abort', () => reject(abortError(options.signal)))
        })
      }
      if (away.includes(name)) throw new HolonError('unavailable', `${name} cannot be reached`)
      const env = { ...spec.env, MACHINE: name }
      return await holon.system.run({ ...spec, env }, options)
    },
  })
  return {
    machines: async () => {
      looks += 1
      return { machines: names.map((name) => ({ name, status: statusOf(name) })), state: testState }
    },
    part: async (name: string) => part(name),
    place: async () => place,
  } as unknown as System
}

async function each(fake: Fake, script: string, more: Partial<RunSpec> & { json?: boolean } = {}) {
  const { json = false, ...wish } = more
  const { context, printed } = testContext(system(fake))
  const spec: RunSpec = {
    argv: ['sh', '-c', script],
    env: { PATH: process.env['PATH'] ?? '' },
    cwd: '/',
    stdin: 'null',
    detached: false,
    ...wish,
  }
  await runEach(context, spec, { explain: false, dryRun: false, json })
  return printed
}

const sorted = (text: string) => text.trimEnd().split('\n').sort()

test('runEach() prefixes whole lines, keeps stderr apart, and sums up', async () => {
  const fake = { names: ['n1', 'n10', 'n2'], away: ['n2'] }
  const { out, err, status } = await each(fake, 'printf "a\\nb"; echo oh >&2')
  assert.deepEqual(sorted(out), ['n1  | a', 'n1  | b', 'n10 | a', 'n10 | b'])
  assert.deepEqual(sorted(err), [
    'holon: 2 of 3 machines: exit 0; n2 unreachable',
    'n1  | oh',
    'n10 | oh',
  ])
  assert.equal(status, 4)
})

test('runEach() never tears a line, however many write at once', async () => {
  const names = Array.from({ length: 12 }, (_, i) => `m${i + 10}`)
  const script =
    'i=0; while [ $i -lt 300 ]; do printf "$MACHINE-"; printf "$i-xxxxxxxxxxxx\\n"; i=$((i+1)); done'
  const { out, status } = await each({ names }, script)
  assert.equal(status, 0)
  const lines = out.trimEnd().split('\n')
  assert.equal(lines.length, 300 * names.length)
  for (const name of names) {
    const own = lines.filter((line) => line.startsWith(`${name} | `))
    assert.deepEqual(
      own,
      own.map((_, i) => `${name} | ${name}-${i}-xxxxxxxxxxxx`),
    )
  }
})

test('runEach() waits no longer for a machine that the fleet finds silent', async () => {
  const fake = { names: ['n1', 'n2'], silent: ['n2'] }
  const startMs = realClock.nowMs()
  const { out, err, status } = await each(fake, 'sleep 3; echo here')
  assert.equal(out, 'n1 | here\n')
  assert.equal(err, 'holon: 1 of 2 machines: exit 0; n2 unreachable\n')
  assert.equal(status, 4)
  assert.ok(realClock.nowMs() - startMs < 9_000, 'the fleet knew long before the timeout')
  const detached = await each(fake, 'true', { detached: true })
  assert.match(detached.err, /n2: lost, how it ended is not known/)
})

test('runEach() exits with the largest status, and tells all of them as JSON', async () => {
  const script = 'case $MACHINE in n2) exit 3;; n3) kill -9 $$;; esac'
  const fake = { names: ['n1', 'n2', 'n3', 'n4'], down: ['n4'] }
  const { out, err, status } = await each(fake, script, { json: true })
  assert.equal(status, 137)
  assert.match(err, /1 of 4 machines: exit 0; n2: exit 3; n3: SIGKILL; n4 unreachable\n$/)
  const statuses = (JSON.parse(out) as { machine: string; status: number }[]).map((each) => [
    each.machine,
    each.status,
  ])
  assert.deepEqual(statuses, [
    ['n1', 0],
    ['n2', 3],
    ['n3', 137],
    ['n4', null],
  ])
})

test('runEach() with --require runs where it fits and names no others', async () => {
  const place: PlacementAnswer = {
    machine: 'n2',
    why: 'it fits',
    candidates: [
      { machine: 'n1', why: 'arch is x86_64' },
      { machine: 'n2', score: 1, why: 'load 0' },
    ],
    missing: [{ machine: 'n3', code: 'deadline_exceeded' }],
  }
  const { out, err, status } = await each({ names: ['n1', 'n2'], place }, 'echo here', {
    require: 'cpus>=1',
  })
  assert.equal(out, 'n2 | here\n')
  assert.equal(err, 'holon: 1 of 2 machines: exit 0; n3 silent\n')
  assert.equal(status, 4)
})

test('runEach() sends signals to all, and what has not begun then never does', async () => {
  const names = Array.from({ length: 70 }, (_, i) => `m${i}`)
  const { context, printed } = testContext(system({ names }))
  let begun = 0
  const stdout = {
    write: (text: Buffer | string, done?: () => void) => {
      begun += text.toString().split('\n').length - 1
      // Once as many run as may, we are asked to end, as by Ctrl-C.
      if (begun === 64) process.kill(process.pid, 'SIGINT')
      done?.()
      return true
    },
  }
  const spec: RunSpec = {
    argv: ['sh', '-c', 'echo here; exec sleep 60'],
    env: { PATH: process.env['PATH'] ?? '' },
    cwd: '/',
    stdin: 'null',
    detached: false,
  }
  await runEach({ ...context, stdout: stdout as unknown as NodeJS.WriteStream }, spec, {
    explain: false,
    dryRun: false,
    json: false,
  })
  assert.equal(begun, 64)
  assert.equal(printed.status, 130)
  assert.match(printed.err, /^holon: 0 of 70 machines: exit 0; .*: SIGINT; .*: not started\n$/)
})
