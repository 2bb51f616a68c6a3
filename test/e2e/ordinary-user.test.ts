/** The agent of an ordinary user, in its XDG directories. Needs root, to become another user. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { isRoot, launcher, until } from './harness.ts'

const uid = 54321

test('an ordinary user has a Holon of its own', {
  skip: isRoot ? false : 'needs root',
}, async () => {
  const home = mkdtempSync(join(tmpdir(), 'holon-home-'))
  const runtime = join(home, 'runtime')
  mkdirSync(runtime, { mode: 0o700 })
  for (const path of [home, runtime]) chownSync(path, uid, uid)
  const env = { PATH: process.env['PATH'], HOME: home, XDG_RUNTIME_DIR: runtime }
  const holon = (...args: string[]) => {
    const as = ['--reuid', String(uid), '--regid', String(uid), '--clear-groups', launcher]
    const { status, stdout, stderr } = spawnSync('setpriv', [...as, ...args], {
      env,
      cwd: home,
      encoding: 'utf8',
      timeout: 60_000,
    })
    return { status, stdout, stderr }
  }
  try {
    const up = holon('up')
    assert.equal(up.status, 0, up.stderr)
    assert.match(up.stdout, /for user 54321/)
    assert.equal(statSync(join(home, '.local/state/holon')).uid, uid)
    assert.ok(existsSync(join(runtime, 'holon/user/54321/agent.sock')))
    assert.equal(holon('run', 'id', '-u').stdout, `${uid}\n`)
    const path = join(home, 'mine.service')
    writeFileSync(
      path,
      '[Service]\nExecStart=/bin/sh -c "echo hello; exec sleep 1000"\nRestart=always\nRestartSec=0\n',
    )
    assert.equal(holon('enable', '--now', path).status, 0)
    await until('it runs and wrote', () => holon('logs', '-o', 'cat', 'mine').stdout === 'hello\n')
    const pid = holon('show', '-p', 'MainPID', '--value', 'mine').stdout.trim()
    assert.equal(holon('kill', '-9', pid).status, 0)
    await until(
      'another one runs',
      () => holon('logs', '-o', 'cat', 'mine').stdout === 'hello\nhello\n',
    )
    writeFileSync(path, '[Service]\nUser=root\nExecStart=/bin/true\n')
    assert.match(holon('restart', path).stderr, /needs an agent that root runs/)
    assert.equal(holon('kill', '-9', '1').status, 1)
  } finally {
    assert.equal(holon('down', '--all').status, 0)
    rmSync(home, { recursive: true, force: true })
  }
})
