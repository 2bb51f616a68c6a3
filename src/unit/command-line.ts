/**
 * Command lines of Exec…= directives: several commands separated by a lone `;`, each with prefixes
 * before its program. Nothing is expanded here: specifiers and variables stay in the words, since
 * their values belong to an instance. See systemd.service(5), "Command lines".
 */
import { nextWord, skipWhitespace } from './words.ts'

export interface CommandLine {
  /** `-`: its failure counts as success. */
  readonly ignoreFailure: boolean
  /** `+` and `!`: not as User=. They differ only in sandboxing, which is refused everywhere. */
  readonly fullPrivileges: boolean
  /** False with `:`: no variable is expanded. */
  readonly expandVariables: boolean
  /** An absolute path, or a bare name to be looked up, or one that begins with a specifier. */
  readonly path: string
  /** The arguments, argv[0] first (with `@` it is given, else it is the path). */
  readonly argv: readonly string[]
}

export type CommandLines =
  | {
      readonly kind: 'commands'
      readonly commands: readonly CommandLine[]
      readonly unknownEscapes: readonly string[]
    }
  | { readonly kind: 'bad'; readonly message: string }

export function parseCommandLines(value: string): CommandLines {
  const commands: CommandLine[] = []
  const unknownEscapes: string[] = []
  let at = skipWhitespace(value, 0)
  while (at < value.length) {
    const first = nextWord(value, at)
    if (first.kind !== 'word') {
      return first.kind === 'bad' ? first : { kind: 'commands', commands, unknownEscapes }
    }
    unknownEscapes.push(...first.unknownEscapes)
    at = first.next
    // A separator with nothing before it: systemd passes over it, so do we.
    if (first.word === ';') continue
    const rest = readArguments(value, at)
    if (rest.kind === 'bad') return rest
    unknownEscapes.push(...rest.unknownEscapes)
    at = rest.next
    const command = makeCommand(first.word, rest.words)
    if (typeof command === 'string') return { kind: 'bad', message: command }
    commands.push(command)
  }
  return { kind: 'commands', commands, unknownEscapes }
}

type Arguments =
  | {
      readonly kind: 'arguments'
      readonly words: readonly string[]
      readonly next: number
      readonly unknownEscapes: readonly string[]
    }
  | { readonly kind: 'bad'; readonly message: string }

// The words up to the end or a lone unquoted `;`. A lone `\;` is a word ";": both are looked for in
// the text, because unquoted words no longer show how they were written.
function readArguments(value: string, start: number): Arguments {
  const words: string[] = []
  const unknownEscapes: string[] = []
  let at = start
  for (;;) {
    const lone = /^(\\?);(?:[ \t\n\r]+|$)/.exec(value.slice(at))
    if (lone !== null) {
      at += lone[0].length
      if (lone[1] === '') return { kind: 'arguments', words, next: at, unknownEscapes }
      words.push(';')
      continue
    }
    const scan = nextWord(value, at)
    if (scan.kind === 'bad') return scan
    if (scan.kind === 'end') {
      return { kind: 'arguments', words, next: value.length, unknownEscapes }
    }
    words.push(scan.word)
    unknownEscapes.push(...scan.unknownEscapes)
    at = scan.next
  }
}

function makeCommand(first: string, rest: readonly string[]): CommandLine | string {
  const { prefixes, program } = splitPrefixes(first)
  const problem = programProblem(program)
  if (problem !== undefined) return problem
  const path = program.replace(/\/(?:\.?\/)+/g, '/')
  const ownName = prefixes.includes('@')
  if (ownName && rest.length === 0) {
    return `"@" in front of ${JSON.stringify(program)} needs an argument: the name the program sees`
  }
  const exclamations = prefixes.split('!').length - 1
  return {
    ignoreFailure: prefixes.includes('-'),
    // `!!` drops privileges wherever the kernel has ambient capabilities, which every kernel has
    // that Holon runs on; so it changes nothing.
    fullPrivileges: prefixes.includes('+') || exclamations === 1,
    expandVariables: !prefixes.includes(':'),
    path,
    argv: ownName ? rest : [program, ...rest],
  }
}

// Each prefix counts once, in any order; `+`, `!` and `!!` exclude one another. What is left over
// belongs to the program's name.
function splitPrefixes(word: string): { readonly prefixes: string; readonly program: string } {
  let prefixes = ''
  for (const character of word) {
    const privileges = prefixes.replace(/[^+!]/g, '')
    const allowed =
      character === '+'
        ? privileges === ''
        : character === '!'
          ? privileges === '' || privileges === '!'
          : '-@:'.includes(character) && !prefixes.includes(character)
    if (!allowed) break
    prefixes += character
  }
  return { prefixes, program: word.slice(prefixes.length) }
}

/** Why `program` cannot be the program of a command; undefined when it can. */
export function programProblem(program: string): string | undefined {
  const shown = JSON.stringify(program)
  if (program === '') return 'the program is missing'
  // systemd refuses these too; they come from quoting that went wrong.
  if (/[\x00-\x1f\x7f"'\\]/.test(program)) {
    return `the program ${shown} holds quotes, backslashes or control characters`
  }
  if (program.startsWith('$') || program.includes('${')) {
    return `the program ${shown} may not come from a variable: write its path, or run a shell`
  }
  if (program.endsWith('/')) return `the program ${shown} is a directory`
  // A specifier at the beginning may still become an absolute path; it is looked at again then.
  if (program.startsWith('/') || program.startsWith('%')) return undefined
  if (program.includes('/')) {
    return `the program ${shown} is neither an absolute path nor a bare name`
  }
  return program === '.' || program === '..' ? `the program ${shown} is a directory` : undefined
}
