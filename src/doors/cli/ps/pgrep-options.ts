/** Reads the command lines of `pgrep` and `pkill`, with procps' options. */
import { timeSpan } from '../global-options.ts'
import { parseSignal, requireSignal } from './kill-options.ts'
import { parseNames, parsePids } from './request.ts'
import type { PidRef } from './select.ts'
import { usageError } from './usage.ts'

export interface PgrepRequest {
  readonly pattern?: RegExp
  /** -f: the pattern is held against the whole command line. */
  readonly full: boolean
  readonly users?: readonly string[]
  readonly groups?: readonly string[]
  readonly parents?: readonly PidRef[]
  readonly ttys?: readonly string[]
  readonly sids?: readonly number[]
  readonly pgids?: readonly number[]
  readonly states?: readonly string[]
  readonly olderThanSeconds?: number
  readonly invert: boolean
  readonly pick: 'all' | 'newest' | 'oldest'
  readonly show: 'id' | 'name' | 'args' | 'count' | 'nothing'
  readonly delimiter: string
  readonly signal: number
  /** A selector. */
  readonly machine?: string
  /** How long machines have to answer. */
  readonly fanOutMs?: number
  /** pkill -e: say what was signalled. */
  readonly echo: boolean
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }
type Draft = Mutable<PgrepRequest> & { exact: boolean; ignoreCase: boolean; words: string[] }
type Tool = 'pgrep' | 'pkill'

/** `invalid_argument`, exit status 2, for what is no such command line. */
export function parsePgrep(tool: Tool, args: readonly string[]): PgrepRequest {
  const draft: Draft = {
    full: false,
    invert: false,
    pick: 'all',
    show: 'id',
    delimiter: '\n',
    signal: 15,
    echo: false,
    exact: false,
    ignoreCase: false,
    words: [],
  }
  const words = [...args]
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    if (word === '--') {
      draft.words.push(...words.splice(0))
    } else if (word.startsWith('--')) readLong(tool, draft, word.slice(2), words)
    else if (word.startsWith('-') && word.length > 1) readShort(tool, draft, word.slice(1), words)
    else draft.words.push(word)
  }
  return finish(tool, draft)
}

function readShort(tool: Tool, draft: Draft, word: string, words: string[]): void {
  if (tool === 'pkill') {
    // -9, -HUP; a letter of an option is none of the names.
    const signal = word.length > 1 || /^\d$/.test(word) ? parseSignal(word) : undefined
    if (signal !== undefined) {
      draft.signal = signal
      return
    }
  }
  for (let i = 0; i < word.length; i += 1) {
    const letter = word[i] ?? ''
    const name = shortNames[letter]
    if (name === undefined) throw unknown(tool, `-${letter}`)
    const flag = flags[name]
    if (flag !== undefined) {
      flag(draft, tool)
      continue
    }
    const rest = word.slice(i + 1)
    const value = rest === '' ? words.shift() : rest
    if (value === undefined) throw usageError(`${tool} -${letter} needs a value`)
    values[name]?.(draft, value)
    return
  }
}

function readLong(tool: Tool, draft: Draft, word: string, words: string[]): void {
  const equals = word.indexOf('=')
  const name = equals < 0 ? word : word.slice(0, equals)
  const flag = Object.hasOwn(flags, name) ? flags[name] : undefined
  if (flag !== undefined && equals < 0) {
    flag(draft, tool)
    return
  }
  const valued = Object.hasOwn(values, name) ? values[name] : undefined
  if (valued === undefined) throw unknown(tool, `--${name}`)
  const value = equals < 0 ? words.shift() : word.slice(equals + 1)
  if (value === undefined) throw usageError(`${tool} --${name} needs a value`)
  valued(draft, value)
}

function unknown(tool: Tool, option: string): Error {
  return usageError(
    `${tool}: there is no option ${JSON.stringify(option)}; \`holon ${tool} --help\` lists them`,
  )
}

const shortNames: Readonly<Record<string, string>> = {
  f: 'full',
  x: 'exact',
  i: 'ignore-case',
  v: 'inverse',
  n: 'newest',
  o: 'oldest',
  l: 'list-name',
  a: 'list-full',
  c: 'count',
  q: 'quiet',
  e: 'echo',
  u: 'euid',
  U: 'uid',
  G: 'group',
  P: 'parent',
  t: 'terminal',
  s: 'session',
  g: 'pgroup',
  r: 'runstates',
  O: 'older',
  d: 'delimiter',
  m: 'machine',
}

const flags: Readonly<Record<string, (draft: Draft, tool: Tool) => void>> = {
  full: (draft) => {
    draft.full = true
  },
  exact: (draft) => {
    draft.exact = true
  },
  'ignore-case': (draft) => {
    draft.ignoreCase = true
  },
  inverse: (draft, tool) => {
    // To signal all but one is hardly ever meant, and never undone: procps wants it spelt out too.
    if (tool === 'pkill') throw usageError('pkill has no -v; find them with `pgrep -v` first')
    draft.invert = true
  },
  newest: (draft) => {
    draft.pick = 'newest'
  },
  oldest: (draft) => {
    draft.pick = 'oldest'
  },
  'list-name': (draft) => {
    draft.show = 'name'
  },
  'list-full': (draft) => {
    draft.show = 'args'
  },
  count: (draft) => {
    draft.show = 'count'
  },
  quiet: (draft) => {
    draft.show = 'nothing'
  },
  echo: (draft) => {
    draft.echo = true
  },
}

const values: Readonly<Record<string, (draft: Draft, value: string) => void>> = {
  euid: (draft, value) => {
    draft.users = parseNames('-u', value)
  },
  uid: (draft, value) => {
    draft.users = parseNames('-U', value)
  },
  group: (draft, value) => {
    draft.groups = parseNames('-G', value)
  },
  parent: (draft, value) => {
    draft.parents = parsePids('-P', value)
  },
  terminal: (draft, value) => {
    draft.ttys = parseNames('-t', value)
  },
  session: (draft, value) => {
    draft.sids = parsePids('-s', value).map((each) => each.pid)
  },
  pgroup: (draft, value) => {
    draft.pgids = parsePids('-g', value).map((each) => each.pid)
  },
  runstates: (draft, value) => {
    draft.states = value.split(/[,\s]*/).filter((state) => state !== '')
  },
  older: (draft, value) => {
    if (!/^\d{1,12}$/.test(value)) throw usageError(`-O ${JSON.stringify(value)}: seconds expected`)
    draft.olderThanSeconds = Number(value)
  },
  delimiter: (draft, value) => {
    draft.delimiter = value
  },
  machine: (draft, value) => {
    draft.machine = value
  },
  wait: (draft, value) => {
    draft.fanOutMs = timeSpan('--wait', value)
  },
  signal: (draft, value) => {
    draft.signal = requireSignal(value)
  },
}

function finish(tool: Tool, draft: Draft): PgrepRequest {
  const { words, exact, ignoreCase, ...request } = draft
  if (words.length > 1) throw usageError(`${tool} takes one pattern, not ${words.length}`)
  const [text] = words
  const criteria = [
    request.users,
    request.groups,
    request.parents,
    request.ttys,
    request.sids,
    request.pgids,
    request.states,
    request.olderThanSeconds,
  ]
  if (text === undefined) {
    if (criteria.some((criterion) => criterion !== undefined)) return request
    throw usageError(`${tool} needs a pattern or something else to go by, like -u USER`)
  }
  return { ...request, pattern: compile(tool, text, exact, ignoreCase) }
}

const classes: Readonly<Record<string, string>> = {
  alpha: '\\p{L}',
  digit: '0-9',
  alnum: '\\p{L}0-9',
  upper: '\\p{Lu}',
  lower: '\\p{Ll}',
  space: '\\s',
  blank: ' \\t',
  punct: '\\p{P}\\p{S}',
  xdigit: '0-9A-Fa-f',
}

/** A POSIX extended expression; JavaScript's differ from it only in the names of classes. */
function compile(tool: Tool, text: string, exact: boolean, ignoreCase: boolean): RegExp {
  const translated = text.replaceAll(
    /\[:(\w+):\]/g,
    (whole, name: string) => classes[name] ?? whole,
  )
  const source = exact ? `^(?:${translated})$` : translated
  const flagsOf = `s${ignoreCase ? 'i' : ''}`
  try {
    // With `u` a needless backslash is an error, without it \p is none of the classes above.
    return new RegExp(source, translated === text ? flagsOf : `${flagsOf}u`)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw usageError(`${tool} ${JSON.stringify(text)}: ${why}`)
  }
}
