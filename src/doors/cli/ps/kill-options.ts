/**
 * Reads `kill`'s command line: `-9`, `-TERM`, `-s TERM`, `-n 15`, `-l`, `--`, and targets `42`,
 * `n1:42`, `run/ID`. A signal by dash comes first, as in every kill; what follows it are targets.
 */
import { signalName, signalNumber } from '../../../base/signals.ts'
import { parsePidRef } from './request.ts'
import type { PidRef } from './select.ts'
import { usageError } from './usage.ts'

export type KillTarget =
  | { readonly kind: 'process'; readonly text: string; readonly ref: PidRef }
  | { readonly kind: 'run'; readonly text: string; readonly id: string }
  /** Something that is no target: reported by itself, the others are signalled all the same. */
  | { readonly kind: 'bad'; readonly text: string; readonly why: string }

export type KillRequest =
  | {
      readonly kind: 'send'
      readonly signal: number
      readonly targets: readonly KillTarget[]
      /** A selector. */
      readonly machine?: string
    }
  /** -l: all names, or each word turned around. */
  | { readonly kind: 'list'; readonly words: readonly string[] }
  | { readonly kind: 'table' }

/** `invalid_argument` for what is no kill command line. */
export function parseKill(args: readonly string[]): KillRequest {
  const words = [...args]
  let machine: string | undefined
  let signal: number | undefined
  const first = words[0] ?? ''
  if (first === '-l' || first === '--list') return { kind: 'list', words: words.slice(1) }
  if (first.startsWith('--list=')) return { kind: 'list', words: [first.slice('--list='.length)] }
  if (first === '-L' || first === '--table') return { kind: 'table' }
  while (words[0]?.startsWith('-') && words[0] !== '-') {
    const selector = takeMachine(words)
    if (selector !== undefined) {
      machine = selector
      continue
    }
    const word = words.shift() ?? ''
    if (word === '--') break
    if (signal !== undefined) {
      // After the signal a negative number is kill(1)'s process group.
      words.unshift(word)
      break
    }
    signal = optionSignal(word, words)
  }
  if (words.length === 0) {
    throw usageError('kill needs targets: process ids like 42 or n1:42, or runs like run/ID')
  }
  return {
    kind: 'send',
    signal: signal ?? 15,
    targets: words.map(parseTarget),
    ...(machine === undefined ? {} : { machine }),
  }
}

/** `-m n2`, `--machine n2`, `--machine=n2`; undefined, and nothing taken, for other words. */
function takeMachine(words: string[]): string | undefined {
  const [first = ''] = words
  const inline = /^--machine=(.+)$/s.exec(first)?.[1]
  if (inline === undefined && first !== '-m' && first !== '--machine') return undefined
  const [, value] = words.splice(0, inline === undefined ? 2 : 1)
  const machine = inline ?? value
  if (machine === undefined) throw usageError(`kill ${first} needs machines, like n2`)
  return machine
}

function optionSignal(word: string, words: string[]): number {
  if (word === '-s' || word === '-n' || word === '--signal') {
    const value = words.shift()
    if (value === undefined) throw usageError(`kill ${word} needs a signal, like TERM or 15`)
    return requireSignal(value)
  }
  if (word.startsWith('--signal=')) return requireSignal(word.slice('--signal='.length))
  // `-sTERM` and `-n15`, where no signal's name begins like that.
  if (/^-[sn]/.test(word) && parseSignal(word.slice(1)) === undefined) {
    return requireSignal(word.slice(2))
  }
  return requireSignal(word.slice(1))
}

/** A signal's number from any spelling of it; 0 only asks whether the process is there. */
export function parseSignal(text: string): number | undefined {
  return text === '0' ? 0 : signalNumber(text)
}

export function requireSignal(text: string): number {
  const number = parseSignal(text)
  if (number !== undefined) return number
  throw usageError(`there is no signal ${JSON.stringify(text)}; \`holon kill -l\` lists them`)
}

function parseTarget(text: string): KillTarget {
  const run = /^run\/(\S+)$/.exec(text)
  if (run?.[1] !== undefined) return { kind: 'run', text, id: run[1] }
  const ref = parsePidRef(text)
  if (ref !== undefined && ref.pid > 0) return { kind: 'process', text, ref }
  if (/^-\d+$/.test(text) || text === '0') {
    const why = 'process groups are not signalled; name the processes, or use `pkill`'
    return { kind: 'bad', text, why }
  }
  return {
    kind: 'bad',
    text,
    why: 'this is no process id like 42 or n1:42, and no run like run/ID',
  }
}

const exitBySignalBase = 128

/** What `kill -l WORDS` prints: a name for each number or exit status, a number for each name. */
export function translateSignals(words: readonly string[]): string[] {
  return words.map((word) => {
    if (!/^\d+$/.test(word)) return String(requireSignal(word))
    const number = Number(word)
    const name = signalName(number > exitBySignalBase ? number - exitBySignalBase : number)
    if (name === undefined) throw usageError(`there is no signal ${JSON.stringify(word)}`)
    return name.slice('SIG'.length)
  })
}
