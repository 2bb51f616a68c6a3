/** The measured promises, each beside its peer. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  constants,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '../src/doors/sdk/connect.ts'
import { launcher, type TestAgent, unitOf, until } from '../test/e2e/harness.ts'
import { atMost, type Comparison, inTurn, median, timeCommand } from './measure.ts'
import { measurePlacement } from './placement.ts'
import { httpPort, tcpPort } from './ports.ts'
import { measureRpcCall } from './rpc-call.ts'

export type Case = (agent: TestAgent) => Promise<readonly Comparison[]>

const node = process.execPath
const bareEnv = { ...process.env, NODE_EXTRA_CA_CERTS: undefined, NODE_OPTIONS: undefined }
const nodeStart = { name: 'node', run: () => timeCommand(node, ['-e', '0'], bareEnv) }

const version: Case = async () => {
  const [ours = 0, peer = 0] = await inTurn(21, [
    { name: 'holon', run: () => timeCommand(launcher, ['--version']) },
    nodeStart,
  ])
  return [atMost('holon --version / node -e 0', ours, peer, 1.5)]
}

const runTrue: Case = async (agent) => {
  const [ours = 0, peer = 0] = await inTurn(21, [
    { name: 'holon', run: () => timeCommand(launcher, ['run', 'true'], agent.env) },
    nodeStart,
  ])
  return [atMost('holon run true / node -e 0', ours, peer, 2)]
}

const sdkRun: Case = async (agent) => {
  await using holon = await connect({
    socketPath: join(agent.dir, 'run/user', String(process.getuid?.()), 'agent.sock'),
  })
  const [ours = 0, peer = 0] = await inTurn(200, [
    {
      name: 'sdk',
      run: async () => {
        const start = performance.now()
        await holon.run('true')
        return performance.now() - start
      },
    },
    {
      name: 'spawn',
      run: async () => {
        const start = performance.now()
        await once(spawn('true', { stdio: 'ignore' }), 'exit')
        return performance.now() - start
      },
    },
  ])
  return [atMost("SDK run('true') / child_process.spawn", ours, peer, 2)]
}

const rpcCall: Case = async () => {
  const { ours, peer } = await measureRpcCall()
  return [atMost('SDK call, 64 bytes / raw unix socket', ours, peer, 3, 'µs')]
}

/** A fifo that each start of a service writes its pid to; reads the pid with the time of its coming. */
class Starts implements Disposable {
  readonly path: string
  readonly #socket: Socket
  #text = ''
  #waiting: ((start: { pid: number; atMs: number }) => void) | undefined

  constructor(dir: string) {
    this.path = join(dir, 'starts')
    spawnSync('mkfifo', [this.path])
    this.#socket = new Socket({ fd: openSync(this.path, constants.O_RDWR | constants.O_NONBLOCK) })
    this.#socket.on('data', (data) => {
      this.#text += data
      for (let at = this.#text.indexOf('\n'); at >= 0; at = this.#text.indexOf('\n')) {
        const start = { pid: Number(this.#text.slice(0, at)), atMs: performance.now() }
        this.#text = this.#text.slice(at + 1)
        this.#waiting?.(start)
      }
    })
  }

  next(): Promise<{ pid: number; atMs: number }> {
    return new Promise((resolve) => {
      this.#waiting = resolve
    })
  }

  [Symbol.dispose](): void {
    this.#socket.destroy()
  }
}

async function killToReplacement(starts: Starts, begin: () => void): Promise<number> {
  const kills = 15
  const first = starts.next()
  begin()
  let { pid } = await first
  const times: number[] = []
  for (let i = 0; i < kills; i++) {
    // runsv waits a second for a service that ran for less than one.
    await sleep(1100)
    const next = starts.next()
    const start = performance.now()
    process.kill(pid, 'SIGKILL')
    const replacement = await next
    times.push(replacement.atMs - start)
    pid = replacement.pid
  }
  return median(times)
}

const restart: Case = async (agent) => {
  const dir = mkdtempSync(join(tmpdir(), 'bench-'))
  using starts = new Starts(dir)
  const script = join(dir, 'service')
  writeFileSync(script, `#!/bin/sh\necho $$ > ${starts.path}\nexec sleep 100000\n`, { mode: 0o755 })
  const unit = agent.unit(
    'bench.service',
    `[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=${script}\nRestart=always\nRestartSec=0\n`,
  )
  const ours = await killToReplacement(starts, () => agent.ok(['start', unit]))
  agent.ok(['stop', 'bench'])
  const service = join(dir, 'runit')
  mkdirSync(service)
  writeFileSync(join(service, 'run'), `#!/bin/sh\nexec ${script}\n`, { mode: 0o755 })
  let runsv: ReturnType<typeof spawn> | undefined
  const peer = await killToReplacement(starts, () => {
    runsv = spawn('runsv', [service], { stdio: 'ignore' })
  })
  spawnSync('sv', ['force-stop', service])
  runsv?.kill('SIGTERM')
  if (runsv !== undefined) await once(runsv, 'exit')
  rmSync(dir, { recursive: true })
  return [atMost('kill -9 → replacement / runit', ours, peer, 1.5)]
}

const cat: Case = async (agent) => {
  const path = join(agent.dir, 'big')
  const bytes = 2 * 2 ** 30
  spawnSync('truncate', ['-s', String(bytes), path])
  const gib = statSync(path).size / 2 ** 30
  const through = (command: string) => () =>
    timeCommand('bash', ['-c', `${command} | cat > /dev/null`], { ...agent.env, HOLON: launcher })
  const [ours = 0, peer = 0] = await inTurn(3, [
    { name: 'holon', run: through(`"$HOLON" run cat ${path}`) },
    { name: 'cat', run: through(`cat ${path}`) },
  ])
  rmSync(path)
  const ratio = peer / ours
  const [oursRate, peerRate] = [(gib * 1000) / ours, (gib * 1000) / peer]
  return [
    {
      what: 'holon run cat, 2 GiB / cat',
      ours: oursRate,
      peer: peerRate,
      unit: 'GiB/s',
      ratio,
      bar: '≥ 0.4 ×',
      met: ratio >= 0.4,
    },
  ]
}

const ps: Case = async (agent) => {
  const others = Array.from({ length: 500 }, () => spawn('sleep', ['1000'], { stdio: 'ignore' }))
  try {
    const [ours = 0, peer = 0, start = 0] = await inTurn(15, [
      { name: 'holon', run: () => timeCommand(launcher, ['ps', '-A'], agent.env) },
      { name: 'ps', run: () => timeCommand('ps', ['-ef']) },
      nodeStart,
    ])
    return [atMost("holon ps -A less Node's start / ps -ef, 500 processes", ours - start, peer, 2)]
  } finally {
    for (const other of others) other.kill('SIGKILL')
  }
}

const idle: Case = async (agent) => {
  const jobs = 500
  const unit = agent.unit(
    'many.service',
    `[Service]\nExecStart=/bin/sleep 100000\n[X-Holon]\nInstances=${jobs}\n`,
  )
  const pid = agent.agentPid()
  await sleep(5000)
  const idleRssMb = memoryKb(pid, 'Rss') / 1024
  agent.ok(['start', unit])
  await until(
    'all jobs run',
    () => unitOf(agent, 'many').instances.filter((i) => i.active === 'active').length === jobs,
    { timeoutMs: 120_000 },
  )
  await sleep(10_000)
  const cpu = cpuTicks(pid)
  await sleep(20_000)
  const share = ((cpuTicks(pid) - cpu) * 10) / 20_000
  const keepers = unitOf(agent, 'many').instances.map((i) => parentOf(i.pid))
  const privateMb = median(
    keepers.map((k) => (memoryKb(k, 'Private_Clean') + memoryKb(k, 'Private_Dirty')) / 1024),
  )
  agent.ok(['stop', 'many'])
  const plain = (what: string, value: number, bar: number, unit: string): Comparison => ({
    what,
    ours: value,
    peer: bar,
    unit,
    ratio: value / bar,
    bar: '≤ 1 ×',
    met: value <= bar,
  })
  return [
    plain('agent idle, RSS / its bar', idleRssMb, 80, 'MB'),
    plain(`agent idle with ${jobs} jobs, share of a core / its bar`, share * 100, 0.5, '%'),
    plain('private memory of a keeper / its bar', privateMb, 0.3, 'MB'),
  ]
}

function memoryKb(pid: number, field: string): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
  return Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? Number.NaN)
}

/** User and system time, in clock ticks of 10 ms. */
function cpuTicks(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return Number(fields[11]) + Number(fields[12])
}

function parentOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ')[1])
}

export const cases: Readonly<Record<string, Case>> = {
  version,
  'run-true': runTrue,
  'sdk-run': sdkRun,
  'rpc-call': rpcCall,
  restart,
  cat,
  ps,
  idle,
  placement: measurePlacement,
  'ports-http': httpPort,
  'ports-tcp': tcpPort,
}
