/** Bundles, as doors see them: how a program's files come to machines. See docs/bundles.md. */
import type { CallOptions } from './types.ts'

/** A part of a file, named by the SHA-256 of its bytes. */
export interface BundlePiece {
  readonly hash: string
  readonly base64: string
}

export interface BundleInfo {
  readonly hash: string
  /** Of its files. */
  readonly bytes: number
  readonly files: number
  readonly usedAtMs: number
}

/** Where the modules of a bundle are to be installed, or which bundle they are already. */
export type ModulesAnswer =
  | { readonly kind: 'none' }
  | { readonly kind: 'known'; readonly bundle: string; readonly platform: string }
  | {
      readonly kind: 'stage'
      readonly machine: string
      readonly dir: string
      readonly platform: string
    }

/** The bundles of the machine that is asked. `permission_denied` but for who runs the agent. */
export interface Bundles {
  /** Of these pieces, those that it lacks. Idempotent. */
  missing(hashes: readonly string[], options: CallOptions): Promise<readonly string[]>
  /**
   * Takes pieces, at most limits.bundleCallBytes together. `invalid_argument` for one that is not
   * what its name says. Idempotent.
   */
  put(pieces: readonly BundlePiece[], options: CallOptions): Promise<void>
  /**
   * A bundle of which it has all pieces (`conflict` otherwise), by its manifest. In a fleet it has a
   * second machine keep it before this resolves, if one is up. Idempotent.
   */
  finish(manifest: string, options: CallOptions): Promise<BundleInfo>
  /**
   * What the bundle needs beside its files, by its package-lock.json: a directory with what npm has
   * to know, to be filled by who asked, or what somebody has made of the same. Idempotent.
   */
  modules(bundle: string, options: CallOptions): Promise<ModulesAnswer>
  /** That directory is filled: it becomes a bundle, whose hash is the answer. */
  finishModules(bundle: string, options: CallOptions): Promise<string>
  /** The one used last first. Idempotent. */
  list(options: CallOptions): Promise<readonly BundleInfo[]>
}
