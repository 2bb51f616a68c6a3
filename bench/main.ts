/**
 * `npm run bench [-- CASE…]`: measures Holon beside its peers on this machine and prints ratios.
 * Needs root only for what the peers need; runit for `restart`. Leave the machine alone meanwhile.
 */
import { TestAgent } from '../test/e2e/harness.ts'
import { cases } from './cases.ts'
import { type Comparison, formatComparisons } from './measure.ts'

const wanted = process.argv.slice(2)
const unknown = wanted.filter((name) => !(name in cases))
if (unknown.length > 0) {
  throw new Error(`no case ${unknown.join(', ')}; there are ${Object.keys(cases).join(', ')}`)
}

const rows: Comparison[] = []
for (const [name, run] of Object.entries(cases)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue
  process.stderr.write(`${name} …\n`)
  await using agent = await TestAgent.up()
  rows.push(...(await run(agent)))
}
process.stdout.write(`${formatComparisons(rows)}\n`)
