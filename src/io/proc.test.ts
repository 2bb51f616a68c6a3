import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { realClock } from './clock.ts'
import { ProcFs } from './proc.ts'
import { sendSignal } from './proc-signal.ts'

const proc = new ProcFs()

/** A sleeping process under any name; ended with the test. */
function sleeper(t: TestContext, name = 'sleep', args: readonly string[] = ['60']): ChildProcess {
  const dir = mkdtempSync(join(tmpdir(), 'holon-proc-'))
  const path = join(dir, name)
  copyFileSync('/bin/sleep', path)
  const child = spawn(path, args, { stdio: 'ignore' })
  t.after(() => {
    child.kill('SIGKILL')
    rmSync(dir, { recursive: true, force: true })
  })
  return child
}

async function until(what: string, holds: () => boolean): Promise<void> {
  const endMs = realClock.nowMs() + 10_000
  while (!holds()) {
    assert.ok(realClock.nowMs() < endMs, `not within 10 s: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

function pidOf(child: ChildProcess): number {
  assert.ok(child.pid !== undefined)
  return child.pid
}

test('ProcFs knows the constants of this machine', () => {
  assert.equal(proc.ticksPerSecond, Number(execFileSync('getconf', ['CLK_TCK'])))
  assert.equal(proc.pageBytes, Number(execFileSync('getconf', ['PAGESIZE'])))
  assert.match(proc.bootId, /^[0-9a-f-]{36}$/)
  assert.ok(Math.abs(proc.bootedAtMs - (Date.now() - proc.machineFacts().uptimeMs)) < 3000)
})

test('ProcFs.machineFacts() gives plausible totals that grow', () => {
  const facts = proc.machineFacts()
  assert.ok(facts.memoryAvailableBytes > 0 && facts.memoryAvailableBytes <= facts.memoryBytes)
  assert.ok(facts.cpuCount >= 1 && facts.uptimeMs > 0)
  assert.ok(facts.cpuBusyMs > 0 && facts.cpuIdleMs > 0)
  assert.ok(facts.cpuBusyMs + facts.cpuIdleMs <= 1.1 * facts.cpuCount * facts.uptimeMs + 1000)
  const later = proc.machineFacts()
  assert.ok(later.cpuBusyMs >= facts.cpuBusyMs && later.uptimeMs >= facts.uptimeMs)
})

test('ProcFs.stat() and args() read a process with an odd name', async (t) => {
  for (const name of ['a b', ') R 1 2', '(x)', 'line\nbreak', 'é(ü']) {
    const pid = pidOf(sleeper(t, name, ['60', '0', '0.0']))
    await until('executed', () => proc.stat(pid)?.comm === name)
    const stat = proc.stat(pid)
    assert.equal(stat?.pid, pid)
    assert.equal(stat?.ppid, process.pid)
    assert.deepEqual(proc.args(pid, 4096)?.args.slice(1), ['60', '0', '0.0'])
    assert.ok(proc.args(pid, 4096)?.args[0]?.endsWith(`/${name}`))
  }
})

test('ProcFs.args() reads a command line longer than its buffer, and says where it cut one', async (t) => {
  const long = 'x'.repeat(100_000)
  const args = [long, `${long}\ny`, '']
  const child = spawn('/bin/sh', ['-c', 'read x', 'sh', ...args], {
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  t.after(() => child.kill('SIGKILL'))
  const pid = pidOf(child)
  await until('executed', () => proc.stat(pid)?.comm === 'sh')
  assert.deepEqual(proc.args(pid, 1_000_000), {
    args: ['/bin/sh', '-c', 'read x', 'sh', ...args],
    cut: false,
  })
  const cut = proc.args(pid, 1000)
  assert.equal(cut?.cut, true)
  assert.equal(cut?.args.join('\0').length, 1000)
})

test('ProcFs sees zombies without arguments, and kernel threads', async (t) => {
  const parent = spawn('/bin/sh', ['-c', 'sleep 0 & exec sleep 60'], { stdio: 'ignore' })
  t.after(() => parent.kill('SIGKILL'))
  const child = () => proc.descendants(pidOf(parent))[0]
  await until('a zombie', () => proc.stat(child() ?? 0)?.state === 'Z')
  const zombie = child() ?? 0
  assert.deepEqual(proc.args(zombie, 100), { args: [], cut: false })
  assert.equal(proc.stat(zombie)?.comm, 'sleep')
  const kthreadd = proc.stat(2)
  // In a container pid 2 is an ordinary process or none.
  if (kthreadd?.comm === 'kthreadd') assert.deepEqual(proc.args(2, 100)?.args, [])
})

test('ProcFs tells owner and user ids as /proc/PID/status does', () => {
  const status = readFileSync('/proc/self/status', 'utf8')
  const [, real, effective] = /^Uid:\t(\d+)\t(\d+)/m.exec(status) ?? []
  assert.equal(proc.uids(process.pid)?.real, Number(real))
  assert.equal(proc.owner(process.pid)?.uid, Number(effective))
  assert.equal(proc.owner(process.pid)?.gid, process.getgid?.())
})

test('ProcFs gives undefined for a process that is gone', async () => {
  const child = spawn('/bin/true')
  await new Promise((resolve) => child.once('exit', resolve))
  const pid = pidOf(child)
  assert.equal(proc.stat(pid), undefined)
  assert.equal(proc.owner(pid), undefined)
  assert.equal(proc.args(pid, 100), undefined)
  assert.equal(proc.uids(pid), undefined)
  assert.equal(proc.startTicks(pid), undefined)
})

test('ProcFs.descendants() finds children and their children, parents first', async (t) => {
  const parent = spawn('/bin/sh', ['-c', 'sh -c "sleep 60 & wait" & wait'], { stdio: 'ignore' })
  t.after(() => {
    for (const pid of proc.descendants(pidOf(parent))) process.kill(pid, 'SIGKILL')
    parent.kill('SIGKILL')
  })
  const comms = () => proc.descendants(pidOf(parent)).map((pid) => proc.stat(pid)?.comm)
  await until('two of them', () => comms().join() === 'sh,sleep')
})

test('sendSignal() refuses a reused pid, groups, and what is gone', async (t) => {
  const child = sleeper(t)
  const pid = pidOf(child)
  const startTicks = proc.startTicks(pid)
  assert.ok(startTicks !== undefined)
  assert.throws(() => sendSignal(proc, { pid, startTicks: startTicks - 1 }, 15), { code: 'stale' })
  for (const wrong of [0, -1, -pid, 1.5, Number.NaN]) {
    assert.throws(() => sendSignal(proc, { pid: wrong }, 0), { code: 'invalid_argument' })
  }
  assert.throws(() => sendSignal(proc, { pid }, 'SIGNOPE'), { code: 'invalid_argument' })
  assert.throws(() => sendSignal(proc, { pid }, 65), { code: 'invalid_argument' })
  sendSignal(proc, { pid, startTicks }, 0)
  assert.equal(child.exitCode, null)
  const ended = new Promise((resolve) => child.once('exit', (_code, signal) => resolve(signal)))
  sendSignal(proc, { pid, startTicks }, 'usr1')
  assert.equal(await ended, 'SIGUSR1')
  assert.throws(() => sendSignal(proc, { pid, startTicks }, 15), { code: 'not_found' })
  assert.throws(() => sendSignal(proc, { pid }, 15), { code: 'not_found' })
})

test('sendSignal() lets a caller act on its own processes only', (t) => {
  const pid = pidOf(sleeper(t))
  const own = process.getuid?.() ?? 0
  sendSignal(proc, { pid }, 0, { callerUid: own })
  sendSignal(proc, { pid }, 0, { callerUid: 0 })
  assert.throws(() => sendSignal(proc, { pid }, 0, { callerUid: own + 1 }), {
    code: 'permission_denied',
  })
})

test('ProcFs.pidsWithEnvironment() wants the whole variable, wherever it stands', (t) => {
  const start = (env: Record<string, string>): number => {
    const child = spawn('/bin/sleep', ['60'], { stdio: 'ignore', env })
    t.after(() => child.kill('SIGKILL'))
    return pidOf(child)
  }
  const value = `test-${process.pid}`
  const first = start({ HOLON_JOB: value, B: '1' })
  const later = start({ OLD_HOLON_JOB: value, HOLON_JOB: value })
  start({ OLD_HOLON_JOB: value })
  start({ HOLON_JOB: `${value}0` })
  assert.deepEqual(
    proc.pidsWithEnvironment('HOLON_JOB', value).sort((a, b) => a - b),
    [first, later].sort((a, b) => a - b),
  )
})
