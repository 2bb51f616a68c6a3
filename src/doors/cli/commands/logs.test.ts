/** `holon logs` as a person uses it: a real agent, a real program, the real command line. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before, test } from 'node:test'
import { Agent } from '../../../agent/agent.ts'
import { deadline } from '../../../base/clock.ts'
import { realClock } from '../../../io/clock.ts'
import { realHost } from '../../../io/host.ts'
import { ownDirectories } from '../../../io/paths.ts'
import { realRandom } from '../../../io/random.ts'

const root = mkdtempSync(join(tmpdir(), 'holon-cli-logs-'))
const env = { ...process.env, HOLON_DIR: root, TZ: 'UTC', NO_COLOR: '1' }
const cli = resolve('scripts/dev.ts')
let agent: Agent

async function startAgent(): Promise<Agent> {
  return await Agent.start(
    { clock: realClock, random: realRandom, host: realHost(), report: () => {} },
    {
      directories: ownDirectories(env, process.getuid?.() ?? 0),
      machine: 'n1',
      packageDir: resolve('.'),
      forceShKeeper: true,
      onEnd: () => {},
    },
  )
}

/** In the background: the agent is in this process and has to go on. */
async function holon(...args: readonly string[]) {
  const child = spawn(process.execPath, [cli, ...args], { env })
  const out: string[] = ['', '']
  child.stdout.on('data', (bytes: Buffer) => {
    out[0] += bytes.toString()
  })
  child.stderr.on('data', (bytes: Buffer) => {
    out[1] += bytes.toString()
  })
  const status = await new Promise((done) => child.once('close', (code) => done(code)))
  return { status, stdout: out[0] ?? '', stderr: out[1] ?? '' }
}

async function eventually(look: () => boolean, message: () => string): Promise<void> {
  using limit = deadline(realClock, 20_000)
  while (!look()) {
    if (limit.signal.aborted) assert.fail(message())
    await new Promise((done) => setTimeout(done, 20))
  }
}

let run = ''
before(async () => {
  agent = await startAgent()
  const script = 'i=0; while :; do echo line $i; echo err $i >&2; i=$((i+1)); sleep 0.05; done'
  const started = await holon('run', '-d', 'sh', '-c', script)
  assert.equal(started.status, 0, started.stderr)
  run = started.stdout.trim()
  let text = ''
  while (!text.includes('line 5')) text = (await holon('logs', run)).stdout
})
after(async () => {
  await holon('runs', '--stop', run)
  await agent[Symbol.asyncDispose]()
  rmSync(root, { recursive: true, force: true })
})

test('holon logs shows a run by its id, in journalctl’s formats', async () => {
  const all = await holon('logs', `run/${run}`)
  assert.equal(all.status, 0, all.stderr)
  const first = all.stdout.split('\n')[0] ?? ''
  assert.match(
    first,
    new RegExp(`^\\w{3} \\d\\d \\d\\d:\\d\\d:\\d\\d n1 run/${run}: (line|err) 0$`),
  )
  const cat = await holon('logs', run, '-o', 'cat', '--stdout')
  assert.ok(cat.stdout.startsWith('line 0\nline 1\nline 2\n'), cat.stdout)
  const json = await holon('logs', run, '-n', '3', '-o', 'json', '--stderr')
  const entries = json.stdout.trim().split('\n')
  assert.equal(entries.length, 3)
  for (const entry of entries) assert.equal(JSON.parse(entry).stream, 'stderr')
})

test('holon logs -r, -n and --since choose', async () => {
  const reversed = await holon('logs', run, '-r', '-n', '4', '-o', 'cat', '--stdout')
  const numbers = reversed.stdout
    .trim()
    .split('\n')
    .map((text) => Number(text.split(' ')[1]))
  assert.equal(numbers.length, 4)
  assert.deepEqual(
    numbers,
    [...numbers].sort((a, b) => b - a),
  )
  const later = await holon('logs', run, '--since', '+1h')
  assert.deepEqual([later.status, later.stdout], [0, ''])
  const usage = await holon('logs', '--disk-usage')
  assert.match(usage.stdout, /^Logs take up .+ in \d+ files\.\n$/)
})

test('holon logs tells what is wrong', async () => {
  const table: readonly (readonly [readonly string[], number, RegExp])[] = [
    [['logs'], 2, /name one unit or run/],
    [['logs', 'nothing'], 4, /no unit "nothing"/],
    [['logs', 'run/zzz'], 4, /no run "zzz"/],
    [['logs', run, '-f', '-r'], 2, /-f .* -r/],
    [['logs', run, '-n', 'x'], 2, /a number or "all"/],
    [['logs', run, '--since', 'soon'], 2, /--since "soon"/],
    [['logs', run, '-o', 'xml'], 2, /short-iso/],
  ]
  for (const [args, status, message] of table) {
    const result = await holon(...args)
    assert.equal(result.status, status, `${args.join(' ')}: ${result.stderr}`)
    assert.match(result.stderr, message)
  }
})

test('holon logs -f goes on when the agent is restarted, without a gap, until Ctrl-C', async () => {
  const args = [cli, 'logs', '-f', '-n', '1', '-o', 'cat', '--stdout', run]
  const child = spawn(process.execPath, args, { env })
  let out = ''
  let err = ''
  child.stdout.on('data', (bytes: Buffer) => {
    out += bytes.toString()
  })
  child.stderr.on('data', (bytes: Buffer) => {
    err += bytes.toString()
  })
  const lines = () => out.split('\n').slice(0, -1)
  await eventually(
    () => lines().length >= 5,
    () => `nothing comes: ${out} ${err}`,
  )
  await agent[Symbol.asyncDispose]()
  await eventually(
    () => err.includes('does not answer'),
    () => `no notice: ${err}`,
  )
  agent = await startAgent()
  const before = lines().length
  await eventually(
    () => lines().length >= before + 20,
    () => `nothing comes again: ${err}`,
  )
  child.kill('SIGINT')
  const [code, signal] = await new Promise<readonly [number | null, string | null]>((done) =>
    child.once('close', (...end) => done(end)),
  )
  assert.ok(code === 130 || signal === 'SIGINT', `${code} ${signal}`)
  const numbers = lines().map((text) => Number(text.split(' ')[1]))
  const [first = 0] = numbers
  assert.deepEqual(
    numbers,
    numbers.map((_, index) => first + index),
  )
  assert.equal(err.split('does not answer').length, 2, err)
})
