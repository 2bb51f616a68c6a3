import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock } from '../../test/conformance/manual-clock.ts'
import { Balancer, type Target } from './balancer.ts'
import type { Endpoint } from './table.ts'

function endpoint(instance: string, more: Partial<Endpoint> = {}): Endpoint {
  return { instance, host: '127.0.0.1', port: 20_000, state: 'ready', ...more }
}

function balancer(...endpoints: readonly Endpoint[]) {
  const clock = new ManualClock()
  const made = new Balancer(clock)
  made.update(endpoints)
  return { clock, made }
}

const { signal } = new AbortController()
const nameOf = (target: Target | undefined) => target?.endpoint.instance

test('pick() prefers this machine, then the fewest under way', () => {
  const { made } = balancer(
    endpoint('far/1', { machineId: 'm2' }),
    endpoint('near/2'),
    endpoint('near/3'),
  )
  const first = made.pick()
  assert.match(nameOf(first) ?? '', /^near/)
  if (first !== undefined) first.active += 1
  const second = made.pick()
  assert.match(nameOf(second) ?? '', /^near/)
  assert.notEqual(second, first)
  // However busy, as long as it works.
  for (const target of made.targets) if (target.isLocal) target.active = 100
  assert.match(nameOf(made.pick()) ?? '', /^near/)
})

test('pick() leaves alone what failed, for a while; never everything', () => {
  const { clock, made } = balancer(endpoint('near/1'), endpoint('far/2', { machineId: 'm2' }))
  const near = made.targets.find(({ isLocal }) => isLocal)
  near?.failed(clock.nowMs())
  assert.equal(nameOf(made.pick()), 'far/2')
  clock.advance(600)
  assert.equal(nameOf(made.pick()), 'near/1')
  near?.failed(clock.nowMs())
  clock.advance(600)
  assert.equal(nameOf(made.pick()), 'far/2', 'longer after the second time')
  for (const target of made.targets) target.failed(clock.nowMs())
  assert.notEqual(made.pick(), undefined)
  near?.worked()
  assert.equal(nameOf(made.pick()), 'near/1')
})

test('update() closes what drains or goes, and keeps what stays with what it has under way', () => {
  const { made } = balancer(endpoint('a/1'), endpoint('a/2'))
  const closed: string[] = []
  for (const target of made.targets) target.onClosing = () => closed.push(nameOf(target) ?? '')
  const [one] = made.targets
  if (one !== undefined) one.active = 3
  made.update([endpoint('a/1', { state: 'draining' })])
  assert.deepEqual(closed, ['a/1', 'a/2'])
  assert.equal(made.targets[0], one)
  assert.equal(made.pick(), undefined)
})

test('choose() waits until one is ready, and not for ever', async () => {
  const { clock, made } = balancer()
  const waiting = made.choose(new Set(), signal)
  made.update([endpoint('a/1')])
  assert.equal(nameOf(await waiting), 'a/1')

  const [tried] = made.targets
  const again = made.choose(new Set(tried === undefined ? [] : [tried]), signal)
  clock.advance(60_000)
  assert.equal(await again, undefined)

  const leaving = new AbortController()
  const left = made.choose(new Set(made.targets), leaving.signal)
  leaving.abort()
  assert.equal(await left, undefined)
})
