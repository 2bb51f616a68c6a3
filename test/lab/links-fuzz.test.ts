/**
 * Strangers at a real agent's port: rubbish, half a handshake, silence, the wrong protocol. It lives,
 * does not grow, and says nothing to them beyond TLS itself. Needs root.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Lab, labName, noLab } from './harness.ts'
import { footprint, untilReached, untilSeen } from './join-support.ts'

const name = labName('links-fuzz')

/**
 * Runs in a machine. Each case opens a connection, sends something and says what came back: for raw
 * ones the first byte of each answer (21: an alert of TLS; 22: its handshake), for those with TLS
 * whatever arrived inside it.
 */
const strangers = `
const net = require('net'), tls = require('tls'), crypto = require('crypto')
const [host, seed] = process.argv.slice(1)
let n = Number(seed)
const random = (below) => { n = (Math.imul(n, 1664525) + 1013904223) >>> 0; return Math.floor(n / 2 ** 32 * below) }
const answers = new Set()
const raw = (bytes, after) => new Promise((resolve) => {
  const s = net.connect(4656, host, () => { s.write(bytes); after?.(s) })
  s.on('data', (d) => answers.add('raw ' + d[0])); s.on('error', () => {}); s.on('close', resolve)
  setTimeout(() => s.destroy(), 300 + random(300))
})
const hello = crypto.randomBytes(512)
hello.set([22, 3, 1, 1, 0xfb, 1, 0, 1, 0xf7, 3, 3])
const rubbish = () => {
  const kind = random(5)
  const bytes = crypto.randomBytes(1 + random(4000))
  if (kind === 0) return bytes
  if (kind === 1) return Buffer.from('GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')
  if (kind === 2) return Buffer.from('{"kind":"renew"}\\n')
  if (kind === 3) return hello.subarray(0, 1 + random(hello.length))
  const flipped = Buffer.from(hello); flipped[random(flipped.length)] ^= 1 << random(8); return flipped
}
const inside = (alpn) => new Promise((resolve) => {
  const s = tls.connect({ host, port: 4656, rejectUnauthorized: false, ...(alpn && { ALPNProtocols: [alpn] }) })
  s.on('secureConnect', () => { s.write(crypto.randomBytes(1 + random(9000))); s.write('\\n') })
  s.on('data', (d) => answers.add(alpn + ' said ' + d.length)); s.on('error', () => {}); s.on('close', resolve)
  setTimeout(() => s.destroy(), 700)
})
;(async () => {
  for (let i = 0; i < 12; i++) {
    await Promise.all([
      ...Array.from({ length: 20 }, () => raw(rubbish())),
      // Silent ones, and ones that are gone without a word.
      ...Array.from({ length: 10 }, () => raw(Buffer.alloc(0))),
      ...Array.from({ length: 5 }, () => raw(rubbish(), (s) => s.resetAndDestroy())),
      ...['holon-rpc/1', 'holon-stream/1', 'holon-join/1', 'http/1.1', undefined].map(inside),
    ])
  }
  console.log(JSON.stringify([...answers].sort()))
  process.exit()
})()
`

test('a port that strangers talk to: no crash, no growth, no answer before authentication', {
  skip: noLab,
}, async () => {
  await Lab.with(2, { name }, async (lab) => {
    await untilReached(lab, ['n1'], ['n2'])
    await untilReached(lab, ['n2'], ['n1'])
    const seed = process.env['HOLON_SEED'] ?? String(Date.now() % 1_000_000)
    const { address } = lab.machine('n1')
    const visit = async () => {
      const result = await lab
        .machine('n2')
        .exec([process.execPath, '-e', strangers, address, seed])
      assert.equal(result.status, 0, `seed ${seed}: ${result.stderr}`)
      const answers = JSON.parse(result.stdout) as readonly string[]
      const told = answers.filter((answer) => !/^raw (21|22)$/.test(answer))
      assert.deepEqual(told, [], `seed ${seed}`)
    }
    await visit()
    const before = footprint(lab, 'n1')
    await visit()
    // In the middle of it, members are served.
    const [, run] = await Promise.all([
      visit(),
      lab.machine('n2').holon(['run', '-m', 'n1', 'true']),
    ])
    assert.equal(run.status, 0, run.stderr)
    await lab.until(
      'descriptors and memory of n1 are as before',
      () => {
        const now = footprint(lab, 'n1')
        assert.equal(now.pid, before.pid, 'the same agent')
        const grownMiB = (now.rssBytes - before.rssBytes) / 1024 / 1024
        return now.descriptors <= before.descriptors + 4 && grownMiB < 30
      },
      20_000,
    )
    await untilSeen(lab, ['n1', 'n2'])
  })
})
