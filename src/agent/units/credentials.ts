/**
 * What LoadCredential= and SetCredential= give an instance: files in a directory that is there from
 * before its first command until its job is over, restarts by its keeper included, whether the
 * agent lives or not. Only the user it runs as can read them; they are in memory where there is a
 * file system for it.
 */
import { createHash } from 'node:crypto'
import { asHolonError, HolonError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import { joinPath } from '../../io/files.ts'
import {
  dirsBelow,
  fileIdentity,
  memoryDir,
  readBytesBounded,
  removeEmptyDir,
  removePrivateDir,
  writePrivateDir,
} from '../../io/private-files.ts'
import type { CredentialEntry, ServiceUnit } from '../../unit/service-unit.ts'
import { settled, settleFailure } from '../../unit/settle.ts'
import type { SpecifierContext } from '../../unit/specifiers.ts'
import { parseAbsolutePath } from '../../unit/values.ts'

export interface CredentialsOptions {
  readonly runtimeDir: string
  readonly uid: number
  readonly report: (message: string) => void
}

export interface CredentialsOrder {
  readonly job: string
  /** Who may read them. */
  readonly uid: number
  readonly specifiers: SpecifierContext
  /** By name; those that do not exist are missing. */
  readonly secrets: ReadonlyMap<string, Uint8Array>
}

/** "unit/web.service/1" */
const jobDepth = 3

export class Credentials implements Disposable {
  readonly #base: string
  readonly #isInMemory: boolean
  readonly #report: (message: string) => void
  #isTold = false

  constructor({ runtimeDir, uid, report }: CredentialsOptions) {
    // Outside of the runtime directory agents are kept apart, also those of containers that share
    // such a place and know their directories by the same names.
    const place = `${runtimeDir} ${fileIdentity(runtimeDir)}`
    const tag = createHash('sha256').update(place).digest('hex').slice(0, 12)
    const own = joinPath(runtimeDir, 'credentials')
    const elsewhere = ['/run', '/dev/shm'].map((dir) => `${dir}/holon-credentials-${uid}-${tag}`)
    const { path, inMemory } = memoryDir([own, ...elsewhere], own)
    this.#base = path
    this.#isInMemory = inMemory
    this.#report = report
  }

  /** Nobody's files are left behind; others stay for their jobs. */
  [Symbol.dispose](): void {
    removeEmptyDir(joinPath(this.#base, 'unit'))
    removeEmptyDir(this.#base)
  }

  dir(job: string): string {
    return joinPath(this.#base, job)
  }

  /**
   * Writes those of an instance that is about to start. `not_found` with file and line, and what to
   * type, for one that is not to be had; no message has anything of a value.
   */
  provide(unit: ServiceUnit, { job, uid, specifiers, secrets }: CredentialsOrder): void {
    this.remove(job)
    if (unit.credentials.length === 0) return
    const files = unit.credentials.map((entry) => {
      return { name: entry.id, bytes: bytesOf(entry, specifiers, secrets) }
    })
    const size = files.reduce((sum, { bytes }) => sum + bytes.length, 0)
    if (size > limits.credentialsBytesMax) {
      throw new HolonError(
        'exhausted',
        `start ${unit.name}: its credentials have ${size} bytes, at most ` +
          `${limits.credentialsBytesMax} are given`,
      )
    }
    this.#tell(unit.name)
    writePrivateDir(this.#base, job, files, uid)
  }

  /** Never throws: what cannot be removed is told, and removed with the next start. */
  remove(job: string): void {
    try {
      removePrivateDir(this.#base, job)
    } catch (error) {
      this.#report(asHolonError(error).message)
    }
  }

  /** Removes those of jobs that ended while no agent looked. */
  keepOnly(isThere: (job: string) => boolean): void {
    for (const job of dirsBelow(this.#base, jobDepth)) if (!isThere(job)) this.remove(job)
  }

  #tell(unit: string): void {
    if (this.#isInMemory || this.#isTold) return
    this.#isTold = true
    this.#report(`${unit}: its credentials are in files on the disk: no file system in memory here`)
  }
}

function bytesOf(
  { path, secret, text, place }: CredentialEntry,
  specifiers: SpecifierContext,
  secrets: CredentialsOrder['secrets'],
): Uint8Array {
  try {
    if (path !== undefined) {
      const file = settled(path, 'LoadCredential', place, specifiers, parseAbsolutePath)
      return readBytesBounded(file, limits.credentialsBytesMax)
    }
  } catch (error) {
    if (text !== undefined) return text
    if (!(error instanceof HolonError) || error.details['directive'] !== undefined) throw error
    throw settleFailure('not_found', 'LoadCredential', place, error.message)
  }
  const found = secret === undefined ? text : (secrets.get(secret) ?? text)
  if (found !== undefined) return found
  const message = `there is no secret ${secret}; \`holon secret set ${secret}\` makes it`
  throw settleFailure('not_found', 'LoadCredential', place, message)
}
