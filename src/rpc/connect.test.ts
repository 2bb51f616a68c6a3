import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  connectToy,
  rawPeer,
  temporaryDirectory,
  toyLink,
  until,
} from '../../test/support/rpc-toy.ts'
import { deadline, remainingMs } from '../base/clock.ts'
import { errorCodes, HolonError } from '../base/errors.ts'
import { realClock } from '../io/clock.ts'

const never = new AbortController().signal

/** The HolonError that `work` fails with. */
async function failure(work: Promise<unknown>): Promise<HolonError> {
  try {
    await work
  } catch (error) {
    assert(error instanceof HolonError, `not a HolonError: ${String(error)}`)
    return error
  }
  assert.fail('it did not fail')
}

async function toyProcess(path: string): Promise<ChildProcess> {
  const server = spawn(
    process.execPath,
    [join(import.meta.dirname, '../../test/support/rpc-toy.ts'), path],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  )
  await new Promise((resolve) => server.stdout?.once('data', resolve))
  return server
}

test('call() brings text there and back as it is, JSON or not', async () => {
  await using link = await toyLink()
  for (const text of [
    '',
    'plain',
    '{"a":1}',
    '"\\"',
    'ü\n\u0000',
    '["export",-1]',
    'x'.repeat(300_000),
  ])
    assert.equal(await link.client.main.text(text, { signal: never }), text)
})

test('call() brings JSON values there and back unchanged', async () => {
  await using link = await toyLink()
  const values = [
    null,
    0,
    -1.5,
    '',
    'ü\n\u0000"\\\ud800',
    true,
    [],
    [[1], [[2]]],
    ['export', -1],
    ['error', 'a', 'b'],
    { toString: 'x', constructor: 1, hasOwnProperty: [], __proto__x: 2 },
    JSON.parse('{"__proto__": 3, "then": 4}'),
    'a'.repeat(300_000),
  ]
  for (const value of values)
    assert.deepEqual(await link.client.main.echo(value, { signal: never }), value)
  assert.equal(await link.client.main.echo(undefined, { signal: never }), null)
})

test('call() carries every error code with retryable, outcome and details', async () => {
  await using link = await toyLink()
  for (const code of errorCodes) {
    for (const outcome of ['none', 'unknown'] as const) {
      for (const retryable of [true, false]) {
        const details = { a: [1, { b: null }], toString: 'kept' }
        const sent = { code, message: `it ${code}`, outcome, retryable, details }
        const error = await failure(link.client.main.fail(sent, { signal: never }))
        assert.equal(error.code, code)
        assert.equal(error.message, `it ${code}`)
        assert.equal(error.outcome, outcome)
        assert.equal(error.retryable, retryable)
        assert.deepEqual(error.details, details)
      }
    }
  }
})

test('call() turns errno errors into their code and bugs into internal, which are reported', async () => {
  await using link = await toyLink()
  const { main } = link.client
  const absent = await failure(main.fail({ code: 'ENOENT', message: 'gone' }, { signal: never }))
  assert.equal(absent.code, 'not_found')
  assert.equal(link.bugs.length, 0)
  const bug = await failure(main.fail({ code: 'what', message: 'oops' }, { signal: never }))
  assert.equal(bug.code, 'internal')
  assert.equal(bug.message, 'oops')
  assert.equal(link.bugs.length, 1)
})

test('call() refuses wrong arguments before it sends them', async () => {
  await using link = await toyLink()
  const echo = link.client.main.echo as (...args: unknown[]) => Promise<unknown>
  for (const args of [[], [1], [1, {}], [1, 2, { signal: never }]]) {
    const error = await failure(echo.apply(link.client.main, args))
    assert.equal(error.code, 'invalid_argument')
    assert.match(error.message, /Toy\.echo\(\) takes 1 arguments and then \{signal\}/)
  }
})

test('call() ends at its deadline, and so does the work', async () => {
  await using link = await toyLink()
  using limit = deadline(realClock, 50)
  const error = await failure(link.client.main.hang('a', limit))
  assert.equal(error.code, 'deadline_exceeded')
  assert.equal(error.outcome, 'unknown')
  await until(
    () => link.toy.seen.length === 2,
    () => link.toy.seen,
  )
  assert.match(link.toy.seen[1] ?? '', /^(deadline_exceeded|cancelled) a$/)
  assert.equal(link.client.stats.callsInFlight, 0)
})

test('call() of a target that ends by AbortError of its signal is cancelled, not a bug', async () => {
  await using link = await toyLink()
  link.toy.hang = async (label, { signal }) => {
    link.toy.seen.push(label)
    await sleep(60_000, undefined, { signal })
  }
  const { socket, told } = await rawPeer(link.path)
  socket.write('holon/1 0\n["stream",["pipeline",0,["hang"],["[\\"x\\"]",60000,1]]]\n')
  await until(() => link.toy.seen.length === 1, told)
  socket.write('["stream",["pipeline",0,["flush"],[1]]]\n')
  await until(() => told().includes('"cancelled"'), told)
  socket.destroy()
  assert.deepEqual(link.bugs, [])
})

test('call() tells the target how much time is left', async () => {
  await using link = await toyLink()
  let left: number | undefined
  link.toy.echo = async (_value, ...rest: unknown[]) => {
    left = remainingMs((rest[0] as { signal: AbortSignal }).signal)
    return null
  }
  using limit = deadline(realClock, 5000)
  await link.client.main.echo(1, limit)
  assert(left !== undefined && left > 4000 && left <= 5001, `left ${left}`)
})

test('call() gives a signal without deadline the default one', async () => {
  await using link = await toyLink({ client: { callTimeoutMs: 60 } })
  const first = failure(link.client.main.hang('a', { signal: never }))
  const second = failure(link.client.main.hang('b', { signal: never }))
  for (const error of await Promise.all([first, second])) {
    assert.equal(error.code, 'deadline_exceeded')
    assert.match(error.message, /no answer within 60 ms/)
  }
  assert.equal(await link.client.main.echo(1, { signal: never }), 1)
  assert.equal(link.client.stats.callsInFlight, 0)
})

test('call() rejects at once when cancelled, and the work is cancelled', async () => {
  await using link = await toyLink()
  const cancel = new AbortController()
  const hanging = failure(link.client.main.hang('a', cancel))
  await until(
    () => link.toy.seen.length === 1,
    () => link.toy.seen,
  )
  cancel.abort()
  const error = await hanging
  assert.equal(error.code, 'cancelled')
  await until(
    () => link.toy.seen.length === 2,
    () => link.toy.seen,
  )
  assert.deepEqual(link.toy.seen, ['began a', 'cancelled a'])
})

test('call() with a signal that is aborted already is never sent', async () => {
  await using link = await toyLink()
  const cancel = new AbortController()
  cancel.abort()
  const error = await failure(link.client.main.hang('a', cancel))
  assert.equal(error.code, 'cancelled')
  assert.equal(error.outcome, 'none')
  await link.client.main.echo(1, { signal: never })
  assert.deepEqual(link.toy.seen, [])
})

test('call() is refused above the bound of calls in flight, on either side', async () => {
  for (const side of ['client', 'server'] as const) {
    await using link = await toyLink({ [side]: { callsMax: 3 } })
    const cancel = new AbortController()
    const hanging = [1, 2, 3].map((n) => failure(link.client.main.hang(`${n}`, cancel)))
    await until(
      () => link.toy.seen.length === 3,
      () => link.toy.seen,
    )
    const error = await failure(link.client.main.echo(4, { signal: never }))
    assert.equal(error.code, 'exhausted')
    assert.equal(error.outcome, 'none')
    cancel.abort()
    await Promise.all(hanging)
    await until(
      () => [...link.listener.sessions].every((session) => session.stats.callsInFlight === 0),
      () => [...link.listener.sessions].map((session) => session.stats),
    )
    assert.equal(await link.client.main.echo(5, { signal: never }), 5)
  }
})

test('call() refuses arguments and answers longer than a message, and the link goes on', async () => {
  await using link = await toyLink({
    client: { frameBytesMax: 10_000 },
    server: { frameBytesMax: 10_000 },
  })
  const { main } = link.client
  const request = await failure(main.echo('x'.repeat(10_000), { signal: never }))
  assert.equal(request.code, 'exhausted')
  assert.equal(request.outcome, 'none')
  const response = await failure(main.big(10_000, { signal: never }))
  assert.equal(response.code, 'exhausted')
  assert.match(response.message, /Toy\.big\(\): the answer is longer/)
  // Quotes double on the wire: what fits as text need not fit as a message.
  const quotes = await failure(main.echo('"'.repeat(3000), { signal: never }))
  assert.equal(quotes.code, 'exhausted')
  assert.equal(await main.big(9000, { signal: never }), 'x'.repeat(9000))
})

test("a frame over the receiver's bound ends the link with its reason on both sides", async () => {
  await using link = await toyLink({ server: { frameBytesMax: 10_000 } })
  const [session] = link.listener.sessions
  assert(session)
  const error = await failure(link.client.main.echo('x'.repeat(20_000), { signal: never }))
  assert.equal(error.code, 'exhausted')
  assert.match(error.message, /more than 10000 bytes/)
  assert.equal((await link.client.closed).code, 'exhausted')
  assert.equal((await session.closed).code, 'exhausted')
  const later = await failure(link.client.main.echo(1, { signal: never }))
  assert.equal(later.outcome, 'none')
})

test('connectRpc() says that no agent runs, and what to do', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'none')
  const error = await failure(connectToy(path))
  assert.equal(error.code, 'unavailable')
  assert.equal(
    error.message,
    `the agent is not running here (no socket at "${path}"); start it with \`holon up\``,
  )
})

test('a killed agent ends calls as unavailable, with the outcome that its idempotence allows', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'sock')
  const server = await toyProcess(path)
  await using client = await connectToy(path)
  await client.main.echo(1, { signal: never })
  const repeatable = failure(client.main.hang('a', { signal: never }))
  const single = failure(client.main.hangOnce('b', { signal: never }))
  await client.main.echo(2, { signal: never })
  server.kill('SIGKILL')
  const [a, b] = await Promise.all([repeatable, single])
  assert.deepEqual([a.code, a.outcome, a.retryable], ['unavailable', 'none', true])
  assert.deepEqual([b.code, b.outcome, b.retryable], ['unavailable', 'unknown', false])
  assert.equal((await client.closed).code, 'unavailable')
  // The kernel closes its sockets one by one: only when it is gone does nobody listen.
  if (server.signalCode === null) await once(server, 'exit')
  assert.equal((await failure(connectToy(path))).code, 'unavailable')
})

test('a frozen agent is given up after silence, and only while calls are in flight', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'sock')
  const server = await toyProcess(path)
  try {
    const limits = { heartbeatIntervalMs: 50, heartbeatTimeoutMs: 400 }
    await using client = await connectToy(path, limits)
    using cancel = deadline(realClock, 60_000)
    const hanging = failure(client.main.hang('a', cancel))
    // Far beyond the timeout: a server that answers heartbeats is alive, however long a call takes.
    await new Promise((resolve) => setTimeout(resolve, 1000))
    assert.equal(client.stats.callsInFlight, 1)
    server.kill('SIGSTOP')
    const error = await hanging
    assert.equal(error.code, 'unavailable')
    assert.match(error.message, /has been silent for 400 ms/)
  } finally {
    server.kill('SIGKILL')
  }
})

test('a frozen caller is given up by the agent while it works for it', async () => {
  await using link = await toyLink({
    server: { heartbeatIntervalMs: 20, heartbeatTimeoutMs: 100 },
  })
  const script = `
    const { connectToy } = await import(process.argv[1])
    const client = await connectToy(process.argv[2])
    client.main.hang('frozen', { signal: new AbortController().signal })`
  const support = join(import.meta.dirname, '../../test/support/rpc-toy.ts')
  const caller = spawn(
    process.execPath,
    ['--input-type=module', '-e', script, '--', support, link.path],
    { stdio: ['ignore', 'inherit', 'inherit'] },
  )
  try {
    await until(
      () => link.toy.seen.includes('began frozen'),
      () => link.toy.seen,
    )
    caller.kill('SIGSTOP')
    await until(
      () => link.toy.seen.includes('cancelled frozen'),
      () => link.toy.seen,
    )
    await until(
      () => link.listener.sessions.size === 1,
      () => link.listener.sessions.size,
    )
  } finally {
    caller.kill('SIGKILL')
  }
})

test('capabilities work, and are disposed of over there when disposed of here', async () => {
  await using link = await toyLink()
  const counter = await link.client.main.counter(5, { signal: never })
  assert.equal(await counter.next({ signal: never }), 5)
  assert.equal(await counter.next({ signal: never }), 6)
  assert.equal(link.toy.counters, 1)
  ;(counter as unknown as Disposable)[Symbol.dispose]()
  ;(counter as unknown as Disposable)[Symbol.dispose]()
  await until(
    () => link.toy.counters === 0,
    () => link.toy.counters,
  )
  const error = await failure(counter.next({ signal: never }))
  assert.equal(error.code, 'invalid_argument')
})

test('a capability that nobody refers to any more is given back', async () => {
  await using link = await toyLink()
  await link.client.main.counter(1, { signal: never })
  assert.equal(link.toy.counters, 1)
  const collect = globalThis.gc ?? (await garbageCollector())
  await until(
    () => {
      collect()
      return link.toy.counters === 0
    },
    () => link.toy.counters,
  )
})

async function garbageCollector(): Promise<() => void> {
  const { setFlagsFromString } = await import('node:v8')
  const { runInNewContext } = await import('node:vm')
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc') as () => void
}

test('a capability that comes after its caller gave up is given back', async () => {
  await using link = await toyLink()
  const cancel = new AbortController()
  const late = failure(link.client.main.lateCounter(1, cancel))
  await until(
    () => link.toy.seen.length === 1,
    () => link.toy.seen,
  )
  cancel.abort()
  await late
  link.toy.release.resolve()
  await until(
    () => link.toy.counters === 0 && link.toy.disposals === 0,
    () => link.toy.counters,
  )
  await link.client.main.echo(1, { signal: never })
  await until(
    () => [...link.listener.sessions].every((session) => session.stats.capabilities === 1),
    () => [...link.listener.sessions].map((session) => session.stats),
  )
  assert.equal(link.toy.counters, 0)
})

test('the end of a link disposes of everything it held, also of what is made later', async () => {
  await using link = await toyLink()
  const hanging = failure(link.client.main.hang('a', { signal: never }))
  const late = failure(link.client.main.lateCounter(1, { signal: never }))
  for (let i = 0; i < 10; i++) await link.client.main.counter(i, { signal: never })
  assert.equal(link.toy.counters, 10)
  await link.client[Symbol.asyncDispose]()
  assert.equal((await hanging).code, 'cancelled')
  assert.equal((await late).code, 'cancelled')
  await until(
    () => link.toy.disposals === 1,
    () => link.toy.disposals,
  )
  assert.equal(link.toy.counters, 0)
  assert(link.toy.seen.includes('cancelled a'))
  link.toy.release.resolve()
  await new Promise(setImmediate)
  assert.equal(link.toy.counters, 0)
  assert.equal(link.toy.disposals, 1)
})

test('a link holds a bounded number of capabilities', async () => {
  await using link = await toyLink({ server: { capabilitiesMax: 5 } })
  const held = []
  for (let i = 0; i < 4; i++) held.push(await link.client.main.counter(i, { signal: never }))
  const error = await failure(link.client.main.counter(9, { signal: never }))
  assert.equal(error.code, 'exhausted')
  await until(
    () => link.toy.counters === 4,
    () => link.toy.counters,
  )
  assert.equal(held.length, 4)
})

test('10,000 calls and 1,000 capabilities leave nothing behind', async () => {
  await using link = await toyLink()
  const { main, stats } = link.client
  const [session] = link.listener.sessions
  assert(session)
  const collect = await garbageCollector()
  const work = async (calls: number, capabilities: number) => {
    for (let i = 0; i < calls; i += 100)
      await Promise.all(
        Array.from({ length: 100 }, (_, n) => main.echo({ i, n }, { signal: never })),
      )
    for (let i = 0; i < capabilities; i++) {
      const counter = await main.counter(i, { signal: never })
      await counter.next({ signal: never })
      ;(counter as unknown as Disposable)[Symbol.dispose]()
    }
    await main.echo('', { signal: never })
  }
  await work(5000, 500)
  // What leaks grows in every round; the engine's own ups and downs do not.
  const growth: number[] = []
  for (let round = 0; round < 4; round++) {
    collect()
    const before = process.memoryUsage().heapUsed
    await work(2500, 250)
    collect()
    growth.push(process.memoryUsage().heapUsed - before)
  }
  assert.deepEqual(link.client.stats, stats)
  assert.equal(link.toy.counters, 0)
  assert.deepEqual(session.stats, { callsInFlight: 0, capabilities: 1, imports: 1, exports: 1 })
  // 100 bytes left by each would be 275,000.
  assert(Math.min(...growth) < 150_000, `the heap grew by ${growth.join(', ')} bytes`)
})
