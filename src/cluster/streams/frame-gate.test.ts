import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { encodeFrame } from '../../rpc/keeper-frames.ts'
import { FrameGate } from './frame-gate.ts'

const frames = fc.array(
  fc.record({
    type: fc.constantFrom('O', 'E', 'I', 'Z', 'H', 'X'),
    bytes: fc.uint8Array({ maxLength: 40 }),
  }),
  { maxLength: 12 },
)

test('FrameGate hands on every byte of what it does not take, however it is cut', () => {
  fc.assert(
    fc.property(
      frames,
      fc.array(fc.integer({ min: 1, max: 17 }), { minLength: 1 }),
      (list, cuts) => {
        const passed: Buffer[] = []
        const taken: string[] = []
        const gate = new FrameGate(['Z', 'H'], {
          pass: (bytes) => passed.push(Buffer.from(bytes)),
          taken: (type, payload) => taken.push(type + payload.toString('hex')),
        })
        const all = Buffer.concat(list.map(({ type, bytes }) => encodeFrame(type, bytes)))
        for (let at = 0, i = 0; at < all.length; i++) {
          const end = at + (cuts[i % cuts.length] ?? 1)
          gate.push(all.subarray(at, end))
          at = end
        }
        const isTaken = ({ type }: { type: string }) => type === 'Z' || type === 'H'
        const wanted = list.filter((frame) => !isTaken(frame))
        assert.deepEqual(
          Buffer.concat(passed),
          Buffer.concat(wanted.map(({ type, bytes }) => encodeFrame(type, bytes))),
        )
        assert.deepEqual(
          taken,
          list.filter(isTaken).map(({ type, bytes }) => type + Buffer.from(bytes).toString('hex')),
        )
        assert.equal(gate.atBoundary, true)
      },
    ),
  )
})

test('FrameGate calls at the next boundary, also in the middle of a chunk', () => {
  const long = encodeFrame('O', Buffer.alloc(1000, 1))
  const log: string[] = []
  const gate = new FrameGate([], {
    pass: (bytes) => log.push(`${bytes.length}`),
    taken: () => {},
    boundary: () => log.push('here'),
  })
  gate.callAtBoundary()
  gate.push(long.subarray(0, 500))
  gate.callAtBoundary()
  gate.push(Buffer.concat([long.subarray(500), long, long.subarray(0, 3)]))
  gate.callAtBoundary()
  assert.deepEqual(log, ['here', '500', '505', 'here', '1005', 'here'])
})

test('FrameGate refuses what is no frame', () => {
  const gate = new FrameGate(['Z'], { pass: () => {}, taken: () => {} })
  assert.throws(() => gate.push(Buffer.from('GET / HTTP/1.1\r\n')), /none of a byte stream/)
})
