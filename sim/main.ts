/** `npm run sim -- --seed N [--count M]`: simulated fleets under faults, one for each seed. */
import { parseArgs } from 'node:util'
import { simulateSeed } from '../src/sim/run.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    count: { type: 'string', default: '1' },
    trace: { type: 'boolean', default: false },
    lines: { type: 'string', default: '200' },
  },
})

let failed = 0
const began = performance.now()
let steps = 0
let worst = 0
for (let i = 0; i < Number(values.count); i++) {
  const seed = Number(values.seed) + i
  const result = await simulateSeed(seed)
  if (values.trace) console.log(`seed ${seed} ${result.steps} steps`)
  steps += result.steps
  worst = Math.max(worst, result.healedMs)
  if (result.violations.length > 0) {
    failed += 1
    const [first] = result.violations
    console.log(`seed ${seed}: ${result.violations.length} violations; first: ${first?.rule} at ${first?.atMs}: ${first?.what}`)
  }
  if (values.trace) console.log(result.trace.slice(-Number(values.lines)).join('\n'))
}
const seconds = (performance.now() - began) / 1000
console.log(
  `${values.count} seeds, ${failed} failed, ${steps} steps, ${seconds.toFixed(1)} s, ` +
    `healed after ${worst} ms at most`,
)
process.exitCode = failed > 0 ? 1 : 0
