import assert from 'node:assert/strict'
import { test } from 'node:test'
import { answerHeaders, forwardedHeaders, hostName } from './headers.ts'

const client = { address: '10.0.0.9', protocol: 'http' } as const

test('forwardedHeaders() says who the client is, after what was said before', () => {
  assert.deepEqual(forwardedHeaders(['Host', 'a.example', 'Cookie', 'x'], client), [
    ...['Host', 'a.example', 'Cookie', 'x', 'X-Forwarded-For', '10.0.0.9'],
    ...['X-Forwarded-Proto', 'http', 'X-Forwarded-Host', 'a.example'],
  ])
  const forged = ['host', 'a', 'x-forwarded-for', '1.1.1.1', 'X-Forwarded-Proto', 'https']
  assert.deepEqual(forwardedHeaders(forged, client), [
    ...['host', 'a', 'X-Forwarded-For', '1.1.1.1, 10.0.0.9', 'X-Forwarded-Proto', 'http'],
    ...['X-Forwarded-Host', 'a'],
  ])
})

test('headers of one hop stay behind, also those that Connection names', () => {
  const raw = ['Connection', 'keep-alive, X-Secret', 'X-Secret', '1', 'TE', 'trailers', 'A', 'b']
  const kept = forwardedHeaders([...raw, 'Upgrade', 'h2c', 'Transfer-Encoding', 'chunked'], client)
  assert.deepEqual(kept.slice(0, 2), ['A', 'b'])
  assert.equal(kept.length, 6)
  const answer = ['Connection', 'close', 'Content-Length', '3', 'Keep-Alive', 'timeout=5']
  assert.deepEqual(answerHeaders(answer.map((each) => Buffer.from(each))), ['Content-Length', '3'])
})

test('an upgrade keeps what asks for it', () => {
  const raw = ['Connection', 'Upgrade', 'Upgrade', 'websocket', 'Sec-WebSocket-Key', 'k']
  assert.deepEqual(forwardedHeaders(raw, client, true).slice(0, 6), raw)
})

test('hostName() is without port, in lower case', () => {
  assert.equal(hostName('App.Example:8080'), 'app.example')
  assert.equal(hostName('[::1]:80'), '[::1]')
  assert.equal(hostName(undefined), '')
})
