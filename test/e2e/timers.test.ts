/** Timers of one machine: they start their service at each moment, also after the agent died. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { TestAgent, until } from './harness.ts'

interface TimerJson {
  readonly name: string
  readonly unit: string
  readonly lastScheduledMs: number
}

test('timers of one machine', async (t) => {
  let agent: TestAgent
  before(async () => {
    agent = await TestAgent.up()
  })
  after(() => agent[Symbol.asyncDispose]())

  const job = (name: string): string => {
    const log = join(agent.dir, `${name}.log`)
    const command = `/bin/sh -c "date +%%s%%N >>${log}"`
    agent.unit(`${name}.service`, `[Service]\nType=oneshot\nExecStart=${command}\n`)
    return log
  }
  const lines = (log: string): readonly string[] => {
    try {
      return readFileSync(log, 'utf8').trimEnd().split('\n')
    } catch {
      return []
    }
  }
  const timer = (name: string, ...text: readonly string[]) =>
    agent.unit(`${name}.timer`, `[Timer]\n${text.join('\n')}\n`)

  await t.test('enable --now brings its service along and fires at each moment', async () => {
    const log = job('tick')
    const path = timer('tick', 'OnCalendar=*:*:*', '[X-Holon]', 'OnMissed=run-all')
    agent.ok(['enable', '--now', path])
    await until('it has run three times', () => lines(log).length >= 3, {
      state: () => agent.diary(),
    })
    const table = agent.ok(['list-timers'])
    assert.match(table, /^NEXT +LEFT +LAST +PASSED +UNIT +ACTIVATES\n/)
    assert.match(table, /ago +tick\.timer +tick\.service\n/)
    assert.match(agent.ok(['status', 'tick.timer']), /Active: active/)
    assert.match(agent.ok(['why', 'tick.timer']), /start tick\.service: scheduled 2/)
  })

  await t.test(
    'after kill -9 of the agent what was missed is made up for, nothing twice',
    async () => {
      const log = join(agent.dir, 'tick.log')
      const activated = lines(log).length
      await agent.killAgent()
      agent.ok(['up'])
      await until('it runs on', () => lines(log).length > activated + 3, {
        state: () => agent.diary(),
      })
      agent.ok(['stop', 'tick.timer'])
      const [last] = agent.json<readonly TimerJson[]>(['list-timers', '-a', '--json'])
      assert.equal(last?.unit, 'tick.service')
      const why = agent.ok(['why', 'tick.timer'])
      const first = Date.parse(/scheduled (\S+)/.exec(why)?.[1] ?? '')
      const moments = (last.lastScheduledMs - first) / 1_000 + 1
      await until('each moment was one round', () => lines(log).length === moments, {
        state: () => `${lines(log).length} rounds for ${moments} moments\n${agent.diary()}`,
      })
    },
  )

  await t.test(
    'spans count from the last end; a timer without its service is refused',
    async () => {
      const log = job('span')
      agent.ok(['start', timer('span', 'OnActiveSec=100ms', 'OnUnitInactiveSec=1s')])
      await until('it has run twice', () => lines(log).length >= 2, { state: () => agent.diary() })
      agent.ok(['stop', 'span.timer'])
      const alone = agent.holon(['start', timer('alone', 'OnCalendar=daily')])
      assert.match(alone.stderr, /alone\.service, which is not loaded here/)
      const beside = agent.holon([
        'start',
        timer('tick', 'OnCalendar=daily', '[X-Holon]', 'Overlap=allow'),
      ])
      assert.match(beside.stderr, /needs a fleet/)
    },
  )
})
