/** What tests of membership in a lab have in common: inviting, joining, who sees whom, what it costs. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { inhabitants } from '../../src/io/namespaces.ts'
import type { MachineInfo } from '../../src/kernel/types.ts'
import { runningMachines } from '../../src/lab/machine.ts'
import type { CommandOptions, Lab, Machine, Result } from './harness.ts'

/** Of `holon invite`. */
export interface Pass {
  readonly address: string
  readonly token: string
}

export function invite(machine: Machine, ...options: readonly string[]): Promise<Pass> {
  return machine.json<Pass>(['invite', '--json', ...options])
}

/** `holon join`, which may be refused. The token goes by stdin. */
export function joinBy(
  machine: Machine,
  { address, token }: Pass,
  args: readonly string[] = [],
  options: CommandOptions = {},
): Promise<Result> {
  return machine.holon(['join', address, '-', ...args], { ...options, input: `${token}\n` })
}

/** It must join. */
export async function joined(
  machine: Machine,
  pass: Pass,
  args: readonly string[] = [],
): Promise<void> {
  const result = await joinBy(machine, pass, args)
  assert.equal(result.status, 0, `${machine.name} joins: ${JSON.stringify(result)}`)
}

/** It must be refused, with these words. */
export async function refused(
  machine: Machine,
  pass: Pass,
  why: RegExp,
  args: readonly string[] = [],
): Promise<void> {
  const { status, stdout, stderr } = await joinBy(machine, pass, args)
  assert.notEqual(status, 0, `${machine.name} has joined: ${stdout}`)
  assert.match(stderr, why)
}

/** `holon machines` as seen from one; undefined while it cannot tell. */
export async function machinesOf(machine: Machine): Promise<readonly MachineInfo[] | undefined> {
  const { status, stdout } = await machine.holon(['machines', '--json'])
  return status === 0 || status === 4 ? (JSON.parse(stdout) as MachineInfo[]) : undefined
}

/** Whether this one sees exactly these machines, and all of them up. */
export async function seesAll(machine: Machine, names: readonly string[]): Promise<boolean> {
  const rows = (await machinesOf(machine)) ?? []
  const up = rows.filter(({ status }) => status === 'up').map(({ name }) => name)
  return rows.length === names.length && [...names].sort().join() === up.sort().join()
}

/** Each of `lookers` sees all of `names`. */
export async function untilSeen(
  lab: Lab,
  lookers: readonly string[],
  names: readonly string[] = lookers,
  timeoutMs = 15_000,
): Promise<void> {
  const endMs = performance.now() + timeoutMs
  for (const looker of lookers) {
    const what = `${looker} sees ${names.join(', ')} up`
    const leftMs = Math.max(1, endMs - performance.now())
    await lab.until(what, () => seesAll(lab.machine(looker), names), leftMs)
  }
}

/** Names of the machines that keep the state, as seen from one. */
export async function keepersOf(machine: Machine): Promise<readonly string[]> {
  const rows = (await machinesOf(machine)) ?? []
  return rows.filter(({ keepsState }) => keepsState).map(({ name }) => name)
}

export async function untilKeepers(
  lab: Lab,
  looker: string,
  count: number,
  timeoutMs = 60_000,
): Promise<readonly string[]> {
  let keepers: readonly string[] = []
  const check = async () => {
    keepers = await keepersOf(lab.machine(looker))
    return keepers.length === count
  }
  await lab.until(`${count} machines keep the state, as ${looker} sees it`, check, timeoutMs)
  return keepers
}

/** Each of `from` runs something on each of `to`. */
export async function untilReached(
  lab: Lab,
  from: readonly string[],
  to: readonly string[],
  timeoutMs = 15_000,
): Promise<void> {
  const endMs = performance.now() + timeoutMs
  for (const name of from) {
    const check = async () => {
      const args = ['run', '-m', to.join(), '--each', 'true']
      return (await lab.machine(name).holon(args)).status === 0
    }
    const leftMs = Math.max(1, endMs - performance.now())
    await lab.until(`${name} reaches ${to.join(', ')}`, check, leftMs)
  }
}

/** What an agent holds: its pid on the host, memory, descriptors, TCP connections. */
export interface Footprint {
  readonly pid: number
  readonly rssBytes: number
  readonly descriptors: number
  readonly sockets: number
}

export function agentHostPid(lab: Lab, machine: string): number {
  const initPid = runningMachines(lab.name).get(machine)
  assert.ok(initPid !== undefined, `${machine} is off`)
  const agent = inhabitants(initPid).find(({ name }) => name === 'holon-agent')
  assert.ok(agent !== undefined, `${machine} has no agent`)
  return agent.pid
}

export function footprint(lab: Lab, machine: string): Footprint {
  const pid = agentHostPid(lab, machine)
  const targets = readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`)]
    } catch {
      // Closed meanwhile.
      return []
    }
  })
  const rss = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return {
    pid,
    rssBytes: Number(rss) * 1024,
    descriptors: targets.length,
    sockets: targets.filter((target) => target.startsWith('socket:')).length,
  }
}

/** Makes the clocks of programs wrong that are started with it, those of Node too. */
export const faketime = [
  `/usr/lib/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu/faketime/libfaketime.so.1`,
  '/usr/lib/faketime/libfaketime.so.1',
].find(existsSync)

/** The agent anew, its clock moved by so much, as in "+1h"; undefined: right again. */
export async function withClock(machine: Machine, offset: string | undefined): Promise<void> {
  await machine.ok(['down'])
  const env =
    offset === undefined
      ? {}
      : { LD_PRELOAD: faketime ?? '', FAKETIME: offset, FAKETIME_DONT_FAKE_MONOTONIC: '1' }
  await machine.ok(['up'], { env })
}
