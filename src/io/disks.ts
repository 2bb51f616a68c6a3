/** Directories that stand in for a machine's disks. */
import { cpSync, rmdirSync } from 'node:fs'
import { asHolonError, errnoOf } from '../base/errors.ts'

/** Copies the tree with its modes; what is there already is replaced. */
export function copyTree(from: string, to: string): void {
  try {
    cpSync(from, to, { recursive: true, preserveTimestamps: true })
  } catch (error) {
    throw asHolonError(error, `copy ${from} to ${to}`)
  }
}

/** False when something is in it; true when it is gone, by us or before. */
export function removeEmptyDir(path: string): boolean {
  try {
    rmdirSync(path)
    return true
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === 'ENOENT') return true
    if (errno === 'ENOTEMPTY' || errno === 'EEXIST') return false
    throw asHolonError(error, `remove the directory ${path}`)
  }
}
