/** What the README tells a newcomer to type, typed. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { launcher, root, TestAgent, unitOf, until } from './harness.ts'

const readme = readFileSync(join(root, 'README.md'), 'utf8')

/** Fenced blocks of one language, in order. */
function blocks(language: string): readonly string[] {
  return [...readme.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'gm'))].map(
    (match) => match[1] ?? '',
  )
}

test('the commands of "Five minutes" do what they say', async () => {
  await using agent = await TestAgent.up()
  const [, processes = '', runs = '', units = '', adoption = ''] = blocks('sh')
  assert.match(processes, /holon ps aux/)
  assert.match(agent.ok(['ps', 'aux']), /USER/)
  assert.match(agent.shell(line(processes, 'holon ps -eo')).stdout, /PID/)

  assert.match(runs, /holon run -d -- sh -c/)
  const id = agent.shell(line(runs, 'holon run -d')).stdout.trim()
  assert.equal(agent.holon(['wait', id]).status, 0)
  assert.equal(agent.ok(['logs', '-o', 'cat', `run/${id}`]), 'done\n')

  const [ini = ''] = blocks('ini')
  const unit = ini
    .replace(/^# .*\n/, '')
    .replace(/ExecStart=.*/, `ExecStart=${process.execPath} ${root}/examples/web/server.js`)
    .replace(
      'Restart=always',
      `Restart=always\nEnvironment=BASE_PORT=${20000 + (process.pid % 20000)}`,
    )
  agent.unit('web.service', unit)
  for (const command of ['holon verify', 'holon enable', 'holon restart web', 'holon why web']) {
    const result = agent.shell(line(units, command))
    assert.equal(result.status, 0, `${command}: ${result.stderr}`)
  }
  assert.equal(unitOf(agent, 'web').instances.length, 3)
  const pids = unitOf(agent, 'web').instances.map((instance) => instance.pid)

  const kill = line(adoption, 'kill -9')
  const pid = agent.agentPid()
  assert.equal(agent.shell(`node() { ${process.execPath} "$@"; }; ${kill}`).status, 0)
  await until('the agent is gone', () => agent.holon(['status']).status === 69)
  agent.ok(['up'])
  assert.notEqual(agent.agentPid(), pid)
  assert.deepEqual(
    unitOf(agent, 'web').instances.map((instance) => instance.pid),
    pids,
  )
})

/** The line of a block that begins so, with `holon` as the launcher and without its comment. */
function line(block: string, start: string): string {
  const found = block.split('\n').find((text) => text.startsWith(start))
  assert.ok(found !== undefined, `the README has no line that begins with ${start}`)
  return `holon() { ${launcher} "$@"; }; ${found.replace(/ +#.*$/, '')}`
}
