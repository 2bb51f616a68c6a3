/**
 * Reads the command lines that people type for `ps`: UNIX options (`-ef`, `-o pid,comm`), BSD ones
 * without a dash (`aux`, `ax`), long ones, and mixtures. Habit decides what an odd one means:
 * `-aux` is `aux`. What needs facts that Holon does not read is refused by name, never ignored.
 */

import { layoutColumns } from './layouts.ts'
import {
  bsdFlags,
  bsdValues,
  type Draft,
  longFlags,
  longValues,
  unixFlags,
  unixValues,
} from './option-tables.ts'
import { type PsRequest, parsePids } from './request.ts'
import { usageError } from './usage.ts'

/** Takes the value of an option: the rest of its word, or the next word. */
type Value = () => string

const wideCells = 132

/** The request of `holon ps ARGS…`. `invalid_argument` names the word that is not understood. */
export function parsePs(args: readonly string[]): PsRequest {
  const draft: Draft = {
    criteria: [],
    layout: {},
    sort: [],
    columns: undefined,
    extra: undefined,
    output: 'table',
    bsd: false,
    anyUser: false,
    anyTty: false,
    negate: false,
    onlyRunning: false,
    headers: true,
    forest: false,
    numeric: false,
    wide: 0,
    cells: undefined,
    machine: undefined,
    fanOutMs: undefined,
  }
  const words = [...args]
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    readWord(draft, word, words)
  }
  return finish(draft)
}

function readWord(draft: Draft, word: string, words: string[]): void {
  if (word.startsWith('--')) readLong(draft, word.slice(2), words)
  else if (word.startsWith('-')) {
    const letters = word.slice(1)
    if (isBsdWithDash(letters)) readBsd(draft, letters, words)
    else readUnix(draft, letters, words)
  } else if (/^(?:\S+:)?\d/.test(word)) {
    draft.criteria.push({ kind: 'pids', pids: parsePids('ps', word) })
  } else readBsd(draft, word, words)
}

/** `-aux` by the letter is "-a -u x", which nobody means; `x` is no UNIX option at all. */
function isBsdWithDash(letters: string): boolean {
  return /^[auxfwhljvcnr]*x[auxfwhljvcnr]*$/.test(letters)
}

function readUnix(draft: Draft, word: string, words: string[]): void {
  for (let i = 0; i < word.length; i += 1) {
    const letter = word[i] ?? ''
    const option = `-${letter}`
    const flag = unixFlags[letter]
    if (flag !== undefined) {
      flag(draft)
      continue
    }
    const valued = unixValues[letter]
    if (valued === undefined) throw unknown(option)
    valued(draft, valueFrom(option, word.slice(i + 1), words)())
    return
  }
  if (word === '') throw unknown('-')
}

function readBsd(draft: Draft, word: string, words: string[]): void {
  draft.bsd = true
  for (let i = 0; i < word.length; i += 1) {
    const letter = word[i] ?? ''
    const flag = bsdFlags[letter]
    if (flag !== undefined) {
      flag(draft)
      continue
    }
    const valued = bsdValues[letter]
    if (valued === undefined) throw unknown(letter === word ? letter : `${letter} in ${word}`)
    valued(draft, valueFrom(letter, word.slice(i + 1), words)())
    return
  }
}

function readLong(draft: Draft, word: string, words: string[]): void {
  const equals = word.indexOf('=')
  const name = equals < 0 ? word : word.slice(0, equals)
  const flag = Object.hasOwn(longFlags, name) ? longFlags[name] : undefined
  if (flag !== undefined) {
    if (equals >= 0) throw usageError(`--${name} takes no value`)
    flag(draft)
    return
  }
  const valued = Object.hasOwn(longValues, name) ? longValues[name] : undefined
  if (valued === undefined) throw unknown(`--${name}`)
  valued(draft, equals < 0 ? valueFrom(`--${name}`, '', words)() : word.slice(equals + 1))
}

function valueFrom(option: string, rest: string, words: string[]): Value {
  return () => {
    const value = rest === '' ? words.shift() : rest
    if (value === undefined) throw usageError(`ps ${option} needs a value`)
    return value
  }
}

function unknown(option: string): Error {
  const shown = option.replace(/^-*/, '').slice(0, 1)
  const threads = /^-?[LTHm]$/.test(option) ? ': Holon shows processes, not threads' : ''
  const hint = shown === '' ? '' : '; `holon ps --help` lists the options'
  return usageError(`ps: there is no option ${JSON.stringify(option)}${threads}${hint}`)
}

function finish(draft: Draft): PsRequest {
  const criteria = [...draft.criteria]
  // a and x say which processes; other BSD options only widen the default.
  if (draft.anyUser || draft.anyTty || (draft.bsd && criteria.length === 0)) {
    criteria.push({ kind: 'bsd', anyUser: draft.anyUser, anyTty: draft.anyTty })
  }
  if (criteria.length === 0) {
    // On a named machine, or as JSON for a program, "my terminal" has no meaning.
    const everything = draft.machine !== undefined || draft.output !== 'table'
    criteria.push({ kind: everything ? 'all' : 'own-terminal' })
  }
  const lineWidth = draft.cells ?? wideLine(draft)
  return {
    selection: { criteria, negate: draft.negate, onlyRunning: draft.onlyRunning },
    columns: draft.columns ?? layoutColumns(draft.layout, draft.bsd, draft.extra),
    output: draft.output,
    headers: draft.headers,
    sort: draft.sort,
    forest: draft.forest,
    numeric: draft.numeric,
    ...(draft.machine === undefined ? {} : { machine: draft.machine }),
    ...(draft.fanOutMs === undefined ? {} : { fanOutMs: draft.fanOutMs }),
    ...(lineWidth === undefined ? {} : { lineWidth }),
  }
}

function wideLine(draft: Draft): number | undefined {
  if (draft.wide > 1 || draft.layout.wide) return Number.POSITIVE_INFINITY
  return draft.wide === 1 ? wideCells : undefined
}
