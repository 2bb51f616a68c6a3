/**
 * What people type for a unit: a name ("web"), an instance ("web.service/2"), or the path of a unit
 * file, which is then loaded first.
 */
import { basename, dirname, join, resolve } from 'node:path'
import { HolonError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import { exists, readTextBounded } from '../../io/files.ts'
import type { System, Unit, UnitFile } from '../../kernel/kernel.ts'
import { isTimerName, loadTimer } from '../../unit/timer-unit.ts'

export interface UnitArgument {
  readonly name: string
  readonly unit: Unit
  readonly instance?: number
}

/** Whether `text` is a path and not a name; "web.service/2" is a name. */
export function isUnitPath(text: string): boolean {
  return text.includes('/') && !isInstance(text)
}

function isInstance(text: string): boolean {
  return /^[^/]+\/\d+$/.test(text)
}

/** What can be done with one instance instead: `restart` it, or ask `why`. */
export type ForOne = 'restart' | 'why'

/** For verbs that take whole units only: one instance is refused, and never taken for its unit. */
export async function resolveWholeUnit(
  system: System,
  text: string,
  options: {
    readonly signal: AbortSignal
    readonly load: boolean
    readonly verb: string
    readonly forOne: ForOne
  },
): Promise<UnitArgument> {
  const { verb, forOne } = options
  if (!isInstance(text)) return await resolveUnit(system, text, options)
  const does = forOne === 'restart' ? 'restarts' : 'explains'
  throw new HolonError(
    'invalid_argument',
    `${verb} ${text}: ${verb} acts on whole units; \`holon ${forOne} ${text}\` ${does} one instance`,
  )
}

/** The unit that `text` means. `load`: a path is read and loaded; else it only names its unit. */
export async function resolveUnit(
  system: System,
  text: string,
  options: { readonly signal: AbortSignal; readonly load: boolean },
): Promise<UnitArgument> {
  const { signal } = options
  if (isUnitPath(text)) {
    const name = basename(text)
    const unit = options.load
      ? await loadFile(system, text, signal)
      : await system.unit(name, { signal })
    return { name, unit }
  }
  const [name = '', number] = text.split('/')
  try {
    const unit = await system.unit(name, { signal })
    return number === undefined ? { name, unit } : { name, unit, instance: Number(number) }
  } catch (error) {
    // `holon start web.service` beside the file: the obvious thing is meant.
    const beside = error instanceof HolonError && error.code === 'not_found' && exists(name)
    const isFile = name.endsWith('.service') || isTimerName(name)
    if (!beside || !options.load || !isFile) throw error
    return { name, unit: await loadFile(system, name, signal) }
  }
}

/** A timer brings the service that it starts along, if that lies beside it. */
async function loadFile(system: System, path: string, signal: AbortSignal): Promise<Unit> {
  const file = readUnitFile(path)
  const timer = isTimerName(file.name) ? loadTimer(file) : undefined
  if (timer?.kind === 'loaded') {
    const service = join(dirname(path), timer.unit.unit)
    if (exists(service)) await system.load(readUnitFile(service), { signal })
  }
  return system.load(file, { signal })
}

export function readUnitFile(path: string): UnitFile {
  const sourcePath = resolve(path)
  const text = readTextBounded(sourcePath, limits.unitFileBytesMax)
  return { name: basename(sourcePath), text, sourcePath }
}

/** Whether a name fits one of `patterns`, with * and ?; the type need not be given. All fit none. */
export function namePattern(
  patterns: readonly string[],
  type: 'service' | 'timer',
): (name: string) => boolean {
  const all = patterns.map((pattern) => {
    const source = pattern
      .replace(/[.+^${}()|[\]\\]/g, '\\$&')
      .replaceAll('*', '.*')
      .replaceAll('?', '.')
    return new RegExp(`^${source}(\\.${type})?$`)
  })
  return (name) => all.length === 0 || all.some((pattern) => pattern.test(name))
}
