/**
 * Machines with a real etcd each, on 127.0.0.1, for tests: what an agent would put together, with a
 * plain child process instead of a keeper and calls instead of links.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Clock, type Deadline, deadline } from '../../src/base/clock.ts'
import { HolonError } from '../../src/base/errors.ts'
import { backUpFleet } from '../../src/cluster/etcd/fleet-backup.ts'
import { LocalStateMember, memberPaths } from '../../src/cluster/etcd/local-member.ts'
import { clientSocketPath } from '../../src/cluster/etcd/member-service.ts'
import { Membership } from '../../src/cluster/etcd/membership.ts'
import type { MachineView } from '../../src/cluster/etcd/plan.ts'
import type {
  ServiceRunner,
  ServiceSpec,
  ServiceState,
} from '../../src/cluster/etcd/service-runner.ts'
import type { StateMembers } from '../../src/cluster/etcd/state-members.ts'
import { realClock } from '../../src/io/clock.ts'
import { realRandom } from '../../src/io/random.ts'
import { EtcdClient } from '../../src/state/etcd/client.ts'
import { openEtcd } from '../../src/state/etcd/etcd-state.ts'
import type { State } from '../../src/state/port.ts'

export const needsEtcd = existsSync('/usr/bin/etcd') ? false : 'needs etcd (Debian: etcd-server)'

export function limit(ms = 30_000): Deadline {
  return deadline(realClock, ms)
}

let nextPort = 24_000 + (process.pid % 90) * 10

/** A port in the range of these tests that nobody listens on. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = nextPort
    nextPort = nextPort >= 24_999 ? 24_000 : nextPort + 1
    const free = await new Promise<boolean>((resolve) => {
      const server = createServer()
      server.once('error', () => resolve(false))
      server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
    })
    if (free) return port
  }
}

/** Restarts its child until stopped, as a keeper does, but ends with this process. */
export class ChildService implements ServiceRunner {
  readonly logDir: string
  /** In etcd's command line, of this machine only. */
  readonly #mark: string
  #spec: string | undefined
  #child: ChildProcess | undefined
  #restarts = 0

  constructor(logDir: string, mark: string) {
    this.logDir = logDir
    this.#mark = mark
  }

  async start(spec: ServiceSpec): Promise<void> {
    const text = JSON.stringify(spec)
    if (this.#spec === text) return
    await this.stop()
    this.#spec = text
    this.#spawn(spec, text)
  }

  async stop(): Promise<void> {
    this.#spec = undefined
    const child = this.#child
    if (child === undefined) await this.#stopOrphan()
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const over = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGCONT')
    child.kill('SIGTERM')
    const timer = setTimeout(() => child.kill('SIGKILL'), 5_000)
    await over
    clearTimeout(timer)
  }

  state(): ServiceState {
    const pid = this.#child?.pid
    if (this.#spec === undefined || pid === undefined) return { kind: 'stopped' }
    return { kind: 'running', pid, restarts: this.#restarts }
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal)
  }

  // Left by a process that was killed; with a keeper it would have been adopted.
  async #stopOrphan(): Promise<void> {
    const path = join(this.logDir, 'pid')
    const pid = existsSync(path) ? Number(readFileSync(path, 'utf8')) : 0
    const isOurs = () => {
      try {
        return pid > 0 && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(this.#mark)
      } catch {
        return false
      }
    }
    if (isOurs()) process.kill(pid, 'SIGTERM')
    while (isOurs()) await new Promise((resolve) => setTimeout(resolve, 10))
  }

  #spawn(spec: ServiceSpec, text: string): void {
    mkdirSync(this.logDir, { recursive: true })
    const log = openSync(join(this.logDir, 'log'), 'a')
    for (const path of spec.removeFirst) rmSync(path, { force: true })
    const [argv0 = 'etcd', ...args] = spec.argv
    const child = spawn(spec.path, args, {
      argv0,
      cwd: spec.cwd,
      env: { ...spec.env },
      stdio: ['ignore', log, log],
    })
    closeSync(log)
    writeFileSync(join(this.logDir, 'pid'), String(child.pid ?? 0))
    this.#child = child
    child.on('exit', () => {
      if (this.#spec !== text) return
      this.#restarts += 1
      setTimeout(() => {
        if (this.#spec === text && this.#child === child) this.#spawn(spec, text)
      }, 100)
    })
  }
}

export class BenchMachine {
  readonly machineId: string
  readonly zone: string
  readonly stateDir: string
  readonly port: number
  readonly service: ChildService
  readonly api: EtcdClient
  readonly member: LocalStateMember
  readonly paths: ReturnType<typeof memberPaths>
  readonly reports: string[] = []
  up = true
  sinceMs = realClock.nowMs()
  peerHost = '127.0.0.1'
  #states: State[] = []

  constructor(root: string, name: string, port: number, zone: string) {
    this.machineId = name
    this.zone = zone
    this.port = port
    const dir = join(root, name)
    this.stateDir = join(dir, 's')
    this.paths = memberPaths(this.stateDir, join(dir, 'r'))
    this.service = new ChildService(this.paths.logDir, this.paths.dir)
    this.api = new EtcdClient({ clock: realClock }, [{ socketPath: clientSocketPath(this.paths) }])
    this.member = this.newMember()
  }

  newMember(clock: Clock = realClock): LocalStateMember {
    const report = (message: string) => void this.reports.push(message)
    const deps = { clock, service: this.service, api: this.api, report }
    return new LocalStateMember(deps, {
      stateDir: this.stateDir,
      paths: this.paths,
      machineId: this.machineId,
      listenPeer: this.listenPeer,
      hosts: () => [],
    })
  }

  get listenPeer(): string {
    return `0.0.0.0:${this.port}`
  }

  get peerUrl(): string {
    return `https://${this.peerHost}:${this.port}`
  }

  get view(): MachineView {
    const { machineId, zone, peerUrl, up } = this
    const forMs = realClock.nowMs() - this.sinceMs
    return { machineId, name: machineId, zone, peerUrl, up, forMs, canHost: true }
  }

  openEngine = (): Promise<State> => {
    const socketPath = clientSocketPath(this.paths)
    const deps = { clock: realClock, random: realRandom }
    const state = openEtcd(deps, { endpoints: [{ socketPath }] })
    this.#states.push(state)
    return Promise.resolve(state)
  }

  /** The machine is lost: nothing of it answers, and nothing restarts it. */
  async kill(): Promise<void> {
    this.up = false
    this.sinceMs = realClock.nowMs()
    this.service.signal('SIGKILL')
    await this.service.stop()
  }

  async back(): Promise<void> {
    using bound = limit()
    this.up = true
    this.sinceMs = realClock.nowMs()
    await this.member.open(bound)
  }

  async end(): Promise<void> {
    for (const state of this.#states) await state.close().catch(() => undefined)
    await this.service.stop()
    this.api[Symbol.dispose]()
  }
}

export class Bench implements AsyncDisposable {
  readonly root = mkdtempSync(join(tmpdir(), 'holon-members-'))
  machines: BenchMachine[] = []
  readonly silentMs: number
  atStep: (step: string) => void = () => {}
  readonly #all: BenchMachine[] = []
  #memberships = new Map<BenchMachine, Membership>()

  constructor(silentMs = 3_000) {
    this.silentMs = silentMs
  }

  async add(name: string, zone = ''): Promise<BenchMachine> {
    const machine = new BenchMachine(this.root, name, await freePort(), zone)
    this.machines.push(machine)
    this.#all.push(machine)
    return machine
  }

  /** As if every agent began anew: nothing is remembered between steps. */
  forget(): void {
    this.#memberships.clear()
  }

  find(machineId: string): BenchMachine {
    const machine = this.machines.find((each) => each.machineId === machineId)
    if (machine?.up !== true) throw new HolonError('unavailable', `${machineId} is not reachable`)
    return machine
  }

  readonly stateMembers: StateMembers = {
    prepare: async (id, request, options) => this.find(id).member.prepare(request, options),
    stopMember: async (id, request, options) => this.find(id).member.stopMember(request, options),
    readdress: async (id, request, options) => this.find(id).member.readdress(request, options),
    status: async (id, options) => this.find(id).member.status(options),
  }

  async membership(machine: BenchMachine): Promise<Membership> {
    const known = this.#memberships.get(machine)
    if (known !== undefined) return known
    const state = await machine.openEngine()
    const made = new Membership(
      {
        clock: realClock,
        random: realRandom,
        api: machine.api,
        state,
        members: this.stateMembers,
        machines: () => this.machines.map(({ view }) => view),
        backup: (signal) => backUpFleet(state, machine.stateDir, { signal }),
        report: (message) => void machine.reports.push(message),
        atStep: (step) => this.atStep(step),
      },
      {
        machineId: machine.machineId,
        silentMs: this.silentMs,
        engine: () => {
          const { choice } = machine.member
          assert.ok(choice.engine === 'etcd')
          return choice
        },
      },
    )
    this.#memberships.set(machine, made)
    return made
  }

  /** One look on every machine that runs an etcd; what each said, for messages. */
  async round(): Promise<readonly string[]> {
    const said: string[] = []
    for (const machine of this.machines) {
      if (!machine.up || machine.member.choice.engine !== 'etcd') continue
      using bound = limit(10_000)
      try {
        const step = await (await this.membership(machine)).step(bound)
        const what = step.kind === 'task' ? `${step.task.kind}: ${step.task.reason}` : ''
        said.push(`${machine.machineId}: ${step.kind === 'nothing' ? step.reason : what}`)
      } catch (error) {
        said.push(`${machine.machineId} failed: ${error instanceof Error ? error.message : error}`)
      }
    }
    return said
  }

  /** Rounds until `done`, or fails with what was said. */
  async until(done: () => Promise<boolean>, what: string, ms = 60_000): Promise<void> {
    const end = realClock.nowMs() + ms
    const told: string[] = []
    for (;;) {
      for (const line of await this.round()) if (told.at(-1) !== line) told.push(line)
      if (await done()) return
      if (realClock.nowMs() > end) this.#fail(what, told)
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }

  #fail(what: string, told: readonly string[]): never {
    const logs = this.machines.map(({ machineId, paths }) => {
      const path = join(paths.logDir, 'log')
      const text = existsSync(path) ? readFileSync(path, 'utf8') : ''
      return `${machineId}:\n${text.split('\n').slice(-12).join('\n')}`
    })
    assert.fail(`${what}:\n${told.slice(-6).join('\n')}\n${logs.join('\n')}`)
  }

  /** Ids of the machines whose etcd has a vote, by one that answers; sorted. */
  async voters(): Promise<readonly string[]> {
    for (const machine of this.machines.filter(({ up }) => up)) {
      if (machine.member.choice.engine !== 'etcd') continue
      using bound = limit(3_000)
      try {
        const answer = await machine.api.post('cluster/member/list', {}, bound)
        const rows = (answer['members'] ?? []) as readonly { name?: string; isLearner?: boolean }[]
        return rows
          .filter((row) => row.isLearner !== true)
          .map((row) => row.name ?? '?')
          .sort()
      } catch {
        // The next one may know.
      }
    }
    return []
  }

  async untilVoters(wanted: readonly string[] | number, ms = 60_000): Promise<void> {
    let last: readonly string[] = []
    const done = async () => {
      last = await this.voters()
      if (typeof wanted === 'number') return last.length === wanted
      return last.join() === [...wanted].sort().join()
    }
    await this.until(done, `waited for voters ${wanted}`, ms).catch((error: unknown) => {
      throw new Error(`voters are ${last.join()}; ${String(error)}`)
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const machine of this.#all) await machine.end()
    rmSync(this.root, { recursive: true, force: true })
  }
}
