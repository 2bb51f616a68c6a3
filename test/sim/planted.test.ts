/** Every planted bug is found within its seeds: else the simulation proves nothing about its line. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { plantedBugs } from '../../sim/planted.ts'

const root = join(dirname(fileURLToPath(import.meta.url)), '../..')

function find(index: number, family: string, seeds: number): Promise<string> {
  const plant = join(root, 'sim/plant.ts')
  const run = ['--family', family, '--count', String(seeds), '--first']
  const argv = ['--import', plant, join(root, 'sim/main.ts'), ...run]
  const env = { ...process.env, HOLON_PLANTED: String(index) }
  return new Promise((resolve, reject) => {
    execFile(process.execPath, argv, { env, maxBuffer: 64 << 20 }, (error, stdout, stderr) => {
      if (/violation/.test(stdout)) resolve(stdout)
      else
        reject(new assert.AssertionError({ message: `not found\n${stdout}\n${stderr}\n${error}` }))
    })
  })
}

test('there are at least fifteen planted bugs', () => assert.ok(plantedBugs.length >= 15))

for (const [index, { name, family, seeds }] of plantedBugs.entries()) {
  test(`found: ${name}`, async () => void (await find(index, family, seeds)))
}
