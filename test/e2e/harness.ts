/**
 * A real agent of its own for a test: the launcher, the bundles, the keepers, in a directory that is
 * gone afterwards with every process it started. Needs `npm run build` (npm test does it).
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

export const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..')
export const launcher = join(root, 'holon')
export const isRoot = process.getuid?.() === 0

export interface Result {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

export interface LabOptions {
  /** 'sh': the fallback keeper. */
  readonly keeper?: 'c' | 'sh'
}

/** One agent with its directory. `await using` ends and removes all of it. */
export class TestAgent implements AsyncDisposable {
  readonly dir: string
  readonly env: NodeJS.ProcessEnv

  private constructor(options: LabOptions) {
    this.dir = mkdtempSync(join(tmpdir(), 'holon-'))
    this.env = {
      ...process.env,
      HOLON_DIR: this.dir,
      NO_COLOR: '1',
      ...(options.keeper === 'sh' ? { HOLON_KEEPER: 'sh' } : {}),
    }
  }

  /** Made and up. */
  static async up(options: LabOptions = {}): Promise<TestAgent> {
    const agent = new TestAgent(options)
    agent.ok(['up'])
    return agent
  }

  /** Made, not started. */
  static make(options: LabOptions = {}): TestAgent {
    return new TestAgent(options)
  }

  /** Runs `holon ARGS…` to its end. */
  holon(
    args: readonly string[],
    options: {
      input?: string | Buffer
      env?: NodeJS.ProcessEnv
      cwd?: string
      timeoutMs?: number
    } = {},
  ): Result {
    const result = spawnSync(launcher, args, {
      env: { ...this.env, ...options.env },
      encoding: 'utf8',
      timeout: options.timeoutMs ?? 60_000,
      maxBuffer: 1 << 28,
      cwd: options.cwd ?? this.dir,
      ...(options.input === undefined
        ? { stdio: ['ignore', 'pipe', 'pipe'] }
        : { input: options.input }),
    })
    const status = result.status ?? 128 + (result.signal === null ? 0 : 1)
    return { status, stdout: result.stdout, stderr: result.stderr + (result.error?.message ?? '') }
  }

  /** Runs a shell line in which "$HOLON" is the launcher. */
  shell(line: string): Result {
    const env = { ...this.env, HOLON: launcher }
    const result = spawnSync('bash', ['-c', line], {
      env,
      encoding: 'utf8',
      timeout: 60_000,
      cwd: this.dir,
    })
    return { status: result.status ?? 255, stdout: result.stdout, stderr: result.stderr }
  }

  /** `holon ARGS…`, which must succeed; its stdout. */
  ok(args: readonly string[], options: Parameters<TestAgent['holon']>[1] = {}): string {
    const result = this.holon(args, options)
    if (result.status !== 0) {
      throw new Error(
        `holon ${args.join(' ')}: ${result.status}\n${result.stdout}${result.stderr}\n${this.diary()}`,
      )
    }
    return result.stdout
  }

  json<T>(args: readonly string[]): T {
    return JSON.parse(this.ok(args)) as T
  }

  /** Starts `holon ARGS…` and leaves it running. */
  start(args: readonly string[], options: { stdio?: 'pipe' | 'ignore' } = {}): ChildProcess {
    return spawn(launcher, args, { env: this.env, cwd: this.dir, stdio: options.stdio ?? 'pipe' })
  }

  agentPid(): number {
    return this.json<{ agentPid: number }>(['status', '--json']).agentPid
  }

  /** kill -9 of the agent, gone when it resolves. */
  async killAgent(): Promise<void> {
    const pid = this.agentPid()
    process.kill(pid, 'SIGKILL')
    await until(`agent ${pid} is gone`, () => !isAlive(pid))
  }

  /** Writes a unit file and gives its path. */
  unit(name: string, text: string): string {
    const path = join(this.dir, name)
    writeFileSync(path, text)
    return path
  }

  /** What the agent said, for failures. */
  diary(): string {
    try {
      return readFileSync(join(this.dir, 'state/agent.log'), 'utf8')
    } catch {
      return '(the agent wrote nothing)'
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.holon(['down', '--all'])
    // Whatever a failed test left: only processes that carry this directory in their environment.
    for (const pid of pidsOf(this.dir)) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // Gone meanwhile.
      }
    }
    await until('nothing of the test is left', () => pidsOf(this.dir).length === 0)
    rmSync(this.dir, { recursive: true, force: true })
  }
}

/** Processes whose environment names `dir`. */
function pidsOf(dir: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
        if (/\) [ZX] /.test(stat)) return false
        return readFileSync(`/proc/${pid}/environ`, 'utf8').includes(`HOLON_DIR=${dir}\0`)
      } catch {
        return false
      }
    })
    .map(Number)
}

export function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return !/\) [ZX] /.test(stat)
  } catch {
    return false
  }
}

/** Polls until `check` is true, at most `timeoutMs`; on failure `state` tells what is there. */
export async function until(
  what: string,
  check: () => boolean | Promise<boolean>,
  options: { timeoutMs?: number; state?: () => string } = {},
): Promise<void> {
  const endMs = performance.now() + (options.timeoutMs ?? 15_000)
  while (!(await check())) {
    if (performance.now() > endMs)
      throw new Error(`not so in time: ${what}\n${options.state?.() ?? ''}`)
    await sleep(20)
  }
}

export interface UnitJson {
  readonly name: string
  readonly active: string
  readonly sub: string
  readonly enabled: boolean
  readonly instances: readonly {
    readonly name: string
    readonly active: string
    readonly sub: string
    readonly pid: number
    readonly restarts: number
    readonly result: string
    readonly exit?: { readonly code?: number; readonly signal?: string }
    readonly pids: readonly number[]
  }[]
}

/** One unit's status. */
export function unitOf(agent: TestAgent, name: string): UnitJson {
  const result = agent.holon(['status', '--json', name])
  const [unit] = JSON.parse(result.stdout) as UnitJson[]
  if (unit === undefined) throw new Error(`no status of ${name}: ${result.stderr}`)
  return unit
}
