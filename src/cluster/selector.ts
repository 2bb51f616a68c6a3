/**
 * Selectors: how people name machines. "n2", "n1,n3", "n[01-16]" (also "n[1,4-6]"), "n*", and by
 * zone, which is everything with a slash: "eu/*" is every machine below eu, "eu/paris" those in it
 * or below it. "*" is all.
 */
import { HolonError } from '../base/errors.ts'

export interface Selectable {
  readonly name: string
  readonly zone: string
}

export type Selector = (machine: Selectable) => boolean

/** Names that one bracket may stand for. */
const expansionMax = 10_000

/** Throws `invalid_argument` for what is no selector. */
export function parseSelector(text: string): Selector {
  const parts = splitOutsideBrackets(text).map(parsePart)
  return (machine) => parts.some((matches) => matches(machine))
}

/** Throws `not_found` when `selector` names none of `machines`; else those it names. */
export function selectMachines<T extends Selectable>(
  machines: readonly T[],
  text: string | undefined,
): readonly T[] {
  if (text === undefined) return machines
  const selector = parseSelector(text)
  const selected = machines.filter(selector)
  if (selected.length > 0) return selected
  throw new HolonError(
    'not_found',
    `there is no machine ${JSON.stringify(text)}; \`holon machines\` lists them`,
  )
}

function splitOutsideBrackets(text: string): string[] {
  const parts = text.split(/,(?![^[\]]*\])/).map((part) => part.trim())
  if (parts.every((part) => part !== '')) return parts
  throw invalid(text, 'names are separated by single commas')
}

function parsePart(text: string): Selector {
  if (/[^\w.*?[\],/-]/.test(text)) throw invalid(text, 'it has a character that no name has')
  if (text.includes('/')) return zoneSelector(text)
  const names = expand(text)
  if (names.length === 1 && names[0] === text && !/[*?]/.test(text)) {
    return ({ name }) => name === text
  }
  const patterns = names.map(globPattern)
  return ({ name }) => patterns.some((pattern) => pattern.test(name))
}

function zoneSelector(text: string): Selector {
  const path = text.replace(/\/\*?$/, '')
  const pattern = globPattern(path)
  return ({ zone }) => {
    const parts = zone.split('/')
    return parts.some((_, i) => pattern.test(parts.slice(0, i + 1).join('/')))
  }
}

/** "n[01-03]x" → n01x n02x n03x. Digits keep their width. */
function expand(text: string): string[] {
  const match = /^([^[\]]*)\[([^[\]]*)\](.*)$/.exec(text)
  if (match === null) {
    if (/[[\]]/.test(text)) throw invalid(text, 'a bracket is not closed')
    return [text]
  }
  const [, before = '', list = '', after = ''] = match
  const names: string[] = []
  for (const item of list.split(',')) {
    for (const middle of range(item, text)) {
      for (const rest of expand(after)) names.push(`${before}${middle}${rest}`)
      if (names.length > expansionMax) throw invalid(text, `it names over ${expansionMax}`)
    }
  }
  return names
}

function range(item: string, text: string): readonly string[] {
  const match = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(item)
  if (match === null) throw invalid(text, `${JSON.stringify(item)} is no range like 01-16`)
  const [, first = '', last = first] = match
  const count = Number(last) - Number(first) + 1
  if (count < 1) throw invalid(text, `${JSON.stringify(item)} goes backwards`)
  if (count > expansionMax) throw invalid(text, `it names over ${expansionMax}`)
  const numbers = Array.from({ length: count }, (_, i) => String(Number(first) + i))
  return numbers.map((number) => number.padStart(first.length, '0'))
}

function globPattern(glob: string): RegExp {
  const source = glob
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '[^/]*')
    .replaceAll('?', '[^/]')
  return new RegExp(`^${source}$`)
}

function invalid(text: string, why: string): HolonError {
  return new HolonError(
    'invalid_argument',
    `${JSON.stringify(text)} names no machines: ${why}; try n2, n1,n2, n[01-16] or a zone, eu/*`,
  )
}
