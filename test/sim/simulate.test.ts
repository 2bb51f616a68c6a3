/** holon/sim as its users see it: the documented example, run as it stands there. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { simulate } from '../../src/sim/index.ts'

const root = join(dirname(fileURLToPath(import.meta.url)), '../..')
const web = '[Service]\nExecStart=/usr/bin/web\n[X-Holon]\nInstances=3\n'

test('docs/simulation.md: the example does what it says', async () => {
  const doc = readFileSync(join(root, 'docs/simulation.md'), 'utf8')
  const [, example = ''] = /```ts\n(.*?)```/s.exec(doc) ?? []
  assert.match(example, /simulate/)
  const module = pathToFileURL(join(root, 'src/sim/index.ts')).href
  const source = example.replace('holon/sim', module).replaceAll('console.log', 'void')
  await import(`data:text/javascript,${encodeURIComponent(source)}`)
})

test('simulate() the same script and seed give the same history', async () => {
  const play = async () => {
    const fleet = await simulate({ seed: 3, machines: 5, clockRateError: 0.05 })
    await fleet.start('web.service', web)
    fleet.rage()
    await fleet.run(60_000)
    fleet.heal()
    await fleet.settled()
    return fleet.history
  }
  assert.deepEqual(await play(), await play())
})

test('simulate() refuses a unit file with its line, and machines that there are not', async () => {
  const fleet = await simulate({ machines: 1 })
  const wrong = fleet.start('web.service', `${web}Instances=none\n`)
  await assert.rejects(wrong, { code: 'invalid_argument', message: /web\.service:5/ })
  await assert.rejects(fleet.start('web.service', `${web}[X-Sim]\nReady=1\n`), /\[X-Sim\]/)
  assert.throws(() => fleet.crash('m2'), { code: 'not_found', message: /there are m1/ })
})

test('until() says what is missing when its time is over', async () => {
  const fleet = await simulate({ machines: 3 })
  await fleet.start('web.service', `${web}PerNode=1\n`)
  await fleet.settled()
  await fleet.scale('web.service', 4)
  await assert.rejects(fleet.settled(5_000), /web\.service has 3 places, not 4/)
  assert.match(fleet.waiting('web.service').get(4) ?? '', /PerNode=1/)
})
