/**
 * Requirements: "arch=arm64 mem>=2G cpus>=4 disk=ssd zone=eu/paris". Each is a property, a
 * comparison and a value; all must hold. What is no property of every machine is a label.
 */
import { HolonError } from '../base/errors.ts'
import type { MachineInfo } from '../kernel/types.ts'

export type Comparison = '=' | '!=' | '>=' | '<=' | '>' | '<'

export interface Requirement {
  readonly property: string
  readonly comparison: Comparison
  readonly value: string
}

const pattern = /^([A-Za-z][\w./-]*)(>=|<=|!=|=|>|<)(\S+)$/

/** Throws `invalid_argument`, naming the word that is not understood. */
export function parseRequire(text: string): readonly Requirement[] {
  return text
    .split(/\s+/)
    .filter((word) => word !== '')
    .map((word) => {
      const match = pattern.exec(word)
      if (match === null) throw invalid(word, 'it is not like arch=x86_64 or mem>=2G')
      const [, property = '', comparison = '=', value = ''] = match
      const requirement: Requirement = { property, comparison: comparison as Comparison, value }
      check(requirement, word)
      return requirement
    })
}

/** Why `machine` does not fit: "mem is 1.0 GiB, not >=2G"; undefined when it does. */
export function unmet(
  requirements: readonly Requirement[],
  machine: MachineInfo,
): string | undefined {
  for (const { property, comparison, value } of requirements) {
    const actual = propertyOf(machine, property)
    if (actual === undefined) return `it has no ${property}`
    const holds =
      typeof actual === 'number'
        ? compare(actual, comparison, numberOf(property, value) ?? Number.NaN)
        : matches(property, actual, value) === (comparison === '=')
    if (!holds) return `${property} is ${shown(property, actual)}, not ${comparison}${value}`
  }
  return undefined
}

const numeric: ReadonlySet<string> = new Set(['mem', 'memory', 'cpus', 'load', 'free'])

/** The names that uname, Debian and Node give the same processors. */
const archAliases: Readonly<Record<string, string>> = {
  amd64: 'x86_64',
  x64: 'x86_64',
  'x86-64': 'x86_64',
  arm64: 'aarch64',
}

function propertyOf(machine: MachineInfo, property: string): string | number | undefined {
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

function matches(property: string, actual: string, value: string): boolean {
  if (property === 'arch') return actual === canonicalArch(value)
  if (property !== 'zone') return actual === value
  const zone = value.replace(/\/\*?$/, '')
  return actual === zone || actual.startsWith(`${zone}/`)
}

function canonicalArch(name: string): string {
  return archAliases[name] ?? name
}

function check({ property, comparison, value }: Requirement, word: string): void {
  if (numeric.has(property)) {
    if (numberOf(property, value) === undefined) throw invalid(word, `${value} is no number`)
  } else if (comparison !== '=' && comparison !== '!=') {
    throw invalid(word, `${property} can be compared by = and != only`)
  }
}

const unitBytes: Readonly<Record<string, number>> = {
  '': 1,
  K: 2 ** 10,
  M: 2 ** 20,
  G: 2 ** 30,
  T: 2 ** 40,
}

function numberOf(property: string, text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)([KMGT]?)(?:i?B)?$/.exec(text)
  if (match === null) return undefined
  const [, digits = '', unit = ''] = match
  const plain = property === 'cpus' || property === 'load'
  return plain && unit !== '' ? undefined : Number(digits) * (unitBytes[unit] ?? 1)
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

function invalid(word: string, why: string): HolonError {
  return new HolonError('invalid_argument', `require ${JSON.stringify(word)}: ${why}`)
}
