/**
 * Choosing a machine for a program: filter by what it requires, then the better of two candidates
 * taken at random, the local one when it is as good. Two random choices avoid that everybody who
 * asks at the same moment picks the same "best" machine (Mitzenmacher, "The power of two choices").
 * Pure: the random numbers are given.
 */
import type { Random } from '../base/random.ts'
import type { MachineInfo, PlacementAnswer, PlacementCandidate } from '../kernel/types.ts'
import { loadOf } from './load.ts'
import { type Requirement, unmet } from './require.ts'

export interface ChooseOptions {
  readonly requirements: readonly Requirement[]
  /** Name of the machine that asks; chosen unless another one is better by more than noise. */
  readonly local: string
  /** The selector, for the explanation. */
  readonly asked?: string | undefined
}

/** Differences of scores below this are noise: a program is not sent away for them. */
const scoreNoise = 0.1

/** `machines`: those that may be chosen, with what is known of them now. */
export function choose(
  random: Random,
  machines: readonly MachineInfo[],
  options: ChooseOptions,
): Omit<PlacementAnswer, 'missing'> {
  const judged = machines.map((machine) => judge(machine, options.requirements))
  const fitting = judged.filter(isFitting)
  const [only] = fitting
  if (only === undefined) {
    const asked = options.asked === undefined ? '' : ` of ${options.asked}`
    return { why: `no machine${asked} fits`, candidates: judged }
  }
  if (fitting.length === 1) {
    return { machine: only.machine, why: `only ${only.machine} fits`, candidates: judged }
  }
  const pair = twoOf(random, fitting)
  const [better, worse] = pair.sort((a, b) => a.score - b.score)
  if (better === undefined || worse === undefined) return { why: 'no machine fits', candidates: [] }
  const local = fitting.find(({ machine }) => machine === options.local)
  if (local !== undefined && local.score - better.score <= scoreNoise) {
    const why = `here: no worse than the other candidate (${better.machine === local.machine ? worse.machine : better.machine})`
    return { machine: local.machine, why, candidates: judged }
  }
  const why = `${better.machine} is the better one of two taken at random (the other: ${worse.machine})`
  return { machine: better.machine, why, candidates: judged }
}

type Fitting = PlacementCandidate & { readonly score: number }

function isFitting(candidate: PlacementCandidate): candidate is Fitting {
  return candidate.score !== undefined
}

function judge(machine: MachineInfo, requirements: readonly Requirement[]): PlacementCandidate {
  const { name, report, status, intent } = machine
  if (status !== 'up' || report === undefined) return { machine: name, why: `it is ${status}` }
  if (intent !== undefined) return { machine: name, why: `it is ${intent.wish}` }
  const reason = unmet(requirements, machine)
  if (reason !== undefined) return { machine: name, why: reason }
  const { cpuCount, load1, memoryAvailableBytes, pressure } = report
  const score = loadOf(report)
  const free = (memoryAvailableBytes / 2 ** 30).toFixed(1)
  const why = `load ${load1.toFixed(2)} on ${cpuCount} cores, ${free}G free${pressureText(pressure)}`
  return { machine: name, score: Math.round(score * 1000) / 1000, why }
}

function pressureText(
  pressure: { readonly cpu: number; readonly memory: number; readonly io: number } | undefined,
): string {
  if (pressure === undefined) return ''
  const { cpu, memory, io } = pressure
  return `, pressure cpu ${cpu}% memory ${memory}% io ${io}%`
}

/** Two different ones. */
function twoOf<T>(random: Random, items: readonly T[]): T[] {
  const first = Math.floor(random.next() * items.length)
  const step = 1 + Math.floor(random.next() * (items.length - 1))
  return [first, (first + step) % items.length]
    .map((index) => items[index])
    .filter((item): item is T => item !== undefined)
}
