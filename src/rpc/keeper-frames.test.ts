import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { HolonError } from '../base/errors.ts'
import { encodeFrame, FrameDecoder } from './keeper-frames.ts'

/** What a decoder says of these chunks, with the parts of an output payload joined. */
function decode(chunks: readonly Buffer[]): string[] {
  const said: string[] = []
  let open = ''
  let outputBytes = ''
  const flush = () => {
    if (outputBytes !== '') said.push(`${open}:${outputBytes}`)
    outputBytes = ''
  }
  const decoder = new FrameDecoder({
    output(type, bytes) {
      if (type !== open) flush()
      open = type
      outputBytes += bytes.toString('hex')
    },
    outputEnd(type) {
      flush()
      said.push(`${type} ends`)
    },
    frame(type, payload) {
      flush()
      said.push(`${type}=${payload.toString('hex')}`)
    },
  })
  for (const chunk of chunks) decoder.push(chunk)
  flush()
  assert(decoder.atBoundary)
  return said
}

test('FrameDecoder reads what encodeFrame() wrote, however the bytes are cut', () => {
  const frame = fc.tuple(
    fc.constantFrom('O', 'E', 'X', 'T', 'R', 'V'),
    fc.uint8Array({ maxLength: 20 }),
  )
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 8 }), fc.array(fc.nat(12)), (frames, cuts) => {
      const bytes = Buffer.concat(frames.map(([type, payload]) => encodeFrame(type, payload)))
      const chunks: Buffer[] = []
      let at = 0
      for (const cut of cuts) {
        chunks.push(bytes.subarray(at, at + cut))
        at += cut
      }
      chunks.push(bytes.subarray(at))
      assert.deepEqual(decode(chunks), decode([bytes]))
      const whole = decode([bytes]).filter((said) => said.includes('='))
      const expected = frames
        .filter(([type]) => type !== 'O' && type !== 'E')
        .map(([type, payload]) => `${type}=${Buffer.from(payload).toString('hex')}`)
      assert.deepEqual(whole, expected)
    }),
  )
})

test('FrameDecoder hands output on in the very memory it came in', () => {
  const chunk = encodeFrame('O', 'x'.repeat(1000))
  let seen = 0
  const decoder = new FrameDecoder({
    output(_type, bytes) {
      assert.equal(bytes.buffer, chunk.buffer)
      seen += bytes.length
    },
    outputEnd: () => assert.fail(),
    frame: () => assert.fail(),
  })
  decoder.push(chunk.subarray(0, 500))
  assert.equal(seen, 495)
  decoder.push(chunk.subarray(500))
  assert.equal(seen, 1000)
})

test('FrameDecoder refuses what is no frame, with a typed error', () => {
  const refused = [
    Buffer.from([0, 0, 0, 0, 0]),
    Buffer.from('O\x7f\xff\xff\xff', 'latin1'),
    Buffer.from('X\x00\x50\x00\x00', 'latin1'),
    Buffer.from('o\0\0\0\0'),
  ]
  for (const bytes of refused)
    assert.throws(
      () => decode([bytes]),
      (error) => error instanceof HolonError && error.code === 'invalid_argument',
    )
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      try {
        new FrameDecoder({ output() {}, outputEnd() {}, frame() {} }).push(Buffer.from(bytes))
      } catch (error) {
        assert(error instanceof HolonError)
      }
    }),
  )
})
