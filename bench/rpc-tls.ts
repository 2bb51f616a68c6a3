/**
 * A call of 64 bytes between machines (mutual TLS, checked certificates), against a raw round trip of
 * 64 bytes over TLS: two processes, one after the other, rounds of both in turn. Bar: at most 3.
 *
 *     node bench/rpc-tls.ts [ROUNDS]
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { deadline } from '../src/base/clock.ts'
import { createCa, issueCertificate } from '../src/cluster/identity/certificates.ts'
import { machineIdOf, newKeyPair } from '../src/cluster/identity/machine-key.ts'
import { realClock } from '../src/io/clock.ts'
import { listenTls } from '../src/io/listen-tls.ts'
import { connectTls, type TlsCredentials } from '../src/io/tls.ts'
import type { CallOptions } from '../src/kernel/types.ts'
import { rpcClient } from '../src/rpc/connect.ts'
import { defineInterface } from '../src/rpc/interface.ts'
import { rpcServerSession } from '../src/rpc/listen.ts'
import { callsPerRound, rawRound, timed, warmUpRounds } from './echo-rounds.ts'
import { median } from './measure.ts'

interface Echo {
  ping(payload: string, options: CallOptions): Promise<string>
}

const echoInterface = defineInterface<Echo>('Echo', { ping: { args: 1, idempotent: true } })
const version = '0.0.0'

async function credentials(): Promise<TlsCredentials> {
  const nowMs = Date.now()
  const ca = await createCa({ name: 'bench', nowMs })
  const { keyPem, publicKey } = newKeyPair()
  const machineId = machineIdOf(publicKey)
  const cert = await issueCertificate({ ca, machineId, publicKey, clusterId: 'bench', nowMs })
  return { key: keyPem, cert }
}

/** Echoes on one ALPN, answers calls on the other; prints its port. */
async function serve(): Promise<void> {
  const own = await credentials()
  const listener = await listenTls({
    host: '127.0.0.1',
    port: 0,
    alpns: ['raw', 'rpc'],
    credentials: () => own,
    onConnection: ({ socket, alpn }) => {
      if (alpn === 'raw') socket.on('data', (chunk: Buffer) => void socket.write(chunk))
      else {
        const echo: Echo = { ping: async (payload) => payload }
        rpcServerSession(realClock, socket, echoInterface, () => echo, {
          version,
          onInternalError: (error) => console.error(error),
        })
      }
    },
  })
  process.stdout.write(`${listener.port}\n`)
  process.stdin.on('end', () => process.exit(0)).resume()
}

/** Medians in µs of one call (`ours`) and of one raw round trip (`peer`). */
export async function measureRpcTls(rounds = 5): Promise<{ ours: number; peer: number }> {
  const server = spawn(process.execPath, [import.meta.filename, '--serve'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  try {
    const [chunk] = (await once(server.stdout, 'data')) as [Buffer]
    using limit = deadline(realClock, 600_000)
    const own = await credentials()
    const where = { host: '127.0.0.1', port: Number(chunk.toString()), credentials: own }
    const raw = await connectTls({ ...where, alpn: 'raw', signal: limit.signal })
    const rpc = await connectTls({ ...where, alpn: 'rpc', signal: limit.signal })
    await using client = rpcClient(realClock, rpc.socket, echoInterface, { version, peer: 'echo' })
    const payload = 'x'.repeat(64)
    const call = async () => {
      for (let i = 0; i < callsPerRound; i++) await client.main.ping(payload, limit)
    }
    const rawTimes: number[] = []
    const callTimes: number[] = []
    for (let round = -warmUpRounds; round < rounds; round++) {
      const rawUs = await timed(() => rawRound(raw.socket, Buffer.from(payload)))
      const callUs = await timed(call)
      if (round < 0) continue
      rawTimes.push(rawUs)
      callTimes.push(callUs)
    }
    raw.socket.destroy()
    return { ours: median(callTimes), peer: median(rawTimes) }
  } finally {
    server.stdin.end()
  }
}

if (import.meta.main) {
  if (process.argv[2] === '--serve') await serve()
  else {
    const { ours, peer } = await measureRpcTls(Number(process.argv[2] ?? 5))
    console.log(
      `raw TLS ${peer.toFixed(1)} us · call ${ours.toFixed(1)} us · ` +
        `ratio ${(ours / peer).toFixed(2)} (bar 3)`,
    )
  }
}
