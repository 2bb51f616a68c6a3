import assert from 'node:assert/strict'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { temporaryDirectory, until } from '../../test/support/rpc-toy.ts'
import { deadline } from '../base/clock.ts'
import { HolonError } from '../base/errors.ts'
import { realClock } from '../io/clock.ts'
import { listenUnix } from '../io/listen-socket.ts'
import { encodeFrame, FrameDecoder } from './keeper-frames.ts'
import type { ByteSink } from './output.ts'
import { openStdio, type Stdio } from './stdio.ts'

/** The keeper's end of the socket, as docs/keeper.md has it, driven by the test. */
interface FakeKeeper {
  readonly stdio: Stdio
  /** Frames that came in, as `A=io`, over all connections. */
  readonly frames: string[]
  /** Lengths of stdin frames. */
  readonly stdinSizes: number[]
  connections: number
  /** The first connection. */
  readonly socket: Duplex
}

async function withKeeper(
  work: (keeper: FakeKeeper) => Promise<void>,
  options: { readonly stdin: boolean } = { stdin: true },
): Promise<void> {
  using directory = temporaryDirectory()
  const socketPath = join(directory.path, 'sock')
  const frames: string[] = []
  const stdinSizes: number[] = []
  const sockets: Duplex[] = []
  await using _listener = await listenUnix(socketPath, (socket) => {
    sockets.push(socket)
    socket.on('error', () => {})
    const decoder = new FrameDecoder({
      output: () => assert.fail('output from a client'),
      outputEnd: () => assert.fail('output from a client'),
      frame(type, payload) {
        if (type === 'I') stdinSizes.push(payload.length)
        const shown = 'SWT'.includes(type) ? payload.toString('hex') : payload.toString('latin1')
        frames.push(`${type}=${shown}`)
      },
    })
    socket.on('data', (chunk: Buffer) => decoder.push(chunk))
  })
  using limit = deadline(realClock, 5000)
  const stdio = await openStdio({ runId: 'r1', socketPath }, options, limit)
  await until(
    () => frames.length > 0,
    () => frames,
  )
  const [socket] = sockets
  assert(socket)
  try {
    await work({
      stdio,
      frames,
      stdinSizes,
      socket,
      get connections() {
        return sockets.length
      },
    })
  } finally {
    stdio[Symbol.dispose]()
    for (const each of sockets) each.destroy()
  }
}

test('openStdio() attaches, and streams output to its end and exit', async () => {
  await withKeeper(async ({ stdio, frames, socket }) => {
    assert.deepEqual(frames, ['A=io'])
    socket.write(encodeFrame('O', 'out '))
    socket.write(encodeFrame('E', 'err'))
    socket.write(encodeFrame('O', 'more'))
    socket.write(encodeFrame('O'))
    socket.end(encodeFrame('X', 'code 3'))
    assert.equal(await text(stdio.stdout), 'out more')
    assert.equal(await text(stdio.stderr), 'err')
    assert.deepEqual(await stdio.exit, { code: 3 })
  })
})

test('exit tells signals, core dumps and what could not be executed', async () => {
  const ends = [
    ['signal 9', { signal: 'SIGKILL' }],
    ['signal 11 core', { signal: 'SIGSEGV', coreDumped: true }],
    ['failed ENOENT No such file', { execErrno: 'ENOENT' }],
    ['code 255', { code: 255 }],
  ] as const
  for (const [frame, status] of ends)
    await withKeeper(async ({ stdio, socket }) => {
      socket.end(encodeFrame('X', frame))
      assert.deepEqual(await stdio.exit, status)
    })
})

test('exit is unavailable with outcome unknown when the keeper dies', async () => {
  await withKeeper(async ({ stdio, socket }) => {
    socket.write(encodeFrame('O', 'half'))
    socket.end()
    assert.equal(await text(stdio.stdout), 'half')
    await assert.rejects(stdio.exit, (error) => {
      assert(error instanceof HolonError)
      assert.deepEqual([error.code, error.outcome], ['unavailable', 'unknown'])
      return true
    })
    // Too late, and harmless.
    stdio.signal(15)
    stdio.stdin.write('x')
  })
})

test('exit is internal when the keeper sends nonsense', async () => {
  for (const bytes of [encodeFrame('X', 'happily'), Buffer.from('not a frame')])
    await withKeeper(async ({ stdio, socket }) => {
      socket.write(bytes)
      await assert.rejects(stdio.exit, (error) => {
        assert(error instanceof HolonError)
        return error.code === 'internal' || error.code === 'invalid_argument'
      })
    })
})

test('stdin goes out in frames of bounded size, then its end', async () => {
  await withKeeper(async ({ stdio, frames, stdinSizes }) => {
    stdio.stdin.write('')
    stdio.stdin.write('ab')
    stdio.stdin.end(Buffer.alloc(150_000, 'c'))
    await until(
      () => frames.at(-1) === 'I=',
      () => frames.length,
    )
    assert.deepEqual(stdinSizes, [2, 65536, 65536, 18928, 0])
  })
})

test('stdin waits when the keeper does not read, and signals do not', async () => {
  await withKeeper(async (keeper) => {
    const { stdio, frames, socket } = keeper
    socket.pause()
    let accepted = 0
    const write = () => {
      stdio.stdin.write(Buffer.alloc(65536, 'x'), (error) => {
        if (error) return
        accepted++
        write()
      })
    }
    write()
    let before = -1
    // Full once nothing was accepted for a while.
    await until(
      () => {
        const still = accepted === before && accepted > 0
        before = accepted
        return still
      },
      () => accepted,
    )
    assert(accepted < 50, `accepted ${accepted} x 64 KiB`)
    stdio.signal(2)
    stdio.resize(50, 200)
    await until(
      () => frames.includes('W=003200c8'),
      () => frames.filter((f) => f.length < 20),
    )
    assert(frames.includes('S=02'))
    assert.equal(keeper.connections, 2)
  })
})

test('output waits when its reader does not read', async () => {
  await withKeeper(async ({ stdio, socket }) => {
    const frame = encodeFrame('O', Buffer.alloc(100_000, 'y'))
    const total = 200
    for (let i = 0; i < total; i++) socket.write(frame)
    socket.end(encodeFrame('X', 'code 0'))
    let left = -1
    await until(
      () => {
        const still = socket.writableLength === left
        left = socket.writableLength
        return still
      },
      () => left,
    )
    assert(left > 15_000_000, `${left} bytes should still wait`)
    let bytes = 0
    for await (const chunk of stdio.stdout) bytes += chunk.length
    assert.equal(bytes, total * 100_000)
    assert.deepEqual(await stdio.exit, { code: 0 })
  })
})

test('pumpTo() gives a slow sink every byte in order, and never reuses what it still holds', async () => {
  await withKeeper(async ({ stdio, socket }) => {
    const sent = Buffer.alloc(8_000_000)
    for (let at = 0; at + 4 <= sent.length; at += 4) sent.writeUInt32BE(at, at)
    for (let at = 0; at < sent.length; at += 70_000)
      socket.write(encodeFrame('O', sent.subarray(at, at + 70_000)))
    socket.end(encodeFrame('X', 'code 0'))
    const got: Buffer[] = []
    let holding = 0
    let holdingMax = 0
    const slow: ByteSink = (bytes, done) => {
      holding += bytes.length
      holdingMax = Math.max(holdingMax, holding)
      setTimeout(() => {
        holding -= bytes.length
        got.push(Buffer.from(bytes))
        done()
      }, 2)
    }
    assert.deepEqual(await stdio.pumpTo('stdout', slow), { kind: 'ended' })
    assert(Buffer.concat(got).equals(sent))
    assert(holdingMax < 2_000_000, `held ${holdingMax} bytes`)
    assert.deepEqual(await stdio.exit, { code: 0 })
  })
})

test('pumpTo() begins with what came before it', async () => {
  await withKeeper(async ({ stdio, socket }) => {
    socket.write(encodeFrame('E', 'early '))
    socket.write(encodeFrame('O', 'x'))
    await until(
      () => stdio.stdout.readable && stdioBuffered(stdio) > 0,
      () => stdioBuffered(stdio),
    )
    const got: string[] = []
    const pumped = stdio.pumpTo('stderr', (bytes, done) => {
      got.push(bytes.toString())
      done()
    })
    socket.write(encodeFrame('E', 'late'))
    socket.end(encodeFrame('X', 'code 0'))
    assert.deepEqual(await pumped, { kind: 'ended' })
    assert.equal(got.join(''), 'early late')
  })
})

function stdioBuffered(stdio: Stdio): number {
  return (stdio.stdout as unknown as { readableLength: number }).readableLength
}

test("pumpTo() whose sink fails closes the program's pipe, and the rest goes on", async () => {
  await withKeeper(async ({ stdio, frames, socket }) => {
    const pumped = stdio.pumpTo('stdout', (_bytes, done) => done(new Error('EPIPE')))
    socket.write(encodeFrame('O', 'x'))
    const end = await pumped
    assert.equal(end.kind, 'closed')
    await until(
      () => frames.includes('P=O'),
      () => frames,
    )
    socket.write(encodeFrame('O', 'dropped'))
    socket.write(encodeFrame('E', 'heard'))
    socket.end(encodeFrame('X', 'signal 13'))
    assert.equal(await text(stdio.stderr), 'heard')
    assert.deepEqual(await stdio.exit, { signal: 'SIGPIPE' })
  })
})

test('closeOutput() and destroying a stream tell the keeper', async () => {
  await withKeeper(async ({ stdio, frames }) => {
    stdio.closeOutput('stderr')
    stdio.closeOutput('stderr')
    ;(stdio.stdout as unknown as { destroy(): void }).destroy()
    await until(
      () => frames.length === 3,
      () => frames,
    )
    assert.deepEqual(frames.slice(1).sort(), ['P=E', 'P=O'])
  })
})

test('onStopped() hears of stops', async () => {
  await withKeeper(async ({ stdio, socket }) => {
    const stops: number[] = []
    stdio.onStopped((signal) => stops.push(signal))
    socket.write(encodeFrame('T', Buffer.from([20])))
    await until(
      () => stops.length === 1,
      () => stops,
    )
    assert.deepEqual(stops, [20])
  })
})

test('dispose lets go: the connection closes, and exit says so', async () => {
  await withKeeper(
    async ({ stdio, frames, socket }) => {
      assert.deepEqual(frames, ['A=o'])
      const closed = new Promise((resolve) => socket.once('close', resolve))
      stdio[Symbol.dispose]()
      stdio[Symbol.dispose]()
      await assert.rejects(
        stdio.exit,
        (error) => error instanceof HolonError && error.code === 'cancelled',
      )
      await closed
    },
    { stdin: false },
  )
})

test('openStdio() of a run that is over says so', async () => {
  using directory = temporaryDirectory()
  const socketPath = join(directory.path, 'none')
  using limit = deadline(realClock, 5000)
  await assert.rejects(openStdio({ runId: 'r1', socketPath }, { stdin: true }, limit), (error) => {
    assert(error instanceof HolonError)
    assert.equal(error.message, 'attach to run "r1": it is over')
    return error.code === 'unavailable' && !error.retryable
  })
})
