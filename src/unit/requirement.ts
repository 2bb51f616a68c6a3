/**
 * The grammar of requirements: "arch=arm64 mem>=2G cpus>=4 disk=ssd|nvme zone=eu/paris". Each word
 * is a property, a comparison and a value, or several values of which one must hold; all words must
 * hold. What is no property of every machine is a label. sched/require.ts judges machines by them.
 */
import { bad, ok, type Parsed } from './values.ts'

export type Comparison = '=' | '!=' | '>=' | '<=' | '>' | '<'

export interface Requirement {
  readonly property: string
  readonly comparison: Comparison
  /** With `=` and `!=` of a text: several, parted by "|". */
  readonly value: string
}

const pattern = /^([A-Za-z][\w./-]*)(>=|<=|!=|=|>|<)(\S+)$/

/** All words of `text`, or which one is not understood and why. */
export function readRequirements(text: string): Parsed<readonly Requirement[]> {
  const requirements: Requirement[] = []
  for (const word of text.split(/\s+/).filter((part) => part !== '')) {
    const match = pattern.exec(word)
    if (match === null) {
      return bad(`${JSON.stringify(word)}: it is not like arch=x86_64 or mem>=2G`)
    }
    const [, property = '', comparison = '=', value = ''] = match
    const requirement: Requirement = { property, comparison: comparison as Comparison, value }
    const wrong = problemOf(requirement)
    if (wrong !== undefined) return bad(`${JSON.stringify(word)}: ${wrong}`)
    requirements.push(requirement)
  }
  return ok(requirements)
}

const quantities: ReadonlySet<string> = new Set(['mem', 'memory', 'cpus', 'load', 'free'])

function problemOf({ property, comparison, value }: Requirement): string | undefined {
  if (quantities.has(property)) {
    return quantityOf(property, value) === undefined ? `${value} is no number` : undefined
  }
  if (comparison !== '=' && comparison !== '!=') {
    return `${property} can be compared by = and != only`
  }
  return value.split('|').includes('') ? 'a value beside "|" is empty' : undefined
}

const unitBytes: Readonly<Record<string, number>> = {
  '': 1,
  K: 2 ** 10,
  M: 2 ** 20,
  G: 2 ** 30,
  T: 2 ** 40,
}

/** The number that `text` is for this property: bytes for "2G" of memory. */
export function quantityOf(property: string, text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)([KMGT]?)(?:i?B)?$/.exec(text)
  if (match === null) return undefined
  const [, digits = '', unit = ''] = match
  const plain = property === 'cpus' || property === 'load'
  return plain && unit !== '' ? undefined : Number(digits) * (unitBytes[unit] ?? 1)
}
