/**
 * Loading a bundled program with its compiled code from an earlier run beside it. Node has a
 * compile cache of its own, which holds what was compiled at load; this one is written after the
 * program has run, and so holds what it really uses: a third of the whole start.
 *
 * The compiled code is as trusted as the program: it is in the same directory, or, where this user
 * may not write there, in a cache that only this user can write. V8 refuses code of another version
 * of itself; code of another build goes away with the build, or has another name.
 */
import {
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { Script } from 'node:vm'

export interface LoadedProgram<T> {
  readonly exports: T
  /** Keeps the code compiled so far for the next time; nothing where this user may not write. */
  saveCode(): void
}

type ModuleFunction = (
  exports: unknown,
  require: NodeJS.Require,
  module: { exports: unknown },
  file: string,
  dir: string,
) => void

/** `file` is an absolute path of a CommonJS bundle. */
export function loadProgram<T>(file: string): LoadedProgram<T> {
  const kind = `${process.version}-${process.arch}`
  const beside = `${file}.${kind}`
  const cachedData = readOwn(beside, 'anyone') ?? readOwn(ownCache(file, kind), 'this user')
  const source = readFileSync(file, 'utf8')
  const script = new Script(
    `(function (exports, require, module, __filename, __dirname) {${source}\n})`,
    {
      filename: file,
      ...(cachedData === undefined ? {} : { cachedData }),
    },
  )
  const module = { exports: {} }
  const run = script.runInThisContext() as ModuleFunction
  run(module.exports, createRequire(file), module, file, dirname(file))
  return {
    exports: module.exports as T,
    saveCode() {
      if (cachedData !== undefined && script.cachedDataRejected === false) return
      const code = script.createCachedData()
      if (write(beside, code)) return
      const path = ownCache(file, kind)
      try {
        mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
        for (const name of readdirSync(dirname(path))) rmSync(join(dirname(path), name))
      } catch {
        // Then writing fails, too.
      }
      write(path, code)
    },
  }
}

/** For a program that lies where this user may not write; named by the build. */
function ownCache(file: string, kind: string): string {
  const { size, mtimeMs } = statSync(file)
  const base =
    process.env['XDG_CACHE_HOME'] || join(process.env['HOME'] || '/nonexistent', '.cache')
  return join(base, 'holon', 'code', `${size}-${Math.round(mtimeMs)}-${kind}`)
}

function readOwn(path: string, owner: 'anyone' | 'this user'): Buffer | undefined {
  let fd: number
  try {
    fd = openSync(path, 'r')
  } catch {
    return undefined
  }
  try {
    const { uid, mode } = fstatSync(fd)
    if (owner === 'this user' && (uid !== process.geteuid?.() || (mode & 0o022) !== 0)) return
    return readFileSync(fd)
  } finally {
    closeSync(fd)
  }
}

/** False where this user may not: then the program is only slower. */
function write(path: string, code: Buffer): boolean {
  const temporary = `${path}.${process.pid}`
  try {
    writeFileSync(temporary, code, { mode: 0o644 })
    renameSync(temporary, path)
    return true
  } catch {
    return false
  }
}
