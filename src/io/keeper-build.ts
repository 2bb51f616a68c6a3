/**
 * The compiled keeper, built once for its sources: `<binDir>/keeper-<hash>`. The hash makes a new
 * version a new file, so that a running nursery keeps its own; the rename makes it whole or absent.
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs'
import { join } from 'node:path'

export interface KeeperSources {
  /** Holds build.sh and the C files. */
  readonly sourceDir: string
  /** Made if missing. */
  readonly binDir: string
}

export type KeeperBuild =
  | { readonly kind: 'c'; readonly path: string }
  /** `reason`: one sentence on why there is no compiled keeper. */
  | { readonly kind: 'sh'; readonly reason: string }

const buildTimeoutMs = 120_000
const versionTimeoutMs = 10_000

/** Never rejects: without a compiled keeper there is the other one. Idempotent. */
export async function buildKeeper({ sourceDir, binDir }: KeeperSources): Promise<KeeperBuild> {
  try {
    const name = `keeper-${hashOf(sourceDir)}`
    const path = join(binDir, name)
    if (!existsSync(path)) await build(sourceDir, binDir, path)
    await run(path, ['--version'], versionTimeoutMs)
    return { kind: 'c', path }
  } catch (error) {
    return { kind: 'sh', reason: error instanceof Error ? error.message : String(error) }
  }
}

function hashOf(sourceDir: string): string {
  const hash = createHash('sha256').update(process.arch)
  const names = readdirSync(sourceDir).filter((name) => /\.[ch]$|^build\.sh$/.test(name))
  if (!names.includes('build.sh')) throw new Error(`there is no ${join(sourceDir, 'build.sh')}`)
  for (const name of names.sort()) {
    hash
      .update(`${name}\0`)
      .update(readFileSync(join(sourceDir, name)))
      .update('\0')
  }
  return hash.digest('hex').slice(0, 16)
}

async function build(sourceDir: string, binDir: string, path: string): Promise<void> {
  mkdirSync(binDir, { recursive: true, mode: 0o755 })
  const draft = `${path}.${process.pid}.new`
  try {
    await run('/bin/sh', [join(sourceDir, 'build.sh'), draft], buildTimeoutMs)
    chmodSync(draft, 0o755)
    renameSync(draft, path)
  } finally {
    rmSync(draft, { force: true })
  }
  // Of older sources nothing new is started; who still runs them keeps the file open.
  for (const name of readdirSync(binDir)) {
    if (/^keeper-[0-9a-f]{16}$/.test(name) && join(binDir, name) !== path) {
      rmSync(join(binDir, name), { force: true })
    }
  }
}

function run(command: string, args: readonly string[], timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const options = { timeout: timeoutMs, maxBuffer: 1024 * 1024 }
    execFile(command, args, options, (error, _stdout, stderr) => {
      if (error === null) return resolve()
      const [firstLine = ''] = stderr.trim().split('\n')
      reject(new Error(`${[command, ...args].join(' ')}: ${firstLine || error.message}`))
    })
  })
}
