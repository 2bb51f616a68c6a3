/**
 * Shell patterns as fnmatch(3) has them without flags: `*`, `?`, `[a-z]`, `[!a-z]`, a backslash
 * takes the next character as it is. Matching takes pattern × text steps at most.
 */

export interface GlobOptions {
  readonly ignoreCase?: boolean
}

type Part = 'any' | ((character: string) => boolean)

/** Whether all of `text` matches. */
export function globMatches(pattern: string, text: string, options: GlobOptions = {}): boolean {
  const fold = (value: string) => (options.ignoreCase ? value.toLowerCase() : value)
  const parts = partsOf(fold(pattern))
  const characters = [...fold(text)]
  let at = 0
  let part = 0
  // The last "*", and where its stretch ends for now: only that one ever has to give way.
  let star = -1
  let stretch = 0
  while (at < characters.length) {
    const current = parts[part]
    if (current === 'any') {
      star = part++
      stretch = at
    } else if (current?.(characters[at] ?? '')) {
      at++
      part++
    } else if (star >= 0) {
      part = star + 1
      at = ++stretch
    } else return false
  }
  return parts.slice(part).every((rest) => rest === 'any')
}

function partsOf(pattern: string): readonly Part[] {
  const parts: Part[] = []
  for (const match of pattern.matchAll(/\*+|\?|\[([!^]?)(\]?[^\]]*)\]|\\?(.)/gsu)) {
    const [token, not, set, literal] = match
    if (token.startsWith('*')) parts.push('any')
    else if (token === '?') parts.push(() => true)
    else if (set !== undefined) {
      const includes = setOf(set)
      parts.push((character) => includes(character) === (not === ''))
    } else parts.push((character) => character === literal)
  }
  return parts
}

function setOf(set: string): (character: string) => boolean {
  const ranges = [...set.matchAll(/(.)-(.)|(.)/gsu)].map(([, from, to, one]) => [
    from ?? one ?? '',
    to ?? one ?? '',
  ])
  return (character) => ranges.some(([from = '', to = '']) => from <= character && character <= to)
}
