/** What became of a name between two answers. Pure. */
import type { NameChange, NamedPlace, Resolution } from '../../kernel/names.ts'

const keyOf = ({ name, machine }: NamedPlace) => `${name} ${machine}`
const textOf = (value: unknown) => JSON.stringify(value)

/** Whether both say the same, whenever it was known. */
export function sameAnswer(a: Resolution | undefined, b: Resolution | undefined): boolean {
  if (a === undefined || b === undefined) return a === b
  const told = ({ knownAtMs: _, missing, ...rest }: Resolution) =>
    textOf([rest, missing.map(({ machine }) => machine)])
  return told(a) === told(b)
}

export function changeOf(before: Resolution | undefined, now: Resolution | undefined): NameChange {
  const had = new Map((before?.places ?? []).map((place) => [keyOf(place), place]))
  const has = new Map((now?.places ?? []).map((place) => [keyOf(place), place]))
  const isOther = (place: NamedPlace) => {
    const earlier = had.get(keyOf(place))
    return earlier !== undefined && textOf(earlier) !== textOf(place)
  }
  return {
    ...(now === undefined ? {} : { resolution: now }),
    added: [...has.values()].filter((place) => !had.has(keyOf(place))),
    removed: [...had.values()].filter((place) => !has.has(keyOf(place))),
    changed: [...has.values()].filter(isOther),
  }
}
