/**
 * Secrets as they lie in State: what may be shown, and apart from it the sealed value.
 *
 *     <prefix>/info/<name>      SecretInfo
 *     <prefix>/sealed/<name>    the value, sealed for the holder of the key
 *
 * Both are written in one txn. The prefix is "secret" in the fleet's State, "machine-secret" in a
 * machine's own store.
 */
import type { Clock } from '../../base/clock.ts'
import { HolonError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import type { Random } from '../../base/random.ts'
import type { SecretInfo, SecretValue } from '../../kernel/secrets.ts'
import { commit, newOperationId, patiently } from '../../state/commit.ts'
import type { Entry, SignalOptions, State, Txn } from '../../state/port.ts'
import { parseCredentialName } from '../../unit/credentials.ts'
import { isJsonObject } from '../fields.ts'
import { seal, unseal } from './seal.ts'

export interface SecretStoreDeps {
  readonly clock: Clock
  readonly random: Random
  readonly state: State
  readonly prefix: string
  /** Who writes: "agent n1". */
  readonly writer: string
  /** For which key values are sealed: SPKI, base64. Made when there is none. */
  readonly publicKey: (signal: AbortSignal) => Promise<string>
}

interface SealedRecord {
  readonly version: number
  readonly sealed: string
}

const contextOf = (name: string, version: number) => `secret ${name}/${version}`
/** `details.kind` of what says that there is none of that name. */
export const noSecret = 'no-secret'
/** How long a state that does not answer is asked again. */
const patienceMs = 6_000

export class SecretStore {
  readonly #deps: SecretStoreDeps
  readonly #infoPrefix: string

  constructor(deps: SecretStoreDeps) {
    this.#deps = deps
    this.#infoPrefix = `${deps.prefix}/info/`
  }

  async list({ signal }: SignalOptions): Promise<readonly SecretInfo[]> {
    const { clock, state } = this.#deps
    const read = (limit: AbortSignal) => state.list(this.#infoPrefix, { signal: limit })
    const { entries } = await patiently(clock, patienceMs, signal, read)
    return entries.map(({ value }) => parseInfo(value))
  }

  /** `invalid_argument` for a name that is none, `exhausted` for a value that is too large. */
  async set(
    name: string,
    value: Uint8Array,
    by: string,
    { signal }: SignalOptions,
  ): Promise<SecretInfo> {
    checkName(name)
    if (value.length > limits.secretBytesMax) {
      throw new HolonError(
        'exhausted',
        `set the secret ${name}: it has ${value.length} bytes, at most ` +
          `${limits.secretBytesMax} are kept; give large files to the machines another way`,
      )
    }
    const { clock } = this.#deps
    const publicKey = await this.#deps.publicKey(signal)
    while (true) {
      const before = await this.#get(this.#infoKey(name), signal)
      const version = 1 + (before === undefined ? 0 : parseInfo(before.value).version)
      const changedAtMs = clock.wallMs()
      const info: SecretInfo = { name, version, bytes: value.length, changedAtMs, by }
      const sealed: SealedRecord = {
        version,
        sealed: seal(publicKey, value, contextOf(name, version)),
      }
      const isDone = await this.#commit(
        name,
        before,
        [
          { kind: 'put', key: this.#infoKey(name), value: info, schema: 1 },
          { kind: 'put', key: this.#sealedKey(name), value: sealed, schema: 1 },
        ],
        signal,
      )
      if (isDone) return info
    }
  }

  /** The value, by the holder of the key. `not_found` with what to type. */
  async open(name: string, keyPem: string, { signal }: SignalOptions): Promise<SecretValue> {
    checkName(name)
    const entry = await this.#get(this.#sealedKey(name), signal)
    if (entry === undefined) throw absent(name)
    const { version, sealed } = parseSealed(entry.value)
    return { version, base64: unseal(keyPem, sealed, contextOf(name, version)).toString('base64') }
  }

  async remove(name: string, { signal }: SignalOptions): Promise<void> {
    while (true) {
      const before = await this.#get(this.#infoKey(name), signal)
      if (before === undefined) return
      const isDone = await this.#commit(
        name,
        before,
        [
          { kind: 'delete', key: this.#infoKey(name) },
          { kind: 'delete', key: this.#sealedKey(name) },
        ],
        signal,
      )
      if (isDone) return
    }
  }

  #infoKey(name: string): string {
    return `${this.#infoPrefix}${name}`
  }

  #sealedKey(name: string): string {
    return `${this.#deps.prefix}/sealed/${name}`
  }

  async #commit(
    name: string,
    before: Entry | undefined,
    then: Txn['then'],
    signal: AbortSignal,
  ): Promise<boolean> {
    const { clock, random, state, writer } = this.#deps
    const condition = { key: this.#infoKey(name), revision: before?.revision ?? 0 }
    const operationId = newOperationId(random)
    const txn = { if: [condition], then, operationId, writer }
    return (await commit({ clock, random }, state, txn, { signal })).kind === 'done'
  }

  #get(key: string, signal: AbortSignal): Promise<Entry | undefined> {
    const { clock, state } = this.#deps
    return patiently(clock, patienceMs, signal, (limit) => state.get(key, { signal: limit }))
  }
}

export function absent(name: string): HolonError {
  return new HolonError(
    'not_found',
    `there is no secret ${name}; \`holon secret set ${name}\` makes it`,
    { details: { kind: noSecret } },
  )
}

function checkName(name: unknown): void {
  const parsed = parseCredentialName(String(name))
  if (parsed.kind === 'ok') return
  throw new HolonError('invalid_argument', `use a secret: ${parsed.message}`)
}

function parseInfo(value: unknown): SecretInfo {
  const isInfo = isJsonObject(value) && typeof value['version'] === 'number'
  if (isInfo && typeof value['name'] === 'string') return value as unknown as SecretInfo
  throw new HolonError('internal', 'the state has a secret that this version cannot read')
}

function parseSealed(value: unknown): SealedRecord {
  const isSealed = isJsonObject(value) && typeof value['sealed'] === 'string'
  if (isSealed && typeof value['version'] === 'number') return value as unknown as SealedRecord
  throw new HolonError('internal', 'the state has a secret that this version cannot read')
}
