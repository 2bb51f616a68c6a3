/**
 * Variables in command lines, by systemd's rules and not the shell's: `$NAME` as a whole word
 * becomes the words of its value (none, one or several), `${NAME}` anywhere becomes the value
 * exactly, `$$` becomes `$`, and any other `$` stays. A name without a value is empty, and
 * reported.
 */
import { splitVariable } from './words.ts'

export interface ExpandedArguments {
  readonly argv: readonly string[]
  /** Names that had no value, each once. */
  readonly unset: readonly string[]
}

export function expandArguments(
  argv: readonly string[],
  lookUpVariable: (name: string) => string | undefined,
): ExpandedArguments {
  const unset = new Set<string>()
  const lookUp = (name: string): string => {
    const value = lookUpVariable(name)
    if (value === undefined) unset.add(name)
    return value ?? ''
  }
  const expanded = argv.flatMap((word) =>
    isWholeVariable(word) ? splitVariable(lookUp(word.slice(1))) : [expandBraces(word, lookUp)],
  )
  return { argv: expanded, unset: [...unset] }
}

/** Names that `word` refers to, whether a program expands them later (`sh -c`) or we do. */
export function variableNames(word: string): readonly string[] {
  const names: string[] = []
  for (const match of word.matchAll(/\$\$|\$\{?([A-Za-z_][A-Za-z0-9_]*)/g)) {
    if (match[1] !== undefined) names.push(match[1])
  }
  return names
}

function isWholeVariable(word: string): boolean {
  return /^\$(?![{$])/.test(word)
}

function expandBraces(word: string, lookUp: (name: string) => string): string {
  return word.replace(/\$\$|\$\{([^}]*)\}/g, (_, name?: string) =>
    name === undefined ? '$' : lookUp(name),
  )
}
