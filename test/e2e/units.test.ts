/** Units as a person uses them, against a real agent: verbs, restarts, logs, decisions, adoption. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { getPriority } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { raisedNice } from '../../src/io/priority.ts'
import { isAlive, isRoot, root, TestAgent, type UnitJson, unitOf, until } from './harness.ts'

for (const keeper of ['c', 'sh'] as const) {
  test(`units with the ${keeper} keeper`, async (t) => {
    let agent: TestAgent
    before(async () => {
      agent = await TestAgent.up({ keeper })
      assert.equal(agent.json<{ keeper: string }>(['status', '--json']).keeper, keeper)
    })
    after(() => agent[Symbol.asyncDispose]())
    const active = (name: string) => unitOf(agent, name).active
    const state = (name: string) => () => `${JSON.stringify(unitOf(agent, name))}\n${agent.diary()}`

    await t.test('start, status, is-active, stop', () => {
      const path = agent.unit('a.service', '[Service]\nExecStart=/bin/sleep 1000\n')
      agent.ok(['start', path])
      assert.equal(agent.ok(['is-active', 'a']), 'active\n')
      assert.match(agent.ok(['status', 'a']), /Active: active \(running\)/)
      agent.ok(['stop', 'a'])
      const stopped = agent.holon(['is-active', 'a'])
      assert.deepEqual([stopped.status, stopped.stdout], [3, 'inactive\n'])
      assert.equal(agent.holon(['status', 'a']).status, 3)
      assert.equal(agent.holon(['status', 'nosuch']).status, 4)
      assert.equal(agent.holon(['start', 'nosuch']).status, 5)
    })

    await t.test('root’s agent goes before other work, what it runs does not', () => {
      const usual = getPriority()
      const { agentPid } = agent.json<{ agentPid: number }>(['status', '--json'])
      assert.equal(getPriority(agentPid), isRoot ? raisedNice : usual)
      const path = agent.unit('nice.service', '[Service]\nExecStart=/bin/sleep 1000\n')
      agent.ok(['start', path])
      const [instance] = unitOf(agent, 'nice').instances
      assert.equal(getPriority(instance?.pid ?? 0), usual)
      assert.equal(agent.ok(['run', 'nice']), `${usual}\n`)
      agent.ok(['stop', 'nice'])
    })

    await t.test('kill -9 of the service: another runs, why tells', async () => {
      const path = agent.unit(
        'b.service',
        '[Service]\nExecStart=/bin/sh -c "echo up; exec sleep 1000"\nRestart=always\nRestartSec=0\n',
      )
      agent.ok(['start', path])
      const [first] = unitOf(agent, 'b').instances
      process.kill(first?.pid ?? 0, 'SIGKILL')
      await until(
        'another process runs',
        () => {
          const [now] = unitOf(agent, 'b').instances
          return now?.sub === 'running' && now.pid !== first?.pid && now.restarts === 1
        },
        { state: state('b') },
      )
      await until('why tells of it', () => /SIGKILL/.test(agent.ok(['why', 'b'])), {
        state: state('b'),
      })
      await until('both wrote', () => agent.ok(['logs', '-o', 'cat', 'b']) === 'up\nup\n')
      agent.ok(['stop', 'b'])
    })

    await t.test('a service that keeps failing ends failed, by its start limit', async () => {
      const path = agent.unit(
        'c.service',
        '[Unit]\nStartLimitBurst=3\nStartLimitIntervalSec=60\n' +
          '[Service]\nExecStart=/bin/sh -c "exit 4"\nRestart=on-failure\nRestartSec=10ms\n',
      )
      agent.holon(['start', path])
      await until('it has failed', () => active('c') === 'failed', { state: state('c') })
      assert.equal(unitOf(agent, 'c').instances[0]?.result, 'start-limit-hit')
      assert.equal(agent.holon(['is-failed', 'c']).status, 0)
      await until('why tells', () => /started too often/.test(agent.ok(['why', 'c'])))
    })

    await t.test('a job that ignores SIGTERM is killed after TimeoutStopSec', () => {
      const path = agent.unit(
        'd.service',
        '[Service]\nExecStart=/bin/sh -c "trap \\"\\" TERM; while :; do sleep 0.1; done"\nTimeoutStopSec=300ms\n',
      )
      agent.ok(['start', path])
      const [instance] = unitOf(agent, 'd').instances
      agent.ok(['stop', 'd'])
      assert.equal(isAlive(instance?.pid ?? 0), false)
    })

    // biome-ignore-start lint/suspicious/noTemplateCurlyInString: a unit's own ${VAR}
    await t.test('oneshot with several commands, ExecStartPre and variables', async () => {
      const path = agent.unit(
        'e.service',
        '[Service]\nType=oneshot\nRemainAfterExit=yes\nEnvironment="WORDS=one two" X=y\n' +
          'ExecStartPre=-/bin/false\nExecStart=/bin/echo $WORDS "${WORDS}"\nExecStart=/bin/echo %n ${X}z\n',
      )
      agent.ok(['start', path])
      assert.match(agent.ok(['status', 'e']), /active \(exited\)/)
      await until(
        'all is logged',
        () => agent.ok(['logs', '-o', 'cat', 'e']).split('\n').length === 3,
      )
      assert.equal(agent.ok(['logs', '-o', 'cat', 'e']), 'one two one two\ne.service yz\n')
    })

    // biome-ignore-end lint/suspicious/noTemplateCurlyInString: a unit's own ${VAR}

    await t.test('what is not honoured is refused with file and line, nothing is changed', () => {
      const path = agent.unit(
        'f.service',
        '[Service]\nExecStart=/bin/true\nProtectSystem=strict\nExecStrat=x\n',
      )
      const refused = agent.holon(['enable', path])
      assert.equal(refused.status, 2)
      assert.match(refused.stderr, /f\.service:3: ProtectSystem/)
      assert.match(refused.stderr, /f\.service:4: ExecStrat=.*did you mean ExecStart/)
      assert.equal(agent.holon(['cat', 'f']).status, 5)
    })

    await t.test('an unmet condition skips the start, an unmet assertion fails it', () => {
      const mark = join(agent.dir, 'mark')
      const text = (line: string) => `[Unit]\n${line}\n[Service]\nExecStart=/bin/sleep 1000\n`
      const path = agent.unit('l.service', text(`ConditionPathExists=${mark}`))
      const skipped = agent.holon(['start', path])
      assert.equal(skipped.status, 0)
      assert.match(skipped.stderr, /l\.service was not started: ConditionPathExists=.* is not met/)
      assert.equal(active('l'), 'inactive')
      assert.match(agent.holon(['status', 'l']).stdout, /the last start was skipped: Condition/)
      assert.match(agent.ok(['why', 'l']), /start skipped/)
      assert.equal(agent.ok(['show', '-p', 'ConditionResult', 'l']), 'ConditionResult=no\n')
      writeFileSync(mark, '')
      agent.ok(['start', 'l'])
      assert.equal(active('l'), 'active')
      assert.doesNotMatch(agent.ok(['status', 'l']), /skipped/)
      writeFileSync(path, text(`AssertPathExists=!${mark}`))
      const failed = agent.holon(['restart', path])
      assert.equal(failed.status, 1)
      assert.match(failed.stderr, /AssertPathExists=!.* is not met on this machine/)
      assert.equal(active('l'), 'inactive')
      agent.ok(['stop', 'l'])
    })

    await t.test(
      'three instances; restart goes one by one; scaling down stops the surplus',
      async () => {
        const text = (n: number) =>
          `[Service]\nExecStart=/bin/sh -c "echo $HOLON_INSTANCE; exec sleep 1000"\n[X-Holon]\nInstances=${n}\n`
        const path = agent.unit('g.service', text(3))
        agent.ok(['enable', '--now', path])
        const before = unitOf(agent, 'g').instances.map((i) => i.pid)
        assert.equal(before.length, 3)
        agent.ok(['restart', 'g'])
        const after = unitOf(agent, 'g').instances
        assert.ok(after.every((i) => i.sub === 'running' && !before.includes(i.pid)))
        writeFileSync(path, text(1))
        agent.ok(['start', path])
        await until('one is left', () => unitOf(agent, 'g').instances.length === 1, {
          state: state('g'),
        })
      },
    )

    await t.test(
      'kill -9 of the agent: everything goes on, is taken over, no line is lost',
      async () => {
        const path = agent.unit(
          'h.service',
          '[Service]\nExecStart=/bin/sh -c "i=0; while [ $i -lt 400 ]; do echo $i; i=$((i+1)); sleep 0.005; done; exec sleep 1000"\nRestart=always\n'.replaceAll(
            '$',
            '$$',
          ),
        )
        agent.ok(['enable', '--now', path])
        const crashing = agent.unit(
          'i.service',
          '[Service]\nExecStart=/bin/sh -c "sleep 0.3; exit 3"\nRestart=always\nRestartSec=0\n[Unit]\nStartLimitIntervalSec=0\n',
        )
        agent.ok(['start', crashing])
        const pid = unitOf(agent, 'h').instances[0]?.pid ?? 0
        await agent.killAgent()
        const before = performance.now()
        await until('time has passed', () => performance.now() - before > 1500)
        assert.ok(isAlive(pid))
        agent.ok(['up'])
        assert.equal(unitOf(agent, 'h').instances[0]?.pid, pid)
        const lines = () => agent.ok(['logs', '-o', 'cat', 'h']).trim().split('\n')
        await until('all lines are there', () => lines().length >= 400)
        assert.deepEqual(
          lines(),
          Array.from({ length: 400 }, (_, i) => String(i)),
        )
        const restarts = unitOf(agent, 'i').instances[0]?.restarts ?? 0
        assert.ok(restarts >= 3, `the keeper restarted it by itself: ${restarts} times`)
        await until('why tells of what happened meanwhile', () =>
          /status 3/.test(agent.ok(['why', 'i'])),
        )
        agent.ok(['stop', 'i'])
      },
    )

    await t.test('kill -9 of a keeper: its processes end, the instance is replaced', async () => {
      const path = agent.unit(
        'j.service',
        '[Service]\nExecStart=/bin/sh -c "sleep 1001 & exec sleep 1002"\nRestart=always\n',
      )
      agent.ok(['start', path])
      const [instance] = unitOf(agent, 'j').instances
      const pids = instance?.pids ?? []
      const ppid = Number(
        /^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${instance?.pid}/status`, 'utf8'))?.[1],
      )
      process.kill(ppid, 'SIGKILL')
      await until(
        'a new one runs and nothing of the old is left',
        () => {
          const [now] = unitOf(agent, 'j').instances
          return now?.sub === 'running' && now.pid !== instance?.pid && !pids.some(isAlive)
        },
        { state: state('j') },
      )
      agent.ok(['stop', 'j'])
    })

    await t.test(
      'down leaves jobs running; down --all stops them; up starts the enabled ones',
      async () => {
        const path = agent.unit('k.service', '[Service]\nExecStart=/bin/sleep 1000\n')
        agent.ok(['enable', '--now', path])
        const pid = unitOf(agent, 'k').instances[0]?.pid ?? 0
        agent.ok(['down'])
        assert.ok(isAlive(pid))
        assert.equal(agent.holon(['status']).status, 69)
        agent.ok(['up'])
        assert.match(agent.ok(['up']), /already up/)
        assert.equal(unitOf(agent, 'k').instances[0]?.pid, pid)
        agent.ok(['down', '--all'])
        assert.ok(!isAlive(pid))
        agent.ok(['up'])
        await until('the enabled unit runs', () => active('k') === 'active', { state: state('k') })
        agent.ok(['disable', '--now', 'k'])
      },
    )

    await t.test('list-units and show', () => {
      const units = agent.json<UnitJson[]>(['list-units', '--json'])
      assert.ok(units.some((unit) => unit.name === 'g.service' && unit.active === 'active'))
      assert.match(agent.ok(['list-units']), /^UNIT +LOAD +ACTIVE/)
      assert.equal(agent.ok(['show', '-p', 'ActiveState', '--value', 'g']), 'active\n')
    })

    await t.test('unload forgets what does not run, for good', async () => {
      const path = agent.unit('gone.service', '[Service]\nExecStart=/bin/sleep 1000\n')
      agent.ok(['enable', '--now', path])
      const refused = agent.holon(['unload', 'gone'])
      assert.equal(refused.status, 1)
      assert.match(refused.stderr, /it is wanted or still runs; `holon stop gone.service` first/)
      assert.equal(agent.ok(['unload', '--now', 'gone']), 'gone.service is unloaded.\n')
      assert.equal(agent.holon(['status', 'gone']).status, 4)
      const timer = agent.unit('gone.timer', '[Timer]\nOnActiveSec=1h\nUnit=a.service\n')
      agent.ok(['start', timer])
      assert.equal(agent.holon(['unload', 'gone.timer']).status, 1)
      agent.ok(['unload', '--now', 'gone.timer'])
      agent.ok(['down'])
      agent.ok(['up'])
      const units = agent.json<UnitJson[]>(['list-units', '--json'])
      assert.deepEqual(
        units.filter(({ name }) => name.startsWith('gone.')),
        [],
      )
      agent.ok(['start', path])
      assert.equal(agent.ok(['is-active', 'gone']), 'active\n')
      agent.ok(['unload', '--now', 'gone'])
    })

    await t.test('User= runs as that user', { skip: isRoot ? false : 'needs root' }, async () => {
      const path = agent.unit(
        'l.service',
        '[Service]\nType=oneshot\nUser=nobody\nExecStart=/usr/bin/id -un\n',
      )
      agent.ok(['start', path])
      await until('it said who it is', () => agent.ok(['logs', '-o', 'cat', 'l']) === 'nobody\n', {
        state: state('l'),
      })
    })

    await t.test(
      'the example web app runs as three instances and is restarted one by one',
      async () => {
        const port = 20000 + Math.floor(Math.random() * 20000)
        const text = readFileSync(join(root, 'examples/web/web.service'), 'utf8')
          .replaceAll('/srv/web', join(root, 'examples/web'))
          .replace('BASE_PORT=8080', `BASE_PORT=${port}`)
          .replace('/usr/bin/env node', process.execPath)
        agent.ok(['enable', '--now', agent.unit('web.service', text)])
        const answers = async () =>
          Promise.all(
            [0, 1, 2].map(async (i) => {
              const response = await fetch(`http://127.0.0.1:${port + i}/x`).catch(() => undefined)
              return ((await response?.json()) as { instance: number } | undefined)?.instance
            }),
          )
        const allAnswer = async () => (await answers()).join() === '1,2,3'
        await until('all three answer', allAnswer, { state: state('web') })
        agent.ok(['restart', 'web'])
        await until('all three answer again', allAnswer, { state: state('web') })
        assert.match(agent.ok(['logs', '--instance', '2', 'web']), /instance 2 listens/)
        agent.ok(['disable', '--now', 'web'])
      },
    )
  })
}
