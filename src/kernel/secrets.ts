/** Secrets, as doors see them: the interface and its values. Common rules are in kernel.ts. */
import type { CallOptions } from './types.ts'

/** A secret, as it may be shown to anybody. */
export interface SecretInfo {
  readonly name: string
  /** From 1; each `set` makes the next one. */
  readonly version: number
  readonly bytes: number
  readonly changedAtMs: number
  /** Who set it, as "uid 0 on n1". */
  readonly by: string
}

/** What a secret is. To be kept out of logs, messages and arguments of programs. */
export interface SecretValue {
  readonly version: number
  readonly base64: string
}

/** What is kept of a value is sealed: State, its backups and its watches have no way to read it. */
export interface Secrets {
  /** By name; never values. Idempotent. */
  list(options: CallOptions): Promise<readonly SecretInfo[]>
  /**
   * A new secret, or a new version of one, which instances have from their next start on. At most
   * limits.secretBytesMax. Repeating it after `outcome: 'unknown'` costs at worst a version.
   */
  set(name: string, base64: string, options: CallOptions): Promise<SecretInfo>
  /**
   * `not_found`; `unsupported` on a machine that does not have the fleet's key, with which ones do.
   * Idempotent.
   */
  show(name: string, options: CallOptions): Promise<SecretValue>
  /**
   * `conflict` while units name it, unless `force`: those do not start any more. No secret of that
   * name is no error. Idempotent.
   */
  remove(name: string, how: { readonly force: boolean }, options: CallOptions): Promise<void>
}
