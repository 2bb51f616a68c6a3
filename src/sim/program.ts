/**
 * A unit's text as a simulation reads it: a unit file like any other, which says what the fleet
 * must know; and how its program behaves, by a section that only a simulation knows:
 *
 *     [X-Sim]
 *     ReadySec=200ms    until it is ready (default 50ms)
 *     StopSec=1s        how long it takes to end when asked to (default 50ms)
 *     Fails=yes         it ends with a failure instead of becoming ready
 *     RunsSec=10s       it ends by itself, successfully, after this
 */
import { type UnitFacts, unitFacts } from '../cluster/reconcile/unit-facts.ts'
import { type DirectiveLine, parseUnitFile, unitProblemsError } from '../unit/parse.ts'
import { loadUnit } from '../unit/unit.ts'
import { bad, type Parsed, parseBoolean, parseDuration } from '../unit/values.ts'

/** How programs of a text behave. */
export interface Behaviour {
  readonly readyMs: number
  readonly stopMs: number
  readonly fails: boolean
  /** It ends by itself after this. */
  readonly runsMs: number | undefined
  /** Not ready after this, it is ended by its keeper. */
  readonly timeoutMs: number
  readonly exclusive: boolean
}

export interface Program {
  readonly behaviour: Behaviour
  readonly facts: UnitFacts
}

/** Each text is read once. */
export class Programs {
  readonly #known = new Map<string, Program>()

  /** `invalid_argument` names what is wrong, with file and line. */
  get(unit: string, text: string): Program {
    const key = `${unit}\n${text}`
    const known = this.#known.get(key) ?? readProgram(unit, text)
    this.#known.set(key, known)
    return known
  }
}

function readProgram(unit: string, text: string): Program {
  const facts = unitFacts(unit, text)
  const loaded = loadUnit({ name: unit, text })
  const timeoutMs = loaded.kind === 'loaded' ? loaded.unit.timeoutStartMs : 0
  const said = { readyMs: 50, stopMs: 50, fails: false, runsMs: undefined as number | undefined }
  for (const line of parseUnitFile({ file: unit, text }).directives) {
    if (line.section !== 'X-Sim') continue
    const read = settings[line.name]?.(said, line.value) ?? bad('[X-Sim] has no such setting')
    if (read.kind === 'bad') throw unitProblemsError(unit, [problem(line, read.message)])
  }
  const exclusive = facts.rules.partition === 'at-most'
  return { facts, behaviour: { ...said, timeoutMs, exclusive } }
}

type Said = { readyMs: number; stopMs: number; fails: boolean; runsMs: number | undefined }

const settings: Readonly<Record<string, (said: Said, value: string) => Parsed<unknown>>> = {
  ReadySec: (said, value) => keep(parseDuration(value), (ms) => (said.readyMs = ms)),
  StopSec: (said, value) => keep(parseDuration(value), (ms) => (said.stopMs = ms)),
  RunsSec: (said, value) => keep(parseDuration(value), (ms) => (said.runsMs = ms)),
  Fails: (said, value) => keep(parseBoolean(value), (fails) => (said.fails = fails)),
}

function keep<T>(parsed: Parsed<T>, take: (value: T) => void): Parsed<T> {
  if (parsed.kind === 'ok') take(parsed.value)
  return parsed
}

function problem({ file, line, name }: DirectiveLine, message: string) {
  return { file, line, directive: name, message }
}
