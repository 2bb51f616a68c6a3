/** Services that speak: Type=notify, their status text, and the watchdog, against a real agent. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { senderProgram } from '../keeper/harness.ts'
import { TestAgent, unitOf, until } from './harness.ts'

const shell = (script: string) => `ExecStart=/bin/sh -c "${script}"\n`

test('Type=notify and WatchdogSec= with the c keeper', async (t) => {
  await using agent = await TestAgent.up({ keeper: 'c' })
  const sender = senderProgram()
  const told = (name: string) => () => `${JSON.stringify(unitOf(agent, name))}\n${agent.diary()}`

  await t.test('start returns when it is ready; status and show tell what it says', () => {
    const script = `sleep 0.5; exec ${sender} 'STATUS=serving 3 clients' READY=1 barrier pause`
    const path = agent.unit('a.service', `[Service]\nType=notify\n${shell(script)}`)
    agent.ok(['start', path])
    assert.equal(agent.ok(['is-active', 'a']), 'active\n')
    assert.match(agent.ok(['status', 'a']), /^ +Status: "serving 3 clients"$/m)
    assert.match(agent.ok(['show', 'a']), /^StatusText=serving 3 clients$/m)
    assert.equal(unitOf(agent, 'a').instances[0]?.sub, 'running')
    agent.ok(['stop', 'a'])
  })

  await t.test('never ready: the start fails in time', async () => {
    const path = agent.unit(
      'b.service',
      `[Service]\nType=notify\nTimeoutStartSec=300ms\n${shell('exec sleep 1000')}`,
    )
    assert.equal(agent.holon(['start', path]).status, 1)
    assert.equal(unitOf(agent, 'b').instances[0]?.result, 'timeout')
    await until('why tells', () => /did not start in time/.test(agent.ok(['why', 'b'])))
  })

  await t.test('silent: the watchdog ends it, and it is started again', async () => {
    const path = agent.unit(
      'c.service',
      '[Service]\nType=notify\nWatchdogSec=300ms\nRestart=on-watchdog\nRestartSec=0\n' +
        `ExecStart=${sender} READY=1 pause\n`,
    )
    agent.ok(['start', path])
    await until('a restart', () => (unitOf(agent, 'c').instances[0]?.restarts ?? 0) > 0, {
      state: told('c'),
    })
    await until('why tells', () => /WatchdogSec=/.test(agent.ok(['why', 'c'])))
    agent.ok(['stop', 'c'])
  })
})

test('Type=notify with the sh keeper is refused, and the message says what to do', async () => {
  await using agent = await TestAgent.up({ keeper: 'sh' })
  const path = agent.unit('a.service', '[Service]\nType=notify\nExecStart=/bin/sleep 1000\n')
  const refused = agent.holon(['start', path])
  assert.notEqual(refused.status, 0)
  assert.match(refused.stderr, /Type=notify needs the compiled keeper; install a C compiler/)
})
