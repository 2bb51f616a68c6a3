/**
 * What people type for a unit: a name ("web"), an instance ("web.service/2"), or the path of a unit
 * file, which is then loaded first.
 */
import { basename, resolve } from 'node:path'
import { HolonError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import { exists, readTextBounded } from '../../io/files.ts'
import type { System, Unit, UnitFile } from '../../kernel/kernel.ts'

export interface UnitArgument {
  readonly name: string
  readonly unit: Unit
  readonly instance?: number
}

/** Whether `text` is a path and not a name; "web.service/2" is a name. */
export function isUnitPath(text: string): boolean {
  return text.includes('/') && !/^[^/]+\/\d+$/.test(text)
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
      ? await system.load(readUnitFile(text), { signal })
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
    if (!beside || !options.load || !name.endsWith('.service')) throw error
    return { name, unit: await system.load(readUnitFile(name), { signal }) }
  }
}

export function readUnitFile(path: string): UnitFile {
  const sourcePath = resolve(path)
  const text = readTextBounded(sourcePath, limits.unitFileBytesMax)
  return { name: basename(sourcePath), text, sourcePath }
}
