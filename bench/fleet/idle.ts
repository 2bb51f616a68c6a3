/** What an agent costs while nothing happens, in a fleet of five. Without etcd. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Lab } from '../../test/lab/harness.ts'
import type { Comparison } from '../measure.ts'

const names = ['n1', 'n2', 'n3', 'n4', 'n5']
const settleMs = 30_000
const watchMs = 30_000

export async function idle(lab: Lab): Promise<readonly Comparison[]> {
  await sleep(settleMs)
  const before = await Promise.all(names.map((name) => reading(lab, name)))
  await sleep(watchMs)
  const after = await Promise.all(names.map((name) => reading(lab, name)))
  const shares = after.map(({ cpuMs }, i) => (cpuMs - (before[i]?.cpuMs ?? 0)) / watchMs)
  const rss = after.map(({ rssMb }) => rssMb)
  const worst = (values: readonly number[]) => Math.max(...values)
  const plain = (what: string, ours: number, peer: number, unit: string): Comparison => {
    const ratio = ours / peer
    return { what, ours, peer, unit, ratio, bar: '≤ 1 ×', met: ratio <= 1 }
  }
  return [
    plain('agent idle in a fleet of 5, RSS of the largest / its bar', worst(rss), 100, 'MB'),
    plain('agent idle in a fleet of 5, share of a core / its bar', worst(shares) * 100, 1, '%'),
  ]
}

interface Reading {
  readonly rssMb: number
  /** User and system time. */
  readonly cpuMs: number
}

/** Read in the machine, where the agent's pid is its own. */
async function reading(lab: Lab, name: string): Promise<Reading> {
  const machine = lab.machine(name)
  const status = JSON.parse(await machine.ok(['status', '--json'])) as { readonly agentPid: number }
  const proc = `/proc/${status.agentPid}`
  const { stdout } = await machine.exec(['cat', `${proc}/status`, `${proc}/stat`])
  const fields = stdout.slice(stdout.lastIndexOf(') ')).split(' ')
  return {
    rssMb: (Number(/^VmRSS:\s+(\d+)/m.exec(stdout)?.[1]) * 1024) / 1e6,
    cpuMs: (Number(fields[12]) + Number(fields[13])) * 10,
  }
}
