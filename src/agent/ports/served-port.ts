/** What an instance with a public port has beside its job, kept in the job's directory. */
import { HolonError } from '../../base/errors.ts'
import { ensureDir, joinPath, readTextIfThere, writeText } from '../../io/files.ts'
import type { PortTerms } from '../../unit/port-terms.ts'

export interface ServedPort {
  /** The instance's own, `$PORT`. */
  readonly port: number
  readonly terms: PortTerms
}

const pathIn = (dir: string) => joinPath(dir, 'port')

/** Before its job is started there: who takes the job over has to know. */
export function writeServedPort(dir: string, served: ServedPort): void {
  ensureDir(dir, 0o711)
  writeText(pathIn(dir), `${JSON.stringify(served)}\n`, 0o600)
}

/** Undefined for an instance without one. */
export function readServedPort(dir: string): ServedPort | undefined {
  const text = readTextIfThere(pathIn(dir))
  if (text === undefined) return undefined
  const served = JSON.parse(text) as Partial<ServedPort>
  if (typeof served.port === 'number' && served.terms !== undefined) return served as ServedPort
  throw new HolonError('internal', `"${pathIn(dir)}" has an unknown form`)
}
