import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { ManualClock } from '../../../test/conformance/manual-clock.ts'
import type { Clock } from '../../base/clock.ts'
import { HolonError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import { realClock } from '../../io/clock.ts'
import { connectUnix } from '../../io/sockets.ts'
import { encodeFrame } from '../../rpc/keeper-frames.ts'
import { RunStarter } from '../../rpc/run-starter.ts'
import { openStdio } from '../../rpc/stdio.ts'
import { Relay } from './relay.ts'
import { encodeRoute } from './route.ts'
import { StreamServer } from './stream-server.ts'

const never = new AbortController().signal

async function listen(path: string, onConnection: (socket: Socket) => void): Promise<Server> {
  const server = createServer(onConnection)
  await new Promise<void>((resolve) => server.listen(path, resolve))
  return server
}

async function until(what: string, check: () => boolean): Promise<void> {
  const endMs = performance.now() + 5000
  while (!check()) {
    assert.ok(performance.now() < endMs, `not so in time: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** A program's relay here, a stream server there, and what stands for a keeper behind it. */
async function twoMachines(keeper: (socket: Socket) => void, clock: Clock = realClock) {
  const dir = mkdtempSync(join(tmpdir(), 'holon-relay-'))
  const at = (name: string) => join(dir, name)
  const between: Socket[] = []
  let dials = 0
  let programs = 0
  const farServer = new StreamServer(clock, async (request, options) => {
    if ('spec' in request) {
      const begun = { runId: 'fresh', machine: `${request.spec.argv[0]} of ${request.user}` }
      return { socket: await connectUnix(at('keeper'), options), begun }
    }
    if (request.run === 'absent') throw new HolonError('not_found', `no run for ${request.user}`)
    return { socket: await connectUnix(at('keeper'), options) }
  })
  const relay = new Relay({
    clock,
    dial: async (_machine, _protocol, signal, reader) => {
      dials++
      const direct = reader === undefined ? {} : { reader }
      const socket = (await connectUnix(at('between'), { signal, ...direct })) as Socket
      between.push(socket)
      return socket
    },
  })
  const servers = [
    await listen(at('keeper'), keeper),
    await listen(at('between'), (socket) => farServer.accept(socket)),
    await listen(at('relay'), (socket) => {
      programs++
      relay.accept(socket, { user: 'alice' })
    }),
  ]
  return {
    relayPath: at('relay'),
    between,
    dials: () => dials,
    /** Connections of programs. */
    programs: () => programs,
    address: (run = 'r1') => ({
      runId: run,
      socketPath: at('relay'),
      route: encodeRoute({ machineId: 'm2', run }),
    }),
    [Symbol.dispose]() {
      relay[Symbol.dispose]()
      farServer[Symbol.dispose]()
      for (const server of servers) server.close()
      for (const socket of between) socket.destroy()
      rmSync(dir, { recursive: true })
    },
  }
}

/** Answers an attach with what comes on stdin, and ends with status 3 when that ends. */
function echoKeeper(socket: Socket): void {
  let buffered = Buffer.alloc(0)
  socket.on('error', () => {})
  socket.on('data', (chunk: Buffer) => {
    buffered = Buffer.concat([buffered, chunk])
    while (buffered.length >= 5 && buffered.length >= 5 + buffered.readUInt32BE(1)) {
      const type = String.fromCharCode(buffered[0] ?? 0)
      const payload = buffered.subarray(5, 5 + buffered.readUInt32BE(1))
      buffered = buffered.subarray(5 + payload.length)
      if (type !== 'I') continue
      if (payload.length > 0) socket.write(encodeFrame('O', payload))
      else
        socket.end(Buffer.concat([encodeFrame('O'), encodeFrame('E'), encodeFrame('X', 'code 3')]))
    }
  })
}

test('Relay carries stdio and exit status, and uses one connection for many runs', async () => {
  using two = await twoMachines(echoKeeper)
  for (let i = 0; i < 20; i++) {
    const stdio = await openStdio(two.address(), { stdin: true }, { signal: never })
    stdio.stdin.end(`hello ${i}`)
    let text = ''
    for await (const chunk of stdio.stdout) text += chunk.toString()
    assert.equal(text, `hello ${i}`)
    assert.deepEqual(await stdio.exit, { code: 3 })
    await until('the far side is done too', () => two.between[0]?.bytesRead !== 0)
  }
  assert.ok(two.dials() <= 3, `${two.dials()} connections for 20 runs, one after another`)
})

test('RunStarter begins runs in one step, one after another on the same connections', async () => {
  using two = await twoMachines(echoKeeper)
  const starter = new RunStarter(realClock, { socketPath: two.relayPath, machineId: 'm2' })
  const spec = { argv: ['cat'], env: {}, cwd: '/', stdin: 'stream', detached: false } as const
  for (let run = 0; run < 5 || two.programs() > run / 2; run++) {
    assert.ok(run < 200, `${two.programs()} connections for ${run} runs, one after another`)
    const { stdio, runId, machine } = await starter.start(spec, { signal: never })
    assert.deepEqual([runId, machine], ['fresh', 'cat of alice'])
    stdio.stdin.end(`hello ${run}`)
    let text = ''
    for await (const chunk of stdio.stdout) text += chunk.toString()
    assert.equal(text, `hello ${run}`)
    assert.deepEqual(await stdio.exit, { code: 3 })
  }
})

test('RunStarter brings nothing of one run to the next on the same connection', async () => {
  const heard: string[] = []
  using two = await twoMachines((socket) => {
    const run = heard.push('') - 1
    socket.on('error', () => {})
    socket.on('data', (chunk: Buffer) => {
      heard[run] += chunk.toString('latin1')
      // Ends at once, whatever else the program still sends.
      socket.end(encodeFrame('X', `code ${run}`))
    })
  })
  const starter = new RunStarter(realClock, { socketPath: two.relayPath, machineId: 'm2' })
  const spec = { argv: ['cat'], env: {}, cwd: '/', stdin: 'stream', detached: false } as const
  const runs = 20
  for (let run = 0; run < runs; run++) {
    const { stdio } = await starter.start(spec, { signal: never })
    for (let i = 0; i < 50; i++) stdio.stdin.write(`<${run}>`)
    assert.deepEqual(await stdio.exit, { code: run })
  }
  for (const [run, text] of heard.entries()) {
    const others = [...text.matchAll(/<(\d+)>/g)].filter((match) => Number(match[1]) !== run)
    assert.deepEqual(others, [], `run ${run} heard ${text}`)
  }
})

test('RunStarter does not give back the connection of a run that was let go', async () => {
  using two = await twoMachines((socket) => void socket.on('error', () => {}).resume())
  const starter = new RunStarter(realClock, { socketPath: two.relayPath, machineId: 'm2' })
  const spec = { argv: ['cat'], env: {}, cwd: '/', stdin: 'stream', detached: false } as const
  const first = await starter.start(spec, { signal: never })
  first.stdio[Symbol.dispose]()
  await assert.rejects(first.stdio.exit, /let go/)
  const second = await starter.start(spec, { signal: never })
  assert.equal(two.programs(), 2)
  second.stdio[Symbol.dispose]()
})

test('Relay says what the other machine refused', async () => {
  using two = await twoMachines(echoKeeper)
  const stdio = await openStdio(two.address('absent'), { stdin: false }, { signal: never })
  await assert.rejects(stdio.exit, (error) => {
    assert.ok(error instanceof HolonError)
    assert.equal(error.code, 'not_found')
    assert.equal(error.message, 'no run for alice')
    return true
  })
})

test('Relay lets the keeper know that its client is gone', async () => {
  let closed = false
  using two = await twoMachines((socket) => {
    socket.on('error', () => {})
    socket.resume()
    socket.on('close', () => {
      closed = true
    })
  })
  const stdio = await openStdio(two.address(), { stdin: true }, { signal: never })
  await until('the stream is up', () => two.between.length === 1)
  stdio[Symbol.dispose]()
  await until('the keeper is hung up on', () => closed)
})

test('Relay hangs up for good: half a connection would be the end of stdin alone', async () => {
  const ends: string[] = []
  using two = await twoMachines((socket) => {
    // As the keeper: the end of what it reads is no reason to go.
    socket.allowHalfOpen = true
    socket.on('error', () => {})
    socket.resume()
    socket.on('end', () => ends.push('end'))
    const probe = setInterval(() => socket.write(encodeFrame('O', 'still here')), 5)
    socket.on('close', () => {
      clearInterval(probe)
      ends.push('close')
    })
  })
  const stdio = await openStdio(two.address(), { stdin: true }, { signal: never })
  await until('the stream is up', () => two.between.length === 1)
  stdio[Symbol.dispose]()
  await until('the keeper is hung up on', () => ends.includes('close'))
})

test('Relay hangs up also where the program does not read its stdin', async () => {
  const clock = new ManualClock()
  let closed = false
  using two = await twoMachines((socket) => {
    socket.pause()
    const probe = setInterval(() => socket.write(encodeFrame('O', 'still here')), 5)
    socket.on('error', () => {})
    socket.on('close', () => {
      clearInterval(probe)
      closed = true
    })
  }, clock)
  const stdio = await openStdio(two.address(), { stdin: true }, { signal: never })
  let taken = 0
  let before = -1
  const fill = () => stdio.stdin.write(Buffer.alloc(1 << 16), () => taken++)
  for (let i = 0; i < 400; i++) fill()
  await until('nothing more fits in between', () => {
    const still = taken === before && taken > 0
    before = taken
    return still
  })
  stdio[Symbol.dispose]()
  await until('the keeper is hung up on', () => {
    clock.advance(limits.peerHeartbeatIntervalMs)
    return closed
  })
})

test('Relay holds back what the reader does not take', async () => {
  let sent = 0
  using two = await twoMachines((socket) => {
    socket.on('error', () => {})
    socket.once('data', () => {
      const frame = encodeFrame('O', Buffer.alloc(1 << 20))
      const fill = () => {
        while (!socket.destroyed && socket.write(frame)) sent += frame.length
        sent += frame.length
      }
      socket.on('drain', fill)
      fill()
    })
  })
  const stdio = await openStdio(two.address(), { stdin: false }, { signal: never })
  await until('something is sent', () => sent > 0)
  let before = -1
  await until('the sender is held', () => {
    const still = sent === before
    before = sent
    return still && sent > 0
  })
  assert.ok(sent < 24 << 20, `${sent} bytes are on their way to somebody who does not read`)
  stdio[Symbol.dispose]()
})

test('Relay ends a stream whose other machine is silent, and says that it was lost', async () => {
  const clock = new ManualClock()
  using two = await twoMachines((socket) => void socket.resume(), clock)
  const stdio = await openStdio(two.address(), { stdin: false }, { signal: never })
  await until('the stream is up', () => two.between.length === 1)
  // From here on nothing comes back: the other machine is frozen.
  await until('both ends are joined', () => (two.between[0]?.bytesWritten ?? 0) > 30)
  two.between[0]?.removeAllListeners('data')
  for (let ms = 0; ms <= limits.peerHeartbeatTimeoutMs + limits.peerHeartbeatIntervalMs; ) {
    clock.advance(limits.peerHeartbeatIntervalMs)
    ms += limits.peerHeartbeatIntervalMs
  }
  await assert.rejects(stdio.exit, /the machine of run "r1" was lost/)
})

test('Relay keeps a long one-way stream whole while both ends ask each other', async () => {
  const clock = new ManualClock()
  const chunk = Buffer.alloc(100_000, 'x')
  using two = await twoMachines((socket) => {
    socket.on('error', () => {})
    socket.once('data', async () => {
      // Frames in pieces: a relay that speaks in the middle of one would break it.
      for (let i = 0; i < 60; i++) {
        const frame = encodeFrame('O', chunk)
        socket.write(frame.subarray(0, 40_000))
        await new Promise((resolve) => setImmediate(resolve))
        clock.advance(limits.peerHeartbeatIntervalMs)
        await new Promise((resolve) => setImmediate(resolve))
        socket.write(frame.subarray(40_000))
        await new Promise((resolve) => setTimeout(resolve, 2))
      }
      socket.end(Buffer.concat([encodeFrame('O'), encodeFrame('E'), encodeFrame('X', 'code 0')]))
    })
  }, clock)
  const stdio = await openStdio(two.address(), { stdin: false }, { signal: never })
  let bytes = 0
  for await (const part of stdio.stdout) bytes += part.length
  assert.deepEqual(await stdio.exit, { code: 0 })
  assert.equal(bytes, 60 * chunk.length)
})

test('Relay lets go of who does not say where to', async () => {
  const clock = new ManualClock()
  using two = await twoMachines(echoKeeper, clock)
  const silent = connect(two.relayPath)
  let closed = false
  silent.on('close', () => {
    closed = true
  })
  await new Promise<void>((resolve) => silent.on('connect', resolve))
  const rude = connect(two.relayPath)
  rude.write('GET / HTTP/1.1\r\n\r\n')
  let rudeClosed = false
  rude.on('close', () => {
    rudeClosed = true
  })
  await until('what is no frame is refused', () => rudeClosed)
  clock.advance(limits.relayWaitMs + 1000)
  await until('the silent one is let go', () => closed)
})
