import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { HolonError } from '../base/errors.ts'
import { listenUnix } from './listen-socket.ts'
import { connectUnix } from './sockets.ts'

const never = new AbortController().signal

function temporaryDirectory(): { readonly path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), 'holon-sockets-'))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}

function hasCode(code: string) {
  return (error: unknown) => error instanceof HolonError && error.code === code
}

test('listenUnix() and connectUnix() carry bytes', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'sock')
  await using _listener = await listenUnix(path, (socket) => socket.pipe(socket))
  assert.deepEqual(readdirSync(directory.path), ['sock'])
  const socket = await connectUnix(path, { signal: never })
  socket.write('hello')
  const [chunk] = (await new Promise((resolve) =>
    socket.once('data', (bytes) => resolve([bytes])),
  )) as [Buffer]
  assert.equal(chunk.toString(), 'hello')
  socket.destroy()
})

test("connectUnix() reads into the reader's own memory, and pauses when it says so", async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'sock')
  await using _listener = await listenUnix(path, (socket) => socket.end(Buffer.alloc(1000, 'x')))
  const memory = Buffer.alloc(64)
  const sizes: number[] = []
  const more: (() => void)[] = []
  const socket = await connectUnix(path, {
    signal: never,
    reader: {
      buffer: () => memory,
      chunk(bytes) {
        assert.equal(bytes.buffer, memory.buffer)
        sizes.push(bytes.length)
        setImmediate(() => more.push(() => socket.resume()))
        setImmediate(() => more.shift()?.())
        return false
      },
    },
  })
  socket.resume()
  await new Promise((resolve) => socket.once('close', resolve))
  assert.equal(
    sizes.reduce((sum, size) => sum + size, 0),
    1000,
  )
  assert(Math.max(...sizes) <= 64)
})

test('connectUnix() names what is missing, and ends by its signal', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'none')
  await assert.rejects(connectUnix(path, { signal: never }), (error) => {
    assert(error instanceof HolonError)
    assert.equal(error.details['errno'], 'ENOENT')
    return true
  })
  const cancel = new AbortController()
  cancel.abort()
  await assert.rejects(connectUnix(path, { signal: cancel.signal }), hasCode('cancelled'))
})

test('listenUnix() sets the mode before anyone can connect', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'sock')
  {
    await using _listener = await listenUnix(path, () => {})
    assert.equal(statSync(path).mode & 0o777, 0o600)
  }
  assert(!existsSync(path))
  await using _listener = await listenUnix(path, () => {}, { mode: 0o666 })
  assert.equal(statSync(path).mode & 0o777, 0o666)
})

test('listenUnix() gives the socket to its owner (needs root)', {
  skip: process.getuid?.() !== 0 && 'needs root',
}, async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'sock')
  await using _listener = await listenUnix(path, () => {}, { owner: { uid: 12345, gid: 23456 } })
  const { uid, gid } = statSync(path)
  assert.deepEqual([uid, gid], [12345, 23456])
})

test('listenUnix() replaces the socket of a killed process', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'sock')
  const script = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => console.log(''))`
  const dead = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  await new Promise((resolve) => dead.stdout.once('data', resolve))
  await assert.rejects(
    listenUnix(path, () => {}),
    hasCode('already_exists'),
  )
  dead.kill('SIGKILL')
  await new Promise((resolve) => dead.once('exit', resolve))
  assert(existsSync(path))
  await using _listener = await listenUnix(path, (socket) => socket.end())
  const socket = await connectUnix(path, { signal: never })
  socket.destroy()
})

test('listenUnix() leaves what it may not replace', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'file')
  writeFileSync(path, 'precious')
  await assert.rejects(
    listenUnix(path, () => {}),
    hasCode('already_exists'),
  )
  assert.equal(statSync(path).size, 8)
  assert.deepEqual(readdirSync(directory.path), ['file'])
  await assert.rejects(
    listenUnix(join(directory.path, 'x'.repeat(100)), () => {}),
    hasCode('invalid_argument'),
  )
})

test('a listener removes the socket at its path only if it is its own', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'sock')
  const first = await listenUnix(path, () => {})
  rmSync(path)
  await using _second = await listenUnix(path, () => {})
  await first[Symbol.asyncDispose]()
  assert(existsSync(path))
})
