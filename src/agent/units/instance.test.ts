/** An instance whose keeper dies at awkward moments. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { realClock } from '../../io/clock.ts'
import type { JobSpec } from '../../unit/job-spec.ts'
import type { JobLauncher } from '../keeper/launcher.ts'
import type { JobLink } from '../keeper/link.ts'
import { PortNumbers } from '../ports/port-numbers.ts'
import { Serving } from '../ports/serving.ts'
import { Instance, type InstanceDeps } from './instance.ts'

const { signal } = new AbortController()

test('start() of a job that is lost at once: cleaned up, and counts as lost', async () => {
  const cleaned = Promise.withResolvers<string>()
  const link = {
    state: { phase: 'running', keeperPid: 0 },
    ended: Promise.resolve('lost'),
    [Symbol.dispose]() {},
  } as unknown as JobLink
  using serving = new Serving({
    clock: realClock,
    numbers: new PortNumbers(async () => true, 0),
    toldHere: async () => {},
    told: async () => {},
    underWay: async () => 0,
  })
  const deps: InstanceDeps = {
    clock: realClock,
    launcher: { start: async () => link } as unknown as JobLauncher,
    cleanUp: async (job) => cleaned.resolve(job),
    untilGone: async () => {},
    removeCredentials: () => {},
    changed: () => {},
    event: () => {},
    seen: () => 0,
    serving,
  }
  const instance = new Instance(deps, 'web.service', 1, '/nowhere/web')
  await instance.start(async () => ({ spec: {} as JobSpec }), signal)
  assert.equal(await cleaned.promise, 'unit/web.service/1')
  while (instance.condition() === 'busy') await new Promise((resolve) => setImmediate(resolve))
  assert.equal(instance.condition(), 'lost')
})
