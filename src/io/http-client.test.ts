/** HttpClient against a real server, and against none. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { deadline } from '../base/clock.ts'
import { HolonError } from '../base/errors.ts'
import { realClock } from './clock.ts'
import { HttpClient } from './http-client.ts'

const ask = { path: '/x', headers: {}, body: '{"a":1}' }
const bytesMax = 1000

async function withServer(
  listener: RequestListener,
  work: (client: HttpClient) => Promise<void>,
): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'holon-http-'))
  const socketPath = join(directory, 'sock')
  const server = createServer(listener).listen(socketPath)
  await once(server, 'listening')
  try {
    using client = new HttpClient({ socketPath })
    await work(client)
  } finally {
    server.closeAllConnections()
    server.close()
    rmSync(directory, { recursive: true, force: true })
  }
}

function outcome(code: string, expected: 'none' | 'unknown') {
  return (e: unknown) => e instanceof HolonError && e.code === code && e.outcome === expected
}

test('post() gives status and text, over one connection', async () => {
  const sockets = new Set<unknown>()
  const listener: RequestListener = (request, response) => {
    sockets.add(request.socket)
    response.statusCode = 418
    request.pipe(response)
  }
  await withServer(listener, async (client) => {
    using limit = deadline(realClock, 5000)
    for (let i = 0; i < 3; i++) {
      const answer = await client.post(ask, { signal: limit.signal, bytesMax })
      assert.deepEqual(answer, { status: 418, text: ask.body })
    }
  })
  assert.equal(sockets.size, 1)
})

test('post() without a server has outcome none', async () => {
  using limit = deadline(realClock, 5000)
  const options = { signal: limit.signal, bytesMax }
  using missing = new HttpClient({ socketPath: '/nowhere/sock' })
  await assert.rejects(missing.post(ask, options), outcome('unavailable', 'none'))
  using refused = new HttpClient({ host: '127.0.0.1', port: 1 })
  await assert.rejects(refused.post(ask, options), outcome('unavailable', 'none'))
  using late = new HttpClient({ socketPath: '/nowhere/sock' })
  const aborted = { signal: AbortSignal.abort(), bytesMax }
  await assert.rejects(late.post(ask, aborted), outcome('cancelled', 'none'))
})

test('post() that was sent and not answered has outcome unknown', async () => {
  await withServer(
    (request) => request.socket.destroy(),
    async (client) => {
      using limit = deadline(realClock, 5000)
      const options = { signal: limit.signal, bytesMax }
      await assert.rejects(client.post(ask, options), outcome('unavailable', 'unknown'))
    },
  )
  await withServer(
    () => undefined,
    async (client) => {
      using limit = deadline(realClock, 100)
      const options = { signal: limit.signal, bytesMax }
      await assert.rejects(client.post(ask, options), outcome('deadline_exceeded', 'unknown'))
    },
  )
  await withServer(
    (_request, response) => {
      response.write('half')
      setImmediate(() => response.destroy())
    },
    async (client) => {
      using limit = deadline(realClock, 5000)
      const options = { signal: limit.signal, bytesMax }
      await assert.rejects(client.post(ask, options), outcome('unavailable', 'unknown'))
    },
  )
})

test('post() and lines() bound the answer', async () => {
  const listener: RequestListener = (_request, response) => response.end('x'.repeat(bytesMax + 1))
  await withServer(listener, async (client) => {
    using limit = deadline(realClock, 5000)
    const options = { signal: limit.signal, bytesMax }
    await assert.rejects(client.post(ask, options), outcome('exhausted', 'unknown'))
    const lines = client.lines(ask, options)
    await assert.rejects(lines.next(), outcome('exhausted', 'unknown'))
  })
})

test('lines() brings each line as it comes, and ends the request when left', async () => {
  let closed = false
  const listener: RequestListener = (request, response) => {
    response.on('close', () => {
      closed = true
    })
    const parts = ['{"a":1}\n{"b"', ':2}\n', '{"c":3}\n{"d":']
    for (const part of parts) response.write(part)
    request.resume()
  }
  await withServer(listener, async (client) => {
    using limit = deadline(realClock, 5000)
    const seen: string[] = []
    for await (const { text } of client.lines(ask, { signal: limit.signal, bytesMax })) {
      seen.push(text)
      if (seen.length === 3) break
    }
    assert.deepEqual(seen, ['{"a":1}', '{"b":2}', '{"c":3}'])
    const endMs = Date.now() + 5000
    while (!closed && Date.now() < endMs) await new Promise((resolve) => setTimeout(resolve, 5))
    assert.ok(closed)
  })
})
