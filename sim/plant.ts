/**
 * Plants one bug (sim/planted.ts, by its number in HOLON_PLANTED) into the code of this process, as
 * that is loaded: `node --import ./sim/plant.ts sim/main.ts`. Fails when it does not fit exactly.
 */
import assert from 'node:assert/strict'
import { registerHooks } from 'node:module'
import { plantedBugs } from './planted.ts'

const bug = plantedBugs[Number(process.env['HOLON_PLANTED'])]
assert.ok(bug !== undefined, 'HOLON_PLANTED is the number of a planted bug')
const missing = new Set(bug.changes)

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context)
    const changes = bug.changes.filter(({ file }) => url.endsWith(`/src/${file}`))
    if (changes.length === 0) return loaded
    let source = String(loaded.source)
    for (const change of changes) {
      const { file, from, to } = change
      assert.equal(source.split(from).length, 2, `${file} has it exactly once: ${from}`)
      source = source.replace(from, () => to)
      missing.delete(change)
    }
    return { ...loaded, source }
  },
})

process.on('exit', () => {
  if (missing.size === 0) return
  console.error(`not loaded: ${[...missing].map(({ file }) => file).join(', ')}`)
  process.exitCode = 3
})
