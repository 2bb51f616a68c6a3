/** A project's files, on their way to the machine that is asked: only what that lacks. */
import { limits } from '../../../base/limits.ts'
import { type PackedBundle, packDir, readPiece } from '../../../bundles/pack.ts'
import type { FoundEntry } from '../../../io/bundle-files.ts'
import { joinPath, readTextIfThere } from '../../../io/files.ts'
import type { BundlePiece, Bundles } from '../../../kernel/bundles.ts'
import { IgnoreRules } from './ignore-rules.ts'

export interface PackedProject extends PackedBundle {
  /** Files that look as if they held secrets: never packed. */
  readonly secrets: readonly string[]
}

/** In one call. */
const piecesMax = 512
const callsMax = 2

/** `isLocked`: modules come from its lock file, so those in the directory stay behind. */
export async function packProject(
  root: string,
  { unitFile, isLocked }: { readonly unitFile: string; readonly isLocked: boolean },
): Promise<PackedProject> {
  const rules = new IgnoreRules(root)
  const secrets: string[] = []
  const isIncluded = ({ path, kind }: FoundEntry) => {
    const name = path.slice(path.lastIndexOf('/') + 1)
    if (name === '.git' || path === unitFile) return false
    if (isLocked && path === 'node_modules') return false
    if (rules.isIgnored(path, kind === 'directory')) return false
    const isEnv = /^\.env(\.|$)/.test(name) && !/\.(example|sample|template)$/.test(name)
    if (!isEnv && !(name === '.npmrc' && hasSecret(joinPath(root, path)))) return true
    secrets.push(path)
    return false
  }
  return { ...(await packDir(root, { isIncluded })), secrets }
}

/** How many pieces were sent. Repeating it sends what is still missing. */
export async function upload(
  bundles: Bundles,
  root: string,
  { pieces }: PackedBundle,
  signal: AbortSignal,
): Promise<number> {
  const all = [...pieces.keys()]
  const left: string[] = []
  for (let at = 0; at < all.length; at += piecesPerQuestion) {
    left.push(...(await bundles.missing(all.slice(at, at + piecesPerQuestion), { signal })))
  }
  const sent = left.length
  const sender = async () => {
    while (left.length > 0) {
      const batch: BundlePiece[] = []
      let bytes = 0
      while (
        batch.length < piecesMax &&
        bytes + limits.bundlePieceBytes <= limits.bundleCallBytes
      ) {
        const hash = left.pop()
        const from = hash === undefined ? undefined : pieces.get(hash)
        if (hash === undefined || from === undefined) break
        const piece = await readPiece(root, hash, from)
        bytes += piece.length
        batch.push({ hash, base64: piece.toString('base64') })
      }
      if (batch.length > 0) await bundles.put(batch, { signal })
    }
  }
  await Promise.all(Array.from({ length: callsMax }, sender))
  return sent
}

const piecesPerQuestion = 10_000

/** Of an .npmrc: a right to a registry. */
function hasSecret(path: string): boolean {
  return /^[^#;]*_(auth|authToken|password)\b/m.test(readTextIfThere(path) ?? '')
}
