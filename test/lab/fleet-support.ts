/** What tests of a fleet in a lab have in common: starting things in machines, timing, reading lines. */
import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import type { CommandOptions, Lab, Machine, Result } from './harness.ts'

export interface Timed extends Result {
  readonly tookMs: number
}

/** `holon ARGS…` in a machine, and how long it took. */
export async function timed(
  machine: Machine,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<Timed> {
  const startMs = performance.now()
  const result = await machine.holon(args, options)
  return { ...result, tookMs: performance.now() - startMs }
}

/** A started command whose output is kept and whose end is awaited later. */
export class Started {
  readonly child: ChildProcess
  readonly ended: Promise<Timed>
  stdout = ''
  stderr = ''

  constructor(child: ChildProcess) {
    this.child = child
    const startMs = performance.now()
    child.stdout?.on('data', (chunk) => {
      this.stdout += String(chunk)
    })
    child.stderr?.on('data', (chunk) => {
      this.stderr += String(chunk)
    })
    this.ended = new Promise((resolve) => {
      child.on('close', (code) =>
        resolve({
          status: code ?? 137,
          stdout: this.stdout,
          stderr: this.stderr,
          tookMs: performance.now() - startMs,
        }),
      )
    })
  }

  /** Rejects when it has not ended by then. */
  async endsWithin(ms: number, what: string): Promise<Timed> {
    const timeout = Promise.withResolvers<never>()
    const fail = () =>
      timeout.reject(new Error(`${what}: not ended within ${ms} ms\n${this.stdout}${this.stderr}`))
    const timer = setTimeout(fail, ms)
    try {
      return await Promise.race([this.ended, timeout.promise])
    } finally {
      clearTimeout(timer)
      this.child.kill('SIGKILL')
    }
  }
}

export function start(machine: Machine, args: readonly string[]): Started {
  return new Started(machine.start(args))
}

/** Whether a process with exactly this command line is on the machine. Not through its agent. */
export async function hasProcess(lab: Lab, machine: string, line: string): Promise<boolean> {
  const { status } = await lab.machine(machine).exec(['pgrep', '-fx', line])
  return status === 0
}

export async function untilProcess(lab: Lab, machine: string, line: string): Promise<void> {
  await lab.until(`"${line}" is on ${machine}`, () => hasProcess(lab, machine, line))
}

export async function untilNoProcess(
  lab: Lab,
  machine: string,
  line: string,
  timeoutMs = 15_000,
): Promise<void> {
  const check = async () => !(await hasProcess(lab, machine, line))
  await lab.until(`"${line}" is gone from ${machine}`, check, timeoutMs)
}

/** Every machine sees every other one. */
export async function untilAllUp(lab: Lab, from: readonly string[]): Promise<void> {
  for (const name of from) {
    await lab.until(`${name} sees all machines`, async () => {
      const { status } = await lab.machine(name).holon(['ps', '-A'])
      return status === 0 && (await lab.machine(name).holon(['machines'])).status === 0
    })
  }
}

export function assertStatus(result: Result, status: number, what: string): void {
  assert.equal(result.status, status, `${what}: ${JSON.stringify(result)}`)
}
