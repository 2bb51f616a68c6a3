/** Real programs from Debian: redis kept by a unit, a real package built through `holon run`. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { launcher, TestAgent, unitOf, until } from './harness.ts'

const redis = '/usr/bin/redis-server'

test('redis-server serves a real client and survives kill -9', {
  skip: existsSync(redis) ? false : 'redis-server is not installed',
}, async () => {
  await using agent = await TestAgent.up()
  const port = String(20000 + Math.floor(Math.random() * 20000))
  const path = agent.unit(
    'redis.service',
    `[Unit]\nDescription=Redis\n[Service]\nExecStart=${redis} --port ${port} --bind 127.0.0.1 ` +
      `--save "" --appendonly yes --appendfsync always\nWorkingDirectory=${agent.dir}\n` +
      'Restart=always\nRestartSec=0\n',
  )
  agent.ok(['enable', '--now', path])
  const cli = (...args: string[]) =>
    spawnSync('redis-cli', ['-p', port, ...args], { encoding: 'utf8' }).stdout.trim()
  const state = () => `${agent.holon(['logs', 'redis']).stdout}\n${agent.diary()}`
  await until('redis answers', () => cli('ping') === 'PONG', { state })
  assert.equal(cli('set', 'kept', 'yes'), 'OK')
  const pid = unitOf(agent, 'redis').instances[0]?.pid ?? 0
  process.kill(pid, 'SIGKILL')
  await until('another redis answers with the data', () => cli('get', 'kept') === 'yes', { state })
  assert.notEqual(unitOf(agent, 'redis').instances[0]?.pid, pid)
  assert.match(agent.ok(['logs', 'redis']), /Ready to accept connections/)
})

test('holon run builds a real C package as make itself does', {
  skip: existsSync('/usr/bin/dpkg-source') ? false : 'dpkg-dev is not installed',
}, async () => {
  const work = mkdtempSync(join(tmpdir(), 'holon-build-'))
  try {
    const source = fetchSource(work)
    await using agent = await TestAgent.up()
    const build = (command: string, args: string[]) => {
      spawnSync('make', ['clean'], { cwd: source })
      const { status, stdout, stderr } = spawnSync(command, args, {
        cwd: source,
        env: agent.env,
        encoding: 'utf8',
      })
      return { status, stdout, stderr }
    }
    const direct = build('make', [])
    assert.equal(direct.status, 0, direct.stderr)
    assert.deepEqual(build(launcher, ['run', 'make']), direct)
    assert.deepEqual(
      build(launcher, ['run', 'make', 'no-such-target']),
      build('make', ['no-such-target']),
    )
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
})

/** A small C package with a plain Makefile: fetched where apt has sources, else the keeper itself. */
function fetchSource(work: string): string {
  const cached = '/var/cache/holon-test-source'
  const [name] = existsSync(cached) ? readdirSync(cached).filter((n) => n.endsWith('.dsc')) : []
  assert.ok(name !== undefined, `no source package in ${cached}: scripts/test-setup.sh fetches it`)
  const source = join(work, 'source')
  const unpacked = spawnSync('dpkg-source', ['-x', join(cached, name), source], {
    encoding: 'utf8',
  })
  assert.equal(unpacked.status, 0, unpacked.stderr)
  return source
}
