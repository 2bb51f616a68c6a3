/**
 * Names as people and DNS write them, see kernel/names.ts, and back. Pure.
 *
 * A label of a host name has letters, digits and "-"; names of units have more. The exact name of a
 * unit always means that one. Else the units are meant whose names are that, once the characters
 * that host names do not have are "-": mostly one; with two the name is refused, not guessed.
 */
import { HolonError } from '../../base/errors.ts'
import { isIpAddress } from '../../io/network.ts'
import { fullUnitName, unitStem } from '../../unit/unit-name.ts'

export const zone = 'holon'

export type AskedName =
  | { readonly kind: 'unit'; readonly unit: string }
  | { readonly kind: 'instance'; readonly unit: string; readonly instance: number }
  | { readonly kind: 'machine'; readonly machine: string }
  | { readonly kind: 'address'; readonly address: string }

const nameCharactersMax = 255

/** `invalid_argument` for what cannot be a name. Units are in lower case, without their ending. */
export function parseName(text: string): AskedName {
  if (isIpAddress(text)) return { kind: 'address', address: text.toLowerCase() }
  const name = text
    .toLowerCase()
    .replace(/\.$/, '')
    .replace(/\.holon$/, '')
  const machine = /^(.+)\.machines$/.exec(name)?.[1]
  if (machine !== undefined && isWord(machine)) return { kind: 'machine', machine }
  const [, before, stem = '', after] = /^(?:(\d{1,6})\.)?([^/]*)(?:\/(\d{1,6}))?$/.exec(name) ?? []
  const unit = unitStem(stem)
  const number = before ?? after
  const isTwice = before !== undefined && after !== undefined
  if (isWord(unit) && !isTwice && unit !== 'machines') {
    if (number === undefined) return { kind: 'unit', unit }
    return { kind: 'instance', unit, instance: Number(number) }
  }
  throw new HolonError(
    'invalid_argument',
    `${JSON.stringify(text)} is no name; try "web", "1.web", "n1.machines" or an address`,
  )
}

function isWord(text: string): boolean {
  return text.length <= nameCharactersMax && /^[a-z0-9:_\\-][a-z0-9:_.\\-]*$/.test(text)
}

/**
 * Which of the units, "web.service", is meant by one of `parseName`; undefined: none. `conflict`
 * when several are.
 */
export function meantUnit(
  asked: string,
  known: { readonly has: (unit: string) => boolean; readonly units: () => Iterable<string> },
): string | undefined {
  const exact = fullUnitName(asked)
  if (known.has(exact)) return exact
  const found: string[] = []
  const label = hostLabel(asked)
  for (const unit of new Set(known.units())) {
    const lower = unit.toLowerCase()
    if (lower === exact || (label === asked && hostLabel(unitStem(lower)) === label)) {
      found.push(unit)
    }
  }
  const [only, another] = found
  if (another === undefined) return only
  const names = found.sort().join(' and ')
  throw new HolonError('conflict', `${JSON.stringify(asked)} could be ${names}; rename one of them`)
}

/** "my_app" → "my-app". */
function hostLabel(stem: string): string {
  return stem.toLowerCase().replace(/[^a-z0-9-]/g, '-')
}

/** "web.service" → "web.holon". */
export function unitDomain(unit: string): string {
  return `${hostLabel(unitStem(unit))}.${zone}`
}

/** "1.web.holon". */
export function instanceDomain(unit: string, instance: number): string {
  return `${instance}.${unitDomain(unit)}`
}

/** "n1.machines.holon". */
export function machineDomain(machine: string): string {
  return `${machine.toLowerCase()}.machines.${zone}`
}
