/** `ps`, `kill`, `pgrep`, `pkill` and `top` as a whole, on the real processes of this machine. */
import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { Command } from 'commander'
import { realClock } from '../../../io/clock.ts'
import { ProcFs } from '../../../io/proc.ts'
import type { CliContext } from '../context.ts'
import { type TestSystemOptions, testContext, testSystem } from '../ps/test-system.ts'
import { command as kill } from './kill.ts'
import { pgrep, pkill } from './pgrep.ts'
import { command as ps } from './ps.ts'
import { command as top } from './top.ts'

const proc = new ProcFs()

async function holon(
  make: (context: CliContext) => Command,
  args: readonly string[],
  options: TestSystemOptions = {},
): Promise<{ out: string; err: string; status: number }> {
  const { context, printed } = testContext(testSystem(options))
  await make(context)
    .exitOverride()
    .parseAsync([...args], { from: 'user' })
  return printed
}

/** A sleeping process under a name of its own; ended with the test. */
async function sleeper(t: TestContext, name: string): Promise<ChildProcess & { pid: number }> {
  const dir = mkdtempSync(join(tmpdir(), 'holon-ps-'))
  copyFileSync('/bin/sleep', join(dir, name))
  const child = spawn(join(dir, name), ['60'], { stdio: 'ignore' })
  t.after(() => {
    child.kill('SIGKILL')
    rmSync(dir, { recursive: true, force: true })
  })
  const { pid } = child
  assert.ok(pid !== undefined)
  await until('executed', () => proc.stat(pid)?.comm === name.slice(0, 15))
  return child as ChildProcess & { pid: number }
}

async function until(what: string, holds: () => boolean): Promise<void> {
  const endMs = realClock.nowMs() + 15_000
  while (!holds()) {
    assert.ok(realClock.nowMs() < endMs, `not within 15 s: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

function ended(child: ChildProcess): Promise<string | null> {
  if (child.signalCode !== null) return Promise.resolve(child.signalCode)
  return new Promise((resolve) => child.once('exit', (_code, signal) => resolve(signal)))
}

test('ps prints what procps prints, for a process that stays as it is', async (t) => {
  const { pid } = await sleeper(t, 'odd (name) x')
  for (const columns of [
    'pid,ppid,pgid,sid,uid,gid,user,group,comm,args',
    'tty,s,nlwp,ni,pri,vsz,rss,sz,time,bsdtime',
    'lstart,start,bsdstart,stime,start_time',
    'pid=,args=',
    'pid=ONE,comm=TWO',
  ]) {
    const ours = await holon(ps, ['-p', String(pid), '-o', columns])
    const theirs = execFileSync('ps', ['-ww', '-p', String(pid), '-o', columns], {
      encoding: 'utf8',
    })
    const words = (text: string) =>
      text.split('\n').map((line) => line.trim().split(/\s+/).join(' '))
    assert.deepEqual(words(ours.out), words(theirs))
    assert.equal(ours.status, 0)
  }
})

test('ps shows units, selects by machine, and says 1 when there is nothing', async (t) => {
  const { pid } = await sleeper(t, 'unit-child')
  const unitsByKeeper = new Map([[process.pid, 'web.service/2']])
  const row = await holon(ps, ['-o', 'id=,unit=', '-p', `n1:${pid}`], { unitsByKeeper })
  assert.equal(row.out.trim().replace(/ +/g, ' '), `n1:${pid} web.service/2`)
  assert.equal((await holon(ps, ['-p', `n2:${pid}`])).status, 1)
  assert.equal((await holon(ps, ['-m', 'n1', '-p', String(pid)])).status, 0)
  await assert.rejects(holon(ps, ['-m', 'n9', '-e']), { code: 'not_found' })
})

test('ps prints JSON that is complete and sorted', async (t) => {
  const { pid } = await sleeper(t, 'json-child')
  const { out } = await holon(ps, ['-e', '-o', 'json', '--sort', '-pid'])
  const rows = JSON.parse(out) as { pid: number; args: string[]; comm: string }[]
  const own = rows.find((row) => row.pid === pid)
  assert.equal(own?.comm, 'json-child')
  assert.deepEqual(own?.args.slice(1), ['60'])
  const pids = rows.map((row) => row.pid)
  assert.deepEqual(
    pids,
    [...pids].sort((a, b) => b - a),
  )
  const lines = (await holon(ps, ['-e', '-o', 'jsonl'])).out.trimEnd().split('\n')
  assert.ok(lines.some((line) => (JSON.parse(line) as { pid: number }).pid === pid))
})

test('ps and pgrep name the machines that did not answer, and say 4', async () => {
  const missing = [
    { machine: 'n4', code: 'unavailable' as const },
    {
      machine: 'n5',
      code: 'deadline_exceeded' as const,
      lastSeenAtMs: realClock.wallMs() - 12_500,
    },
  ]
  for (const run of [holon(ps, ['-e'], { missing }), holon(pgrep, ['.'], { missing })]) {
    const { out, err, status } = await run
    assert.ok(out.length > 0)
    assert.match(
      err,
      /^holon: 1 of 3 machines answered; n4 unreachable, n5 silent \(last seen [\d:]{8}, 1\d s ago\)\n$/,
    )
    assert.equal(status, 4)
  }
})

test('kill sends signals to processes and runs, and goes on after one that fails', async (t) => {
  const one = await sleeper(t, 'kill-one')
  const two = await sleeper(t, 'kill-two')
  const runs: unknown[] = []
  const onRunSignal = (id: string, signal: string | number) => runs.push([id, signal])
  const targets = [`n1:${one.pid}`, 'n9:1', 'nonsense', 'run/k3x', String(two.pid)]
  const { out, err, status } = await holon(kill, ['-USR1', ...targets], { onRunSignal })
  assert.equal(out, '')
  assert.equal(status, 1)
  assert.match(err, /^holon: kill n9:1: there is no machine "n9"\nholon: kill nonsense: .*\n$/)
  assert.equal(await ended(one), 'SIGUSR1')
  assert.equal(await ended(two), 'SIGUSR1')
  assert.deepEqual(runs, [['k3x', 10]])
  assert.match((await holon(kill, [String(one.pid)])).err, /there is no process/)
})

test('kill takes a bare number only where there is one machine', async (t) => {
  const child = await sleeper(t, 'kill-bare')
  const machines = ['n1', 'n2']
  const refused = await holon(kill, [String(child.pid)], { machines })
  assert.equal(refused.status, 1)
  assert.match(refused.err, new RegExp(`like n1:${child.pid}`))
  assert.equal((await holon(kill, ['-0', `n1:${child.pid}`], { machines })).status, 0)
  for (const on of [
    ['-m', 'n1', '-0'],
    ['-0', '--machine=n1'],
  ]) {
    assert.equal((await holon(kill, [...on, String(child.pid)], { machines })).status, 0)
  }
  assert.equal(child.exitCode, null)
})

test('kill -l lists signals and turns them around', async () => {
  assert.match((await holon(kill, ['-l'])).out, /^HUP INT QUIT .* RTMIN/)
  assert.equal((await holon(kill, ['-l', '9', 'HUP'])).out, 'KILL\n1\n')
  assert.match((await holon(kill, ['-L'])).out, /^ 9 SIGKILL$/m)
})

test('pgrep prints ids that kill takes, and pkill signals what pgrep finds', async (t) => {
  const child = await sleeper(t, 'findme-x1')
  assert.deepEqual(await holon(pgrep, ['findme']), { out: `n1:${child.pid}\n`, err: '', status: 0 })
  assert.equal((await holon(pgrep, ['-l', 'findme'])).out, `n1:${child.pid} findme-x1\n`)
  assert.match((await holon(pgrep, ['-a', 'findme'])).out, /findme-x1 60\n$/)
  assert.equal((await holon(pgrep, ['-c', 'findme'])).out, '1\n')
  assert.deepEqual(await holon(pgrep, ['no-such-process']), { out: '', err: '', status: 1 })
  assert.equal(
    (await holon(pkill, ['-USR1', '-e', '-x', 'findme-x1'])).out,
    `findme-x1 killed (pid n1:${child.pid})\n`,
  )
  assert.equal(await ended(child), 'SIGUSR1')
  assert.equal((await holon(pkill, ['findme'])).status, 1)
  await assert.rejects(holon(pkill, []), { code: 'invalid_argument' })
})

test('top -b prints as many tables as asked for', async () => {
  const { out } = await holon(top, ['-bn2', '-d', '0.1', '-w', '80'])
  assert.equal(out.match(/^top - /gm)?.length, 2)
  assert.equal(out.match(/^MACHINE +PID /gm)?.length, 2)
  assert.ok(out.split('\n').every((line) => line.length <= 80))
  await assert.rejects(holon(top, []), { code: 'unsupported' })
})

test('--help is printed for each', async () => {
  for (const make of [ps, kill, pgrep, pkill, top]) {
    const made = make(testContext(testSystem()).context)
    let help = ''
    made.exitOverride().configureOutput({ writeOut: (text) => (help += text) })
    await assert.rejects(made.parseAsync(['--help'], { from: 'user' }), {
      code: 'commander.helpDisplayed',
    })
    assert.match(help, new RegExp(`Usage: .*${made.name()}`))
  }
})
