/**
 * `npm run bench [-- CASE…]`: measures Holon beside its peers on this machine and prints ratios.
 * `npm run bench -- scale [MACHINES…]`: what fleets of up to 10,000 machines take of their leader.
 * `npm run bench -- fleet [CASE…]`: the same for five machines of a lab (root, erlang-base and
 * openssh-server). Needs runit for `restart`. Leave the machine alone meanwhile.
 */
import { TestAgent } from '../test/e2e/harness.ts'
import { cases } from './cases.ts'
import { fleetBench } from './fleet/main.ts'
import { type Comparison, formatComparisons } from './measure.ts'
import { scaleBench } from './scale/main.ts'

const wanted = process.argv.slice(2)

/** Each with an agent of its own. */
async function oneMachine(): Promise<readonly Comparison[]> {
  const unknown = wanted.filter((name) => !(name in cases))
  if (unknown.length > 0) {
    const known = [...Object.keys(cases), 'fleet', 'scale'].join(', ')
    throw new Error(`no case ${unknown.join(', ')}; there are ${known}`)
  }
  const rows: Comparison[] = []
  for (const [name, run] of Object.entries(cases)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue
    process.stderr.write(`${name} …\n`)
    await using agent = await TestAgent.up()
    rows.push(...(await run(agent)))
  }
  return rows
}

async function table(): Promise<string> {
  if (wanted[0] === 'scale') return scaleBench(wanted.slice(1))
  const isFleet = wanted[0] === 'fleet'
  return formatComparisons(await (isFleet ? fleetBench(wanted.slice(1)) : oneMachine()))
}

process.stdout.write(`${await table()}\n`)
