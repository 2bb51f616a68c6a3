/** Two agents on one host, with a unit of the same name: what one cleans up is only its own. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { isAlive, TestAgent, unitOf, until } from './harness.ts'

for (const keeper of ['c', 'sh'] as const) {
  test(`a lost ${keeper} keeper takes nothing of another agent along`, async () => {
    await using mine = await TestAgent.up({ keeper })
    await using other = await TestAgent.up({ keeper })
    const text = '[Service]\nExecStart=/bin/sh -c "sleep 1001 & exec sleep 1002"\nRestart=always\n'
    for (const agent of [mine, other]) agent.ok(['start', agent.unit('same.service', text)])
    const kept = unitOf(other, 'same').instances[0]?.pids ?? []
    assert.equal(kept.length, 2)
    const pid = unitOf(mine, 'same').instances[0]?.pid ?? 0
    const keeperPid = /^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
    process.kill(Number(keeperPid), 'SIGKILL')
    await until(
      'it is replaced',
      () => {
        const [now] = unitOf(mine, 'same').instances
        return now?.sub === 'running' && now.pid !== pid
      },
      { state: () => mine.diary() },
    )
    assert.ok(kept.every(isAlive))
    assert.deepEqual(unitOf(other, 'same').instances[0]?.pids, kept)
  })
}
