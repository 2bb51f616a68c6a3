/** Several agents on one host: what one cleans up is only its own, and all of it. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { test } from 'node:test'
import { isAlive, isRoot, TestAgent, unitOf, until } from './harness.ts'

for (const keeper of ['c', 'sh'] as const) {
  test(`a lost ${keeper} keeper takes nothing of another agent along`, async () => {
    await using mine = await TestAgent.up({ keeper })
    await using other = await TestAgent.up({ keeper })
    const text = '[Service]\nExecStart=/bin/sh -c "sleep 1001 & exec sleep 1002"\nRestart=always\n'
    for (const agent of [mine, other]) agent.ok(['start', agent.unit('same.service', text)])
    const kept = await bothSleeps(other)
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

/** Its two processes, once the shells that start them are gone. */
async function bothSleeps(agent: TestAgent): Promise<readonly number[]> {
  const pids = () => unitOf(agent, 'same').instances[0]?.pids ?? []
  const lines = () => pids().map((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8'))
  const isSo = () => lines().length === 2 && lines().every((line) => line.startsWith('sleep'))
  await until('both processes sleep', isSo, { state: () => JSON.stringify(pids()) })
  return pids()
}

for (const keeper of ['c', 'sh'] as const) {
  test(`down keeps the control groups of jobs, down --all leaves none (${keeper} keeper)`, {
    skip: isRoot ? false : 'needs root',
  }, async () => {
    await using agent = await TestAgent.up({ keeper })
    agent.ok(['run', '-d', 'sleep', '1003'])
    agent.ok(['down'])
    const groups = () => topGroups(agent.dir).length
    assert.ok(groups() > 0 || cgroupMounts().length === 0)
    agent.ok(['up'])
    agent.ok(['down', '--all'])
    await until('its control groups are gone', () => groups() === 0)
  })
}

function cgroupMounts(): readonly string[] {
  return readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([, , type]) => type === 'cgroup2' || type === 'cgroup')
    .map(([, path = '']) => path)
}

/** Top groups of the agent with this directory. */
function topGroups(dir: string): readonly string[] {
  const mark = basename(dir)
  return cgroupMounts().flatMap((path) => readdirSync(path).filter((name) => name.includes(mark)))
}
