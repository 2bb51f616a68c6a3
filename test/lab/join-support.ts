/** What tests of membership in a lab have in common: inviting, joining, who sees whom. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { inhabitants } from '../../src/io/namespaces.ts'
import { runningMachines } from '../../src/lab/machine.ts'
import type { CommandOptions, Lab, Machine, Result } from './harness.ts'

export interface Row {
  readonly name: string
  readonly status: 'up' | 'suspect' | 'down'
  readonly machineId: string
  readonly addresses: readonly string[]
  readonly labels: Readonly<Record<string, string>>
}

export interface Pass {
  readonly address: string
  readonly token: string
}

export async function invite(machine: Machine, ...options: readonly string[]): Promise<Pass> {
  return machine.json<Pass>(['invite', '--json', ...options])
}

/** `holon join`, which may be refused. */
export function join_(
  machine: Machine,
  { address, token }: Pass,
  args: readonly string[] = [],
  options: CommandOptions = {},
): Promise<Result> {
  return machine.holon(['join', address, '-', ...args], { ...options, input: `${token}\n` })
}
