/**
 * The compiled keeper: built once from its sources where there is a C compiler, kept in the state
 * directory under a name that says which sources it is of.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { accessSync, constants, mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'

export type KeeperBinary =
  | { readonly kind: 'c'; readonly path: string }
  | { readonly kind: 'sh'; readonly reason: string }

const buildTimeoutMs = 120_000

/** Builds what is not built yet; never fails: without a compiler it says why not. */
export function ensureKeeper(sourceDir: string, binDir: string): KeeperBinary {
  try {
    const path = join(binDir, `keeper-${sourcesHash(sourceDir)}`)
    if (isWorking(path)) return { kind: 'c', path }
    mkdirSync(binDir, { recursive: true, mode: 0o755 })
    const temporary = `${path}.${process.pid}`
    const built = spawnSync('sh', [join(sourceDir, 'build.sh'), temporary], {
      encoding: 'utf8',
      timeout: buildTimeoutMs,
    })
    if (built.status !== 0) {
      const reason = (built.stderr || built.error?.message || `status ${built.status}`).trim()
      return { kind: 'sh', reason: reason.split('\n').slice(0, 3).join('; ') }
    }
    renameSync(temporary, path)
    if (isWorking(path)) return { kind: 'c', path }
    return { kind: 'sh', reason: `${path} cannot be executed` }
  } catch (error) {
    return { kind: 'sh', reason: error instanceof Error ? error.message : String(error) }
  }
}

function sourcesHash(sourceDir: string): string {
  const hash = createHash('sha256').update(process.arch)
  for (const name of readdirSync(sourceDir).sort()) {
    if (/\.(c|h)$|^build\.sh$/.test(name)) hash.update(name).update(readFileSync(join(sourceDir, name)))
  }
  return hash.digest('hex').slice(0, 16)
}

function isWorking(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
  } catch {
    return false
  }
  return spawnSync(path, ['--version'], { timeout: 5000 }).status === 0
}
