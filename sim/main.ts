/**
 * `npm run sim -- --seed N`: simulated fleets under faults, one for each seed. A violation is printed
 * with its seed, all that was drawn for it, and the end of the trace.
 */
import { fork } from 'node:child_process'
import { parseArgs } from 'node:util'
import { type Family, families, isFamily } from '../src/sim/families.ts'
import type { SimResult } from '../src/sim/run.ts'

const help = `npm run sim -- [OPTION…]: simulated fleets under faults, one for each seed

  --seed N      the first seed (1)
  --count M     so many seeds (1)
  --family F    ${Object.keys(families).join(', ')} (chaos)
  --jobs J      so many processes at once (1)
  --hours H     seed after seed for so long
  --twice       each seed again: both traces must be the same
  --first       ends at the first violation
  --trace       prints the trace's last --lines lines (200)
  --help

Status 1 when a seed failed. docs/simulation.md says what it simulates and what it checks.`

function parsed() {
  try {
    return parseArgs({
      options: {
        seed: { type: 'string', default: '1' },
        count: { type: 'string', default: '1' },
        family: { type: 'string', default: 'chaos' },
        jobs: { type: 'string', default: '1' },
        hours: { type: 'string' },
        twice: { type: 'boolean', default: false },
        first: { type: 'boolean', default: false },
        trace: { type: 'boolean', default: false },
        lines: { type: 'string', default: '200' },
        // Between processes only: each takes every J-th seed.
        stride: { type: 'string', default: '1' },
        help: { type: 'boolean', default: false },
      },
    }).values
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error))
  }
}

function refuse(what: string): never {
  console.error(`sim: ${what}\n\n${help}`)
  process.exit(2)
}

const values = parsed()
if (values.help) {
  console.log(help)
  process.exit()
}
for (const name of ['seed', 'count', 'jobs', 'lines', 'stride'] as const) {
  if (!/^[1-9]\d{0,14}$/.test(values[name]))
    refuse(`--${name} ${values[name]}: a number is expected`)
}
if (values.hours !== undefined && !(Number(values.hours) > 0)) {
  refuse(`--hours ${values.hours}: a number of hours is expected`)
}
const family = familyOf(values.family)
const lines = Number(values.lines)
const jobs = Number(values.jobs)
/** Long runs say now and then how far they are. */
const progressMs = 30_000
const heapArguments = ['--max-semi-space-size=64']

interface Summary {
  readonly runs: number
  readonly failed: number
  readonly steps: number
  readonly restoredMs: readonly number[]
}

const began = performance.now()
const elapsedHours = () => (performance.now() - began) / 3_600_000
const summary = jobs > 1 ? await inJobs() : await inTurn()
if (process.send !== undefined) process.send(summary)
else print(summary)
process.exitCode = summary.failed > 0 ? 1 : 0

function familyOf(name: string): Family {
  if (isFamily(name)) return name
  return refuse(`--family ${name}: there are ${Object.keys(families).join(', ')}`)
}

/** Each process takes every J-th seed. */
async function inJobs(): Promise<Summary> {
  const each = Math.ceil(Number(values.count) / jobs)
  const summaries = await Promise.all(
    Array.from({ length: jobs }, (_, i) => {
      const own = ['--seed', `${Number(values.seed) + i}`, '--count', `${each}`, '--jobs', '1']
      const args = [...process.argv.slice(2), ...own, '--stride', `${jobs}`]
      return new Promise<Summary>((resolve, reject) => {
        const child = fork(import.meta.filename, args, {
          execArgv: [...process.execArgv, ...heapArguments],
        })
        child.on('message', (message) => resolve(message as Summary))
        child.on('exit', (code) => reject(new Error(`a process ended with status ${code}`)))
      })
    }),
  )
  return {
    runs: summaries.reduce((sum, { runs }) => sum + runs, 0),
    failed: summaries.reduce((sum, { failed }) => sum + failed, 0),
    steps: summaries.reduce((sum, { steps }) => sum + steps, 0),
    restoredMs: summaries.flatMap(({ restoredMs }) => restoredMs),
  }
}

async function inTurn(): Promise<Summary> {
  const restoredMs: number[] = []
  let [runs, failed, steps] = [0, 0, 0]
  let toldMs = performance.now()
  const isOver = () =>
    values.hours === undefined
      ? runs >= Number(values.count)
      : elapsedHours() >= Number(values.hours)
  while (!isOver()) {
    const seed = Number(values.seed) + runs * Number(values.stride)
    const result = await families[family](seed)
    runs += 1
    steps += result.steps
    restoredMs.push(result.restoredMs)
    const isSame = !values.twice || (await families[family](seed)).traceHash === result.traceHash
    const isBad = result.violations.length > 0 || !isSame
    if (isBad) failed += 1
    if (isBad) tell(result, isSame)
    else if (values.trace) console.log(result.trace.slice(-lines).join('\n'))
    if (isBad && values.first) break
    if (performance.now() - toldMs > progressMs) {
      toldMs = performance.now()
      console.error(`… seed ${seed}: ${runs} seeds, ${failed} failed`)
    }
  }
  return { runs, failed, steps, restoredMs }
}

function tell({ seed, options, violations, trace }: SimResult, isSame: boolean) {
  const what = [
    ...violations.map(({ atMs, rule, what }) => `${rule} at ${atMs.toFixed(1)}: ${what}`),
    ...(isSame ? [] : ['the second run of the same seed has another trace']),
  ]
  const end = trace.slice(-(values.trace ? lines : 20))
  console.log(
    [
      `seed ${seed} of ${family}: ${what.length} violations`,
      ...what.slice(0, 5),
      `drawn: ${JSON.stringify(options)}`,
      ...end.map((line) => `  ${line}`),
      `again: npm run sim -- --family ${family} --seed ${seed} --trace`,
    ].join('\n'),
  )
}

function print({ runs, failed, steps, restoredMs }: Summary): void {
  const sorted = [...restoredMs].sort((a, b) => a - b)
  const at = (share: number) =>
    Math.round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0)
  const seconds = (performance.now() - began) / 1_000
  console.log(
    `${runs} seeds, ${failed} failed, ${steps} steps, ${seconds.toFixed(1)} s; restored after ` +
      `${at(0.5)} ms (median), ${at(0.99)} ms (p99), ${at(1)} ms (longest)`,
  )
}
