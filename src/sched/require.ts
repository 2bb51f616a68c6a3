/** Whether a machine meets requirements, whose grammar is in unit/requirement.ts. Pure. */
import { HolonError } from '../base/errors.ts'
import type { MachineReport } from '../kernel/types.ts'
import {
  type Comparison,
  quantityOf,
  type Requirement,
  readRequirements,
} from '../unit/requirement.ts'

export type { Requirement } from '../unit/requirement.ts'

/** Throws `invalid_argument`, naming the word that is not understood. */
export function parseRequire(text: string): readonly Requirement[] {
  const read = readRequirements(text)
  if (read.kind === 'ok') return read.value
  throw new HolonError('invalid_argument', `require ${read.message}`)
}

/** What is judged of a machine. */
export interface JudgedMachine {
  readonly name: string
  readonly zone: string
  readonly labels: Readonly<Record<string, string>>
  readonly report?: MachineReport | undefined
}

/** Why `machine` does not fit: "mem is 1.0 GiB, not >=2G"; undefined when it does. */
export function unmet(
  requirements: readonly Requirement[],
  machine: JudgedMachine,
): string | undefined {
  const requirement = firstUnmet(requirements, machine)
  if (requirement === undefined) return undefined
  const { property, comparison, value } = requirement
  const actual = propertyOf(machine, property)
  if (actual === undefined) return `it has no ${property}`
  return `${property} is ${shown(property, actual)}, not ${comparison}${value}`
}

export function firstUnmet(
  requirements: readonly Requirement[],
  machine: JudgedMachine,
): Requirement | undefined {
  return requirements.find((requirement) => !holds(requirement, machine))
}

function holds({ property, comparison, value }: Requirement, machine: JudgedMachine): boolean {
  const actual = propertyOf(machine, property)
  if (actual === undefined) return false
  return typeof actual === 'number'
    ? compare(actual, comparison, quantityOf(property, value) ?? Number.NaN)
    : matches(property, actual, value) === (comparison === '=')
}

/** Of what changes from one moment to the next, where all else is a machine's nature. */
export function isMomentary({ property }: Requirement): boolean {
  return property === 'load' || property === 'free'
}

/** The names that uname, Debian and Node give the same processors. */
const archAliases: Readonly<Record<string, string>> = {
  amd64: 'x86_64',
  x64: 'x86_64',
  'x86-64': 'x86_64',
  arm64: 'aarch64',
}

function propertyOf(machine: JudgedMachine, property: string): string | number | undefined {
  const { report } = machine
  switch (property) {
    case 'mem':
    case 'memory':
      return report?.memoryBytes
    case 'free':
      return report?.memoryAvailableBytes
    case 'cpus':
      return report?.cpuCount
    case 'load':
      return report?.load1
    case 'arch':
      return report === undefined ? undefined : canonicalArch(report.arch)
    case 'hostname':
      return report?.hostname
    case 'version':
      return report?.version
    case 'name':
    case 'machine':
      return machine.name
    case 'zone':
      return machine.zone
    default:
      return machine.labels[property]
  }
}

/** `value`: one or several, of which one must match. */
function matches(property: string, actual: string, value: string): boolean {
  return value.split('|').some((each) => matchesOne(property, actual, each))
}

function matchesOne(property: string, actual: string, value: string): boolean {
  if (property === 'arch') return actual === canonicalArch(value)
  if (property !== 'zone') return actual === value
  const zone = value.replace(/\/\*?$/, '')
  return actual === zone || actual.startsWith(`${zone}/`)
}

function canonicalArch(name: string): string {
  return archAliases[name] ?? name
}

function compare(actual: number, comparison: Comparison, wanted: number): boolean {
  switch (comparison) {
    case '=':
      return actual === wanted
    case '!=':
      return actual !== wanted
    case '>=':
      return actual >= wanted
    case '<=':
      return actual <= wanted
    case '>':
      return actual > wanted
    case '<':
      return actual < wanted
  }
}

function shown(property: string, actual: string | number): string {
  if (typeof actual === 'string') return JSON.stringify(actual)
  if (property === 'cpus' || property === 'load') return String(actual)
  return `${(actual / 2 ** 30).toFixed(1)}G`
}
