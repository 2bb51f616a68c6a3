/**
 * Loading a bundled program with its compiled code from an earlier run beside it. Node has a
 * compile cache of its own, which holds what was compiled at load; this one is written after the
 * program has run, and so holds what it really uses: a third of the whole start.
 *
 * The compiled code is as trusted as the program: same directory, same owner. V8 refuses code of
 * another version of itself; code of another build goes away with the build.
 */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname } from 'node:path'
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
  const codePath = `${file}.${process.version}-${process.arch}`
  const cachedData = existsSync(codePath) ? readFileSync(codePath) : undefined
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
      try {
        const temporary = `${codePath}.${process.pid}`
        writeFileSync(temporary, script.createCachedData())
        renameSync(temporary, codePath)
      } catch {
        // Somebody else's installation: it is only slower.
      }
    },
  }
}
