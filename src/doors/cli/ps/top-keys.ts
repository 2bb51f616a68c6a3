/** What keys do in `top`: (state, key) → state and maybe something to be done. Pure. */
import { parseSignal } from './kill-options.ts'
import { parsePidRef } from './request.ts'
import type { PidRef } from './select.ts'
import { printable } from './width.ts'

export const topSorts = ['cpu', 'mem', 'time', 'pid'] as const
export type TopSort = (typeof topSorts)[number]

export interface TopState {
  readonly sort: TopSort
  readonly reversed: boolean
  /** Only this user, by name or number. */
  readonly user?: string
  /** Command lines instead of short names. */
  readonly fullCommand: boolean
  /** Rows above the first one shown. */
  readonly scroll: number
  readonly help: boolean
  readonly prompt?: Prompt
  /** One line for the person: what happened, until the next key. */
  readonly message?: string
}

export type Prompt =
  | { readonly kind: 'user' | 'kill'; readonly text: string }
  | { readonly kind: 'signal'; readonly text: string; readonly target: PidRef }

export type TopEffect =
  | { readonly kind: 'quit' | 'refresh' | 'suspend' }
  | { readonly kind: 'kill'; readonly target: PidRef; readonly signal: number }

export interface TopStep {
  readonly state: TopState
  readonly effect?: TopEffect
}

const promptLengthMax = 64

/** `key` as decodeKeys() names it; `page` is how many rows are shown. */
export function pressKey(before: TopState, key: string, page: number): TopStep {
  if (key === 'ctrl-c') return { state: before, effect: { kind: 'quit' } }
  if (key === 'ctrl-z') return { state: before, effect: { kind: 'suspend' } }
  const { message: _seen, ...state } = before
  if (state.prompt !== undefined) return typeInto(state, state.prompt, key)
  if (state.help) return { state: { ...state, help: false } }
  const sort = sortKeys[key]
  if (sort !== undefined) return { state: { ...state, sort, reversed: false, scroll: 0 } }
  const move = moves[key]
  if (move !== undefined) {
    return { state: { ...state, scroll: Math.max(0, move(state.scroll, page)) } }
  }
  switch (key) {
    case 'q':
      return { state, effect: { kind: 'quit' } }
    case ' ':
    case 'enter':
      return { state, effect: { kind: 'refresh' } }
    case 'R':
      return { state: { ...state, reversed: !state.reversed } }
    case 'c':
      return { state: { ...state, fullCommand: !state.fullCommand }, effect: { kind: 'refresh' } }
    case 'u':
    case 'U':
      return { state: { ...state, prompt: { kind: 'user', text: '' } } }
    case 'k':
      return { state: { ...state, prompt: { kind: 'kill', text: '' } } }
    case 'h':
    case '?':
      return { state: { ...state, help: true } }
    default:
      return { state }
  }
}

const sortKeys: Readonly<Record<string, TopSort>> = { P: 'cpu', M: 'mem', T: 'time', N: 'pid' }

const moves: Readonly<Record<string, (scroll: number, page: number) => number>> = {
  up: (scroll) => scroll - 1,
  down: (scroll) => scroll + 1,
  'page-up': (scroll, page) => scroll - page,
  'page-down': (scroll, page) => scroll + page,
  home: () => 0,
  // The screen stops at the last page by itself.
  end: () => Number.MAX_SAFE_INTEGER,
}

function typeInto(state: TopState, prompt: Prompt, key: string): TopStep {
  const { prompt: _closed, ...closed } = state
  if (key === 'escape') return { state: closed }
  if (key === 'enter') return submit(closed, prompt)
  if (key === 'backspace') {
    return { state: { ...state, prompt: { ...prompt, text: prompt.text.slice(0, -1) } } }
  }
  const typed = key.length > 1 || printable(key) !== key || prompt.text.length >= promptLengthMax
  return { state: typed ? state : { ...state, prompt: { ...prompt, text: prompt.text + key } } }
}

function submit(state: TopState, prompt: Prompt): TopStep {
  const text = prompt.text.trim()
  if (prompt.kind === 'signal') {
    const signal = parseSignal(text === '' ? 'TERM' : text)
    if (signal !== undefined) {
      return { state, effect: { kind: 'kill', target: prompt.target, signal } }
    }
    return { state: { ...state, message: `there is no signal "${text}"` } }
  }
  if (prompt.kind === 'user') {
    const { user: _old, ...everybody } = state
    const next = text === '' ? everybody : { ...everybody, user: text }
    return { state: { ...next, scroll: 0 } }
  }
  if (text === '') return { state }
  const target = parsePidRef(text)
  if (target === undefined || target.pid === 0) {
    return { state: { ...state, message: `"${text}" is no process id, like 42 or n1:42` } }
  }
  return { state: { ...state, prompt: { kind: 'signal', text: '', target } } }
}

const sequences: Readonly<Record<string, string>> = {
  '[A': 'up',
  '[B': 'down',
  OA: 'up',
  OB: 'down',
  '[5~': 'page-up',
  '[6~': 'page-down',
  '[H': 'home',
  '[F': 'end',
  OH: 'home',
  OF: 'end',
  '[1~': 'home',
  '[4~': 'end',
}

const controls: Readonly<Record<string, string>> = {
  '\x03': 'ctrl-c',
  '\x1a': 'ctrl-z',
  '\r': 'enter',
  '\n': 'enter',
  '\x7f': 'backspace',
  '\b': 'backspace',
}

/** The keys in what a terminal in raw mode sent at once. Unknown sequences are left out. */
export function decodeKeys(text: string): string[] {
  const keys: string[] = []
  let rest = text
  while (rest !== '') {
    const sequence = /^\x1b(\[[0-9;]*[A-Za-z~]|O[A-Za-z])/.exec(rest)
    if (sequence !== null) {
      const name = sequences[sequence[1] ?? '']
      if (name !== undefined) keys.push(name)
      rest = rest.slice(sequence[0].length)
      continue
    }
    const character = String.fromCodePoint(rest.codePointAt(0) ?? 0)
    keys.push(character === '\x1b' ? 'escape' : (controls[character] ?? character))
    rest = rest.slice(character.length)
  }
  return keys
}
