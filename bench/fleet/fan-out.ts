/**
 * `ps` over 200 simulated agents: a real agent asks them over real links; they listen on ports of this
 * host, in one process, and answer with this host's process table.
 *
 *     node bench/fleet/fan-out.ts [MACHINES]
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeEngineChoice } from '../../src/cluster/etcd/engine-file.ts'
import { createCa, issueCertificate } from '../../src/cluster/identity/certificates.ts'
import { type FleetPapers, Identity, saveIdentity } from '../../src/cluster/identity/identity.ts'
import { LiveConnections } from '../../src/cluster/identity/live.ts'
import {
  loadOrMakeMachineKey,
  type MachineKey,
  machineIdOf,
  newKeyPair,
} from '../../src/cluster/identity/machine-key.ts'
import type { MachineRecord } from '../../src/cluster/members.ts'
import {
  type MachinePart,
  type PageWish,
  type Peer,
  peerInterface,
} from '../../src/cluster/peer.ts'
import { openMachinePort } from '../../src/cluster/port.ts'
import { writeTextPage } from '../../src/cluster/text-page.ts'
import { connect } from '../../src/doors/sdk/connect.ts'
import { realClock } from '../../src/io/clock.ts'
import { callerSocket, identityDir, membersPath } from '../../src/io/paths.ts'
import type { MachineReport, ProcessListing } from '../../src/kernel/types.ts'
import { rpcServerSession } from '../../src/rpc/listen.ts'
import { TestAgent } from '../../test/e2e/harness.ts'
import type { Comparison } from '../measure.ts'

const clusterId = 'bench'
const rounds = 100
/** Processes of each machine. */
const rowsEach = 110
const version = '0.0.0'

interface Simulated {
  readonly record: MachineRecord
  readonly key: MachineKey
  readonly papers: FleetPapers
}

const rowTexts = new Map<string, readonly string[]>()

/** As a machine's own table does, but for reading /proc: the rows are made once. */
function pageOf(machine: string, listing: ProcessListing, wish: PageWish): string {
  const rows = rowTexts.get(machine) ?? rowsOf(machine, listing)
  rowTexts.set(machine, rows)
  const from = Number(wish.cursor ?? 0)
  let to = from
  for (let bytes = 0; to < rows.length && bytes < wish.bytes; to++) bytes += rows[to]?.length ?? 0
  const processes = rows.slice(from, to).join(',')
  if (to < rows.length) return writeTextPage({ lists: [processes, ''], cursor: String(to) })
  const machines = listing.machines.map((facts) => JSON.stringify({ ...facts, machine }))
  return writeTextPage({ lists: [processes, machines.join(',')] })
}

/** This host's processes, over and over until there are enough. */
function rowsOf(machine: string, { processes }: ProcessListing): readonly string[] {
  return Array.from({ length: rowsEach }, (_, i) =>
    JSON.stringify({ ...processes[i % processes.length], machine, pid: i + 1 }),
  )
}

/** Serves all machines that stdin names, until it ends. */
async function serve(): Promise<void> {
  const path = process.argv[3] ?? ''
  const { machines, listing, report } = JSON.parse(readFileSync(path, 'utf8')) as {
    machines: readonly Simulated[]
    listing: ProcessListing
    report: MachineReport
  }
  const isRemoved = () => false
  for (const { record, key, papers } of machines) {
    const live = new LiveConnections(realClock, isRemoved)
    const nothing = { units: [], runs: [], missing: [] }
    const part = {
      units: async () => nothing,
      runs: async () => nothing,
      processPage: async (_: unknown, wish: PageWish) => pageOf(record.name, listing, wish),
    } as unknown as MachinePart
    const peer = {
      part: async () => part,
      beat: async () => {},
      reaches: async () => true,
      report: async () => ({ ...report, atMs: Date.now() }),
    } as unknown as Peer
    const [address = ''] = record.addresses
    await openMachinePort(
      { clock: realClock, identity: new Identity('/nonexistent', key, papers), isRemoved, live },
      {
        onRpc: ({ socket }) => {
          const onInternalError = (error: unknown) => console.error(error)
          rpcServerSession(realClock, socket, peerInterface, () => peer, {
            version,
            onInternalError,
          })
        },
        onStream: ({ socket }) => socket.destroy(),
        onJoin: ({ socket }) => socket.destroy(),
      },
      { host: '127.0.0.1', port: Number(address.split(':')[1]) },
    )
  }
  process.stdout.write('ready\n')
  process.stdin.on('end', () => process.exit(0)).resume()
}

/** Of its whole life; a tick of /proc is 10 ms. */
function cpuMsOf(pid: number | undefined): number {
  const [, fields = ''] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')
  const [user, system] = fields.split(' ').slice(11, 13)
  return (Number(user) + Number(system)) * 10
}

async function ownFacts(socketPath: string) {
  await using holon = await connect({ socketPath })
  const [own] = (await holon.machines()).machines
  return { listing: await holon.processes(), report: own?.report }
}

export async function fanOutBench(count = 200): Promise<readonly Comparison[]> {
  await using agent = await TestAgent.up()
  const socketPath = callerSocket(join(agent.dir, 'run'), process.getuid?.() ?? 0)
  const { listing, report } = await ownFacts(socketPath)
  agent.ok(['down'])

  const nowMs = Date.now()
  const ca = await createCa({ name: 'bench', nowMs })
  const certified = async (key: MachineKey) => {
    const { machineId, publicKey } = key
    const certPem = await issueCertificate({ ca, machineId, publicKey, clusterId, nowMs })
    return { clusterId, caPem: ca.certPem, certPem }
  }
  const recordOf = (key: MachineKey, name: string, address: string): MachineRecord => ({
    machineId: key.machineId,
    name,
    publicKey: key.publicKey,
    addresses: [address],
    zone: '',
    labels: {},
    version,
    joinedAtMs: nowMs,
  })
  const machines: Simulated[] = []
  for (let i = 1; i <= count; i++) {
    const pair = newKeyPair()
    const key = { ...pair, machineId: machineIdOf(pair.publicKey) }
    const record = recordOf(key, `s${String(i).padStart(3, '0')}`, `127.0.0.1:${30_000 + i}`)
    machines.push({ record, key, papers: await certified(key) })
  }
  const stateDir = join(agent.dir, 'state')
  const own = loadOrMakeMachineKey(identityDir(stateDir))
  mkdirSync(identityDir(stateDir), { recursive: true })
  saveIdentity(identityDir(stateDir), own, await certified(own))
  const all = [recordOf(own, 'asks', '127.0.0.1:29999'), ...machines.map(({ record }) => record)]
  writeFileSync(
    membersPath(stateDir),
    JSON.stringify({ machines: all, removed: [], stateKeepers: [] }),
  )
  writeEngineChoice(stateDir, { engine: 'link', era: 0 })
  const path = join(agent.dir, 'simulated.json')
  writeFileSync(path, JSON.stringify({ machines, listing, report }))
  const server = spawn(process.execPath, [import.meta.filename, '--serve', path], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  try {
    await once(server.stdout, 'data')
    agent.ok(['up', '--listen', '127.0.0.1:29999'])
    await using holon = await connect({ socketPath })
    const times: number[] = []
    let first = 0
    for (let round = 0; round < rounds; round++) {
      const start = performance.now()
      const { machines: answered, missing, processes } = await holon.processes({ fanOutMs: 10_000 })
      const ms = performance.now() - start
      if (round === 0) {
        first = ms
        process.stderr.write(`${processes.length} processes, first time ${ms.toFixed(0)} ms\n`)
      } else times.push(ms)
      if (answered.length !== count + 1) throw new Error(`missing: ${JSON.stringify(missing[0])}`)
    }
    times.sort((a, b) => a - b)
    const p99 = times[Math.floor(times.length * 0.99)] ?? Number.NaN
    const { machines: seen } = await holon.machines()
    const asking = seen.find(({ name }) => name === 'asks')?.report?.agentPid
    const status = readFileSync(`/proc/${asking}/status`, 'utf8')
    const hwmMb = (Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1]) * 1024) / 1e6
    const rssMb = (Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) * 1024) / 1e6
    const plain = (what: string, ours: number, peer: number, unit: string): Comparison => {
      const ratio = ours / peer
      return { what, ours, peer, unit, ratio, bar: '≤ 1 ×', met: ratio <= 1 }
    }
    const median = times[times.length >> 1] ?? Number.NaN
    const cpuMs = (cpuMsOf(asking) / rounds).toFixed(0)
    process.stderr.write(
      `peak ${hwmMb.toFixed(0)} MB, median ${median.toFixed(0)} ms, ` +
        `the asking agent's CPU ${cpuMs} ms for each\n`,
    )
    return [
      plain(`ps over ${count} simulated agents, p99 / its bar`, Math.max(p99, 0), 1000, 'ms'),
      plain(`the same, first time with ${count} handshakes / its bar`, first, 1000, 'ms'),
      plain('the asking agent, RSS / its bar', rssMb, 150, 'MB'),
    ]
  } finally {
    server.stdin.end()
  }
}

if (import.meta.main) {
  if (process.argv[2] === '--serve') await serve()
  else console.log(await fanOutBench(Number(process.argv[2] ?? 200)))
}
