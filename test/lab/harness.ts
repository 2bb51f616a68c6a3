/**
 * A lab for a test: machines with real agents (`holon lab`), gone afterwards with everything that
 * was theirs, which is checked. Needs root, iproute2, util-linux, nftables or iptables, and
 * `npm run build`. A lab's name has its test process in it: no two runs meet, also not two of the
 * same test, and what a killed one left is known by that.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { realClock } from '../../src/io/clock.ts'
import { realHost } from '../../src/io/host.ts'
import { childrenOf, signalPid } from '../../src/io/namespaces.ts'
import { Lab as RealLab } from '../../src/lab/lab.ts'
import { type LabRecord, labNames, readRecord } from '../../src/lab/record.ts'
import { isRoot, launcher, type Result, root, until as untilPlain } from '../e2e/harness.ts'

export { type Result, root } from '../e2e/harness.ts'

/** For node:test's `skip`: why no lab can be here, or false. */
export const noLab: string | false = isRoot ? false : 'needs root'

/** What this process may call its labs. */
export function labName(subject: string): string {
  return `test-${subject}-${process.pid}`
}

export interface LabOptions {
  /** Of `labName`. */
  readonly name: string
  /** Default: joined. */
  readonly join?: boolean
  /** Where their disks are. Default: in memory. */
  readonly dir?: string
}

export interface CommandOptions {
  readonly input?: string | Buffer
  readonly env?: Readonly<Record<string, string>>
  readonly timeoutMs?: number
}

const commandTimeoutMs = 60_000
/** Each machine builds its keeper. */
const upTimeoutMs = 180_000

/**
 * A lab's disks are in memory: its machines would have one disk together otherwise, which answers
 * none of them for seconds when one writes a lot; real ones each have their own.
 */
const memoryOf = (name: string) => `/opt/holon-lab-${name}`

/** `await using` removes all of it, whatever the test did, and checks that nothing is left. */
export class Lab implements AsyncDisposable {
  readonly name: string
  readonly #real: RealLab
  #inMemory = false

  private constructor(name: string) {
    this.name = name
    const program = { packageDir: root, nodeDir: dirname(dirname(process.execPath)) }
    const deps = { clock: realClock, host: realHost(), program, report: () => {} }
    this.#real = new RealLab(deps, name)
  }

  static async up(count: number, options: LabOptions): Promise<Lab> {
    await removeLeftLabs()
    const lab = new Lab(options.name)
    const single = options.join === false ? ['--no-join'] : []
    try {
      const dir = options.dir ?? lab.#useMemory()
      await lab.ok(['up', ...single, '--dir', dir, String(count)], { timeoutMs: upTimeoutMs })
    } catch (error) {
      await lab[Symbol.asyncDispose]()
      throw error
    }
    return lab
  }

  /** `up`, `work`, gone; what `work` throws is thrown with all agents' logs. */
  static async with(
    count: number,
    options: LabOptions,
    work: (lab: Lab) => Promise<void>,
  ): Promise<void> {
    await using lab = await Lab.up(count, options)
    try {
      await work(lab)
    } catch (error) {
      throw new Error(`${error instanceof Error ? error.stack : error}\n${lab.diary()}`, {
        cause: error,
      })
    }
  }

  /** `holon lab VERB --name NAME …`, which may fail. */
  lab(args: readonly string[], options: CommandOptions = {}): Promise<Result> {
    const [verb = '', ...rest] = args
    const argv = [launcher, 'lab', verb, '--name', this.name, ...rest]
    return finished(spawnPiped(argv, process.env), options)
  }

  /** The same, which must succeed; its stdout. */
  async ok(args: readonly string[], options: CommandOptions = {}): Promise<string> {
    const result = await this.lab(args, options)
    return mustSucceed(`holon lab ${args.join(' ')}`, result, () => this.diary())
  }

  machine(name: string): Machine {
    return new Machine(this, this.#real, name)
  }

  record(): LabRecord {
    const record = readRecord(this.name)
    assert.ok(record !== undefined, `there is no lab ${this.name}`)
    return record
  }

  status(): ReturnType<RealLab['status']> {
    return this.#real.status()
  }

  async kill(...names: readonly string[]): Promise<void> {
    await this.ok(['kill', ...names])
  }

  async restart(...names: readonly string[]): Promise<void> {
    await this.ok(['restart', ...names])
  }

  async freeze(...names: readonly string[]): Promise<void> {
    await this.ok(['freeze', ...names])
  }

  async thaw(...names: readonly string[]): Promise<void> {
    await this.ok(['thaw', ...names])
  }

  /** One machine from all, or two from each other. */
  async cut(name: string, other?: string): Promise<void> {
    await this.ok(['cut', name, ...(other === undefined ? [] : [other])])
  }

  async cutOneWay(from: string, to: string): Promise<void> {
    await this.ok(['cut', '--from', from, '--to', to])
  }

  /** 'n1,n2 / n3' */
  async partition(groups: string): Promise<void> {
    await this.ok(['partition', groups])
  }

  async loss(name: string, percent: number): Promise<void> {
    await this.ok(['loss', name, `${percent}%`])
  }

  async heal(name?: string): Promise<void> {
    await this.ok(['heal', ...(name === undefined ? [] : [name])])
  }

  /** Polls to a deadline; on failure the state and all logs are told. */
  async until(
    what: string,
    check: () => boolean | Promise<boolean>,
    timeoutMs = 15_000,
  ): Promise<void> {
    await untilPlain(what, check, { timeoutMs, state: () => this.diary() })
  }

  /** Until so many machines have a vote on the state: it outlives the loss of fewer than half. */
  async untilVoters(count: number): Promise<void> {
    const list = 'cd /run/holon/etcd && etcdctl --endpoints=unix://client:0 member list'
    await this.until(
      `${count} machines keep the state`,
      async () => {
        const { stdout } = await this.machine('n1').shell(list, { env: { ETCDCTL_API: '3' } })
        const voters = stdout.split('\n').filter((line) => /, started, .*, false$/.test(line))
        return voters.length === count
      },
      60_000,
    )
  }

  /** The lab's state and what every agent has said. */
  diary(): string {
    const record = readRecord(this.name)
    if (record === undefined) return '(no lab)'
    const logs = record.machines.map((number) => {
      const path = join(record.disksDir, `n${number}`, 'state/agent.log')
      const text = existsSync(path) ? readFileSync(path, 'utf8') : '(nothing)'
      return `--- n${number} ---\n${text.split('\n').slice(-40).join('\n')}`
    })
    return `${JSON.stringify(this.status(), undefined, 1)}\n${logs.join('\n')}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const record = readRecord(this.name)
    const { status, stderr } = await this.lab(['down'])
    assert.equal(status, 0, `holon lab down: ${stderr}`)
    if (this.#inMemory) unmountMemory(this.name)
    assertNothingLeft(this.name, record)
  }

  #useMemory(): string {
    const path = memoryOf(this.name)
    mkdirSync(path)
    execFileSync('mount', ['-t', 'tmpfs', 'holon-test', path])
    this.#inMemory = true
    return join(path, 'disks')
  }
}

/** A machine of a lab: commands in it, as its root. */
export class Machine {
  readonly name: string
  readonly #lab: Lab
  readonly #real: RealLab

  constructor(lab: Lab, real: RealLab, name: string) {
    this.#lab = lab
    this.#real = real
    this.name = name
  }

  get address(): string {
    const found = this.#lab.status().find(({ name }) => name === this.name)
    assert.ok(found !== undefined, `no machine ${this.name}`)
    return found.address
  }

  /** Runs `holon ARGS…` in the machine to its end. */
  holon(args: readonly string[], options: CommandOptions = {}): Promise<Result> {
    return this.exec([launcher, ...args], options)
  }

  /** `holon ARGS…`, which must succeed; its stdout. */
  async ok(args: readonly string[], options: CommandOptions = {}): Promise<string> {
    const result = await this.holon(args, options)
    return mustSucceed(`${this.name}: holon ${args.join(' ')}`, result, () => this.#lab.diary())
  }

  async json<T>(args: readonly string[]): Promise<T> {
    return JSON.parse(await this.ok(args)) as T
  }

  /** Runs any command in the machine to its end. */
  exec(argv: readonly string[], options: CommandOptions = {}): Promise<Result> {
    return finished(this.#spawn(argv, options.env), options)
  }

  shell(line: string, options: CommandOptions = {}): Promise<Result> {
    return this.exec(['bash', '-c', line], options)
  }

  /** Starts `holon ARGS…` and leaves it running. SIGKILL to it ends it at once, inside too. */
  start(args: readonly string[], options: Pick<CommandOptions, 'env'> = {}): ChildProcess {
    return this.startCommand([launcher, ...args], options)
  }

  startCommand(argv: readonly string[], options: Pick<CommandOptions, 'env'> = {}): ChildProcess {
    return this.#spawn(argv, options.env)
  }

  /** Sends a signal to a started command itself, not to what entered the machine for it. */
  signal(child: ChildProcess, signal: NodeJS.Signals): void {
    assert.ok(child.pid !== undefined)
    for (const pid of childrenOf(child.pid)) signalPid(pid, signal)
  }

  #spawn(argv: readonly string[], env: Readonly<Record<string, string>> = {}): ChildProcess {
    const entered = this.#real.enter(this.name, argv)
    return spawnPiped(entered.argv, { NO_COLOR: '1', ...entered.env, ...env })
  }
}

function unmountMemory(name: string): void {
  const path = memoryOf(name)
  if (!existsSync(path)) return
  execFileSync('umount', [path])
  rmdirSync(path)
}

/** Labs of test processes that were killed. */
async function removeLeftLabs(): Promise<void> {
  const left = labNames().filter((name) => {
    const pid = /^test-[a-z-]+-(\d+)\b/.exec(name)?.[1]
    return pid !== undefined && !existsSync(`/proc/${pid}`)
  })
  for (const name of left) {
    const argv = [launcher, 'lab', 'down', '--name', name]
    mustSucceed(argv.join(' '), await finished(spawnPiped(argv, process.env), {}), () => '')
    unmountMemory(name)
  }
}

/** Nothing of the lab is left on the host. `record`: as it was before its end, if known. */
export function assertNothingLeft(name: string, record: LabRecord | undefined): void {
  const processes = readdirSync('/proc')
    .filter((pid) => /^\d+$/.test(pid))
    .filter((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
        if (/\) [ZX] /.test(stat)) return false
        const environment = readFileSync(`/proc/${pid}/environ`, 'latin1')
        return environment.includes(`HOLON_LAB_INIT=${name}/n`)
      } catch {
        return false
      }
    })
  assert.deepEqual(processes, [], 'processes are left')
  const groups = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .filter((line) => line.split(' ')[2]?.startsWith('cgroup'))
    .map((line) => join(line.split(' ')[1] ?? '', `holon-lab-${name}`))
    .filter((path) => existsSync(path))
  assert.deepEqual(groups, [], 'control groups are left')
  const dirs = [`/run/holon-lab/${name}`, `/var/lib/holon-lab/${name}`, record?.disksDir ?? '']
  assert.deepEqual(dirs.filter(existsSync), [], 'directories are left')
  const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n')
  assert.deepEqual(
    mounts.filter((line) => new RegExp(`holon-lab/${name}[/ ]`).test(line)),
    [],
    'mounts are left',
  )
  if (record === undefined) return
  const ours = new RegExp(`^(holonlab${record.network}|hl${record.network}n\\d+)$`)
  const links = readdirSync('/sys/class/net').filter((link) => ours.test(link))
  assert.deepEqual(links, [], 'links are left')
}

function spawnPiped(argv: readonly string[], env: NodeJS.ProcessEnv): ChildProcess {
  const [file = '', ...args] = argv
  const child = spawn(file, args, { env, cwd: '/', stdio: 'pipe' })
  // A command that ends before it has read everything is no failure of the test.
  child.stdin?.on('error', () => {})
  return child
}

function finished(child: ChildProcess, options: CommandOptions): Promise<Result> {
  return new Promise((resolve, reject) => {
    const out: Buffer[] = []
    const err: Buffer[] = []
    const timer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? commandTimeoutMs)
    child.stdout?.on('data', (chunk: Buffer) => out.push(chunk))
    child.stderr?.on('data', (chunk: Buffer) => err.push(chunk))
    child.stdin?.end(options.input ?? '')
    child.on('error', reject)
    child.on('close', (code) => {
      clearTimeout(timer)
      const text = (chunks: readonly Buffer[]) => Buffer.concat(chunks).toString('utf8')
      resolve({ status: code ?? 137, stdout: text(out), stderr: text(err) })
    })
  })
}

function mustSucceed(what: string, result: Result, state: () => string): string {
  if (result.status === 0) return result.stdout
  throw new Error(`${what}: ${result.status}\n${result.stdout}${result.stderr}\n${state()}`)
}
