/**
 * What of a project's directory does not belong to the program: as .gitignore says, there and in
 * directories below, and .holonignore likewise, which comes after it and so has the last word.
 */
import ignore, { type Ignore } from 'ignore'
import { joinPath, readTextIfThere } from '../../../io/files.ts'

const files = ['.gitignore', '.holonignore'] as const

export class IgnoreRules {
  readonly #root: string
  readonly #byDir = new Map<string, Ignore | undefined>()

  constructor(root: string) {
    this.#root = root
  }

  /** `path` is relative to the root, with slashes. Its directory is not ignored itself. */
  isIgnored(path: string, isDirectory: boolean): boolean {
    const parts = path.split('/')
    let isIgnored = false
    // A nearer file has the last word.
    for (let depth = 0; depth < parts.length; depth++) {
      const rules = this.#rulesIn(parts.slice(0, depth).join('/'))
      const below = parts.slice(depth).join('/')
      const verdict = rules?.test(isDirectory ? `${below}/` : below)
      if (verdict?.ignored) isIgnored = true
      else if (verdict?.unignored) isIgnored = false
    }
    return isIgnored
  }

  #rulesIn(dir: string): Ignore | undefined {
    if (this.#byDir.has(dir)) return this.#byDir.get(dir)
    const texts = files.flatMap((name) => readTextIfThere(joinPath(this.#root, dir, name)) ?? [])
    const rules = texts.length === 0 ? undefined : ignore().add(texts.join('\n'))
    this.#byDir.set(dir, rules)
    return rules
  }
}
