/**
 * A call of 64 bytes on a unix socket, against a raw round trip of 64 bytes on one: two processes,
 * one call after the other, rounds of both in turn so that a busy machine hurts both alike.
 * Prints medians and their ratio. Bar: at most 3.
 *
 *     node bench/rpc-call.ts [ROUNDS]
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { deadline } from '../src/base/clock.ts'
import { realClock } from '../src/io/clock.ts'
import type { CallOptions } from '../src/kernel/types.ts'
import { connectRpc } from '../src/rpc/connect.ts'
import { defineInterface } from '../src/rpc/interface.ts'
import { listenRpc } from '../src/rpc/listen.ts'
import { callsPerRound, rawRound, timed, warmUpRounds } from './echo-rounds.ts'
import { median } from './measure.ts'

interface Echo {
  ping(payload: string, options: CallOptions): Promise<string>
}

const echoInterface = defineInterface<Echo>('Echo', { ping: { args: 1, idempotent: true } })

const version = '0.0.0'

async function serveBoth(directory: string): Promise<void> {
  createServer((socket) => socket.on('data', (chunk) => socket.write(chunk))).listen(
    join(directory, 'raw'),
  )
  const echo: Echo = { ping: async (payload) => payload }
  await listenRpc(realClock, join(directory, 'rpc'), echoInterface, () => echo, {
    version,
    onInternalError: (error) => console.error(error),
  })
  process.stdout.write('ready\n')
  // Ends with whoever started it.
  process.stdin.on('end', () => process.exit(0)).resume()
}

/** Medians in µs of one call (`ours`) and of one raw round trip (`peer`). */
export async function measureRpcCall(rounds = 5): Promise<{ ours: number; peer: number }> {
  const directory = mkdtempSync(join(tmpdir(), 'holon-bench-'))
  const server = spawn(process.execPath, [import.meta.filename, '--serve', directory], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  try {
    await new Promise((resolve) => server.stdout.once('data', resolve))
    const raw = connect(join(directory, 'raw'))
    using connecting = deadline(realClock, 5000)
    await using client = await connectRpc(realClock, join(directory, 'rpc'), echoInterface, {
      version,
      signal: connecting.signal,
    })
    using calling = deadline(realClock, 600_000)
    const payload = 'x'.repeat(64)
    const call = async () => {
      for (let i = 0; i < callsPerRound; i++)
        await client.main.ping(payload, { signal: calling.signal })
    }
    const rawTimes: number[] = []
    const callTimes: number[] = []
    for (let round = -warmUpRounds; round < rounds; round++) {
      const rawUs = await timed(() => rawRound(raw, Buffer.from(payload)))
      const callUs = await timed(call)
      if (round < 0) continue
      rawTimes.push(rawUs)
      callTimes.push(callUs)
    }
    raw.destroy()
    return { ours: median(callTimes), peer: median(rawTimes) }
  } finally {
    server.stdin.end()
    rmSync(directory, { recursive: true, force: true })
  }
}

if (import.meta.main) {
  if (process.argv[2] === '--serve') await serveBoth(process.argv[3] ?? '')
  else {
    const { ours, peer } = await measureRpcCall(Number(process.argv[2] ?? 5))
    console.log(
      `raw unix socket ${peer.toFixed(1)} us · call ${ours.toFixed(1)} us · ` +
        `ratio ${(ours / peer).toFixed(2)} (bar 3)`,
    )
  }
}
