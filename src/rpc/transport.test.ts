import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  connectToy,
  rawPeer,
  temporaryDirectory,
  toyLink,
  toyVersion,
  until,
} from '../../test/support/rpc-toy.ts'
import { HolonError } from '../base/errors.ts'
import { listenUnix } from '../io/listen-socket.ts'

const never = new AbortController().signal
const hello = 'holon/1 9.9.9\n'

async function exchange(path: string, bytes: string | Uint8Array): Promise<string> {
  const { socket, told } = await rawPeer(path)
  socket.write(bytes)
  await new Promise((resolve) => socket.once('close', resolve))
  return told()
}

test('a call is one line each way, after the hello', async () => {
  await using link = await toyLink()
  const { socket, told } = await rawPeer(link.path)
  socket.write(`${hello}["stream",["pipeline",0,["echo"],["[\\"hi\\"]",1000,1]]]\n`)
  await until(() => told().split('\n').length === 3, told)
  assert.equal(told(), `holon/1 ${toyVersion}\n["resolve",1,"\\"hi\\""]\n`)
  socket.write('["stream",["pipeline",0,["counter"],["[7]",1000,2]]]\n')
  await until(() => told().endsWith('["resolve",2,["export",-1]]\n'), told)
  socket.write('["stream",["pipeline",-1,["next"],["[]",1000,3]]]\n["release",-1,1]\n')
  await until(() => told().endsWith('["resolve",3,"7"]\n'), told)
  await until(
    () => link.toy.counters === 0,
    () => link.toy.counters,
  )
  socket.write('["stream",["pipeline",0,["nothing"],["[]",1000,4]]]\n')
  await until(() => told().includes('"unsupported"'), told)
  socket.destroy()
})

test('a ping is answered, also during work', async () => {
  await using link = await toyLink()
  const { socket, told } = await rawPeer(link.path)
  socket.write(`${hello}["stream",["pipeline",0,["hang"],["[\\"x\\"]",60000,1]]]\n\n`)
  await until(() => told().endsWith('\n.\n'), told)
  socket.destroy()
})

test('a peer of another protocol is told which side to upgrade', async () => {
  await using link = await toyLink()
  const newer = await exchange(link.path, 'holon/2 5.0.0\n')
  assert.match(newer, /^holon\/1 /)
  assert.match(newer, /"abort".*protocol 2 \(holon 5\.0\.0\).*upgrade the agent.*"unsupported"/)
  assert.match(await exchange(link.path, 'holon/0 0.0.1\n'), /upgrade the program that calls it/)
  assert.match(await exchange(link.path, 'GET / HTTP/1.1\r\n\r\n'), /does not speak Holon/)
})

test('an agent of another protocol is named as such to the caller', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'sock')
  for (const [line, expected] of [
    ['holon/2 5.0.0\n', /protocol 2 \(holon 5\.0\.0\), this side 1 .*; upgrade the program/],
    ['holon/0 0.0.1\n', /upgrade the agent: install the newer holon/],
    ['220 mail.example ESMTP\n', /does not speak Holon's protocol/],
  ] as const) {
    await using _listener = await listenUnix(path, (socket) => {
      socket.on('error', () => {}).resume()
      socket.write(line)
    })
    await using client = await connectToy(path)
    await assert.rejects(client.main.echo(1, { signal: never }), (error) => {
      assert(error instanceof HolonError)
      assert.equal(error.code, 'unsupported')
      assert.match(error.message, expected)
      return true
    })
  }
})

test('an answer counts that came together with the end of the link', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'sock')
  await using _listener = await listenUnix(path, (socket) => {
    socket.on('error', () => {}).resume()
    socket.write(`holon/1 ${toyVersion}\n`)
    const abort = '["abort",["error","HolonError","the agent is stopping"]]'
    const answer = () => socket.end(`["resolve",1,"\\"hi\\""]\n${abort}\n`)
    socket.on('data', (bytes) => {
      if (String(bytes).includes('"echo"')) answer()
    })
  })
  await using client = await connectToy(path)
  assert.equal(await client.main.echo('hi', { signal: never }), 'hi')
})

test('an agent that is closed before it answers is unavailable', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'sock')
  await using _listener = await listenUnix(path, (socket) => socket.destroy())
  await using client = await connectToy(path)
  await assert.rejects(
    client.main.echo(1, { signal: never }),
    (error) => error instanceof HolonError && error.code === 'unavailable',
  )
})

/** Messages that a hostile peer might build: right in part. */
const hostileMessages = () => {
  const id = fc.oneof(fc.integer({ min: -3, max: 3 }), fc.constant(1e300), fc.constant(0.5))
  const method = fc.constantFrom(
    'echo',
    'fail',
    'counter',
    'flush',
    'constructor',
    '__proto__',
    'then',
    'toString',
    'none',
    '#target',
  )
  const args = fc.oneof(
    fc.tuple(fc.constantFrom('[]', '[1]', '{}', '[[', 'null'), fc.integer(), fc.nat(3)),
    fc.array(fc.jsonValue(), { maxLength: 4 }),
    fc.constant([['export', -1]]),
  )
  const call = fc.tuple(
    fc.constantFrom('pipeline', 'import', 'remap', 'export'),
    id,
    fc.oneof(fc.tuple(method), fc.tuple(method, method), fc.constant([])),
    args,
  )
  return fc.oneof(
    fc.tuple(fc.constantFrom('stream', 'push'), call),
    fc.tuple(fc.constant('pull'), id),
    fc.tuple(fc.constant('release'), id, id),
    fc.tuple(fc.constantFrom('resolve', 'reject'), id, fc.jsonValue()),
    fc.tuple(fc.constant('abort'), fc.oneof(fc.jsonValue(), fc.constant(['error', 'E', 'm']))),
    fc.constant(['pipe']),
    fc.jsonValue(),
  )
}

test('no bytes of a peer can end the agent, or its service to others', async () => {
  await using link = await toyLink({ server: { frameBytesMax: 5000 } })
  const text = fc.oneof(
    fc
      .array(hostileMessages(), { maxLength: 6 })
      .map((messages) => messages.map((message) => `${JSON.stringify(message)}\n`).join('')),
    fc.string({ maxLength: 50 }).map((line) => `${line}\n`),
    fc.constantFrom('[[[['.repeat(1000), 'x'.repeat(6000), `${'['.repeat(4990)}\n`, '\n\n.\n\n'),
  )
  await fc.assert(
    fc.asyncProperty(text, fc.boolean(), async (lines, greets) => {
      const { socket } = await rawPeer(link.path)
      socket.end(greets ? hello + lines : lines)
      await new Promise((resolve) => socket.once('close', resolve))
      assert.equal(await link.client.main.echo('still here', { signal: never }), 'still here')
    }),
    { numRuns: 300 },
  )
  await until(
    () => link.listener.sessions.size === 1,
    () => link.listener.sessions.size,
  )
  assert.equal(link.toy.counters, 0)
})

test('random bytes end a link, and nothing else', async () => {
  await using link = await toyLink()
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 200 }), async (bytes) => {
      const { socket } = await rawPeer(link.path)
      socket.end(Buffer.concat([Buffer.from(hello), bytes, Buffer.from('\n')]))
      await new Promise((resolve) => socket.once('close', resolve))
    }),
    { numRuns: 100 },
  )
  assert.equal(await link.client.main.echo('still here', { signal: never }), 'still here')
})

test('a peer that does not read is cut off at the bound', async () => {
  await using link = await toyLink({ server: { sendBufferBytesMax: 1_000_000 } })
  const socket = connect(link.path)
  socket.on('error', () => {})
  socket.pause()
  await new Promise((resolve) => socket.once('connect', resolve))
  await until(
    () => link.listener.sessions.size === 2,
    () => link.listener.sessions.size,
  )
  const slow = [...link.listener.sessions][1]
  assert(slow)
  socket.write(hello)
  for (let id = 1; id <= 30; id++)
    socket.write(`["stream",["pipeline",0,["big"],["[100000]",60000,${id}]]]\n`)
  const reason = await slow.closed
  assert.equal(reason.code, 'exhausted')
  assert.match(reason.message, /does not read: 1000000 bytes wait/)
  assert.equal(await link.client.main.echo(1, { signal: never }), 1)
  socket.destroy()
})

test('the first link too many is refused with its reason', async () => {
  await using link = await toyLink({ server: { sessionsMax: 1 } })
  await using second = await connectToy(link.path)
  await assert.rejects(second.main.echo(1, { signal: never }), (error) => {
    assert(error instanceof HolonError)
    assert.equal(error.code, 'exhausted')
    assert.match(error.message, /has 1 links on this socket/)
    return true
  })
  assert.equal(await link.client.main.echo(1, { signal: never }), 1)
})
