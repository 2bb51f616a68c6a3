/**
 * The key pair for which the fleet's secrets are sealed. Its public half lies open in State. Of its
 * private half State has copies, each sealed for the own key of one machine that keeps the state.
 * So what is read from etcd's files, a backup or a watch opens nothing without the key file of such
 * a machine.
 *
 *     secret/key      { publicKey, copies: { <machineId>: sealed } }
 *
 * The pair is made with the first secret, wherever that is set, and its private half forgotten at
 * once. A machine that begins to keep the state is given its copy by one that has one (`share`).
 * Copies of machines that stopped keeping it stay, for backups that they may be asked to restore;
 * those of machines that left the fleet go.
 */
import type { Clock } from '../../base/clock.ts'
import { HolonError } from '../../base/errors.ts'
import type { Random } from '../../base/random.ts'
import { patiently, update } from '../../state/commit.ts'
import type { Entry, SignalOptions, State } from '../../state/port.ts'
import { isJsonObject, stringField, stringMapField } from '../fields.ts'
import { type MachineKey, newKeyPair } from '../identity/machine-key.ts'
import { type MachineRecord, machinePrefix } from '../members.ts'
import { seal, unseal } from './seal.ts'

export interface FleetKeyDeps {
  readonly clock: Clock
  readonly random: Random
  readonly state: State
  readonly writer: string
  /** This machine's own. */
  readonly key: MachineKey
  readonly machines: () => readonly MachineRecord[]
  readonly keepers: () => readonly string[]
}

interface KeyRecord {
  readonly publicKey: string
  readonly copies: Readonly<Record<string, string>>
}

export const fleetKeyKey = 'secret/key'
const contextOf = (machineId: string) => `key of the fleet for ${machineId}`
const patienceMs = 6_000

export class FleetKey {
  readonly #deps: FleetKeyDeps

  constructor(deps: FleetKeyDeps) {
    this.#deps = deps
  }

  /** SPKI, base64. The pair is made when there is none. */
  async publicKey(signal: AbortSignal): Promise<string> {
    const there = await this.#read(signal)
    if (there !== undefined) return there.publicKey
    const { publicKey, keyPem } = newKeyPair()
    const made = { publicKey, copies: this.#copies(keyPem) }
    if (Object.keys(made.copies).length === 0) {
      throw new HolonError('unavailable', 'no machine that keeps the state is known yet')
    }
    await this.#change((before) => before ?? made, { signal })
    return (await this.#read(signal))?.publicKey ?? publicKey
  }

  /** The private half, PKCS8 PEM; undefined where this machine has no copy. A secret. */
  async keyPem(signal: AbortSignal): Promise<string | undefined> {
    const sealed = (await this.#read(signal))?.copies[this.#deps.key.machineId]
    return sealed === undefined ? undefined : this.#openCopy(sealed)
  }

  /** Which machines have a copy, by name. */
  async holders(signal: AbortSignal): Promise<readonly string[]> {
    const { copies = {} } = (await this.#read(signal)) ?? {}
    const holders = this.#deps.machines().filter(({ machineId }) => machineId in copies)
    return holders.map(({ name }) => name)
  }

  /** Brings the copies in line with who keeps the state. For a machine that has one; idempotent. */
  async share(signal: AbortSignal): Promise<void> {
    const { copies = {} } = (await this.#read(signal)) ?? {}
    const gone = await this.#gone(Object.keys(copies), signal)
    const members = new Set(this.#deps.machines().map(({ machineId }) => machineId))
    await this.#change(
      (before) => {
        const own = before?.copies[this.#deps.key.machineId]
        if (before === undefined || own === undefined) return before
        const kept = Object.entries(before.copies).filter(([id]) => !gone.has(id))
        const isMissing = (id: string) => members.has(id) && before.copies[id] === undefined
        const isSame = kept.length === Object.keys(before.copies).length
        if (isSame && !this.#deps.keepers().some(isMissing)) return before
        const all = { ...this.#copies(this.#openCopy(own)), ...Object.fromEntries(kept) }
        return { ...before, copies: all }
      },
      { signal },
    )
  }

  /** Those that are not in the fleet. What this machine knows of it may be old: State is asked. */
  async #gone(ids: readonly string[], signal: AbortSignal): Promise<ReadonlySet<string>> {
    const { key, machines, state } = this.#deps
    const known = new Set([key.machineId, ...machines().map(({ machineId }) => machineId)])
    const gone = new Set<string>()
    for (const id of ids.filter((each) => !known.has(each))) {
      if ((await state.get(`${machinePrefix}${id}`, { signal })) === undefined) gone.add(id)
    }
    return gone
  }

  /** A copy for each machine that keeps the state. */
  #copies(keyPem: string): Readonly<Record<string, string>> {
    const keepers = new Set(this.#deps.keepers())
    const receivers = this.#deps.machines().filter(({ machineId }) => keepers.has(machineId))
    const bytes = Buffer.from(keyPem)
    return Object.fromEntries(
      receivers.map(({ machineId, publicKey }) => [
        machineId,
        seal(publicKey, bytes, contextOf(machineId)),
      ]),
    )
  }

  #openCopy(sealed: string): string {
    const { keyPem, machineId } = this.#deps.key
    return unseal(keyPem, sealed, contextOf(machineId)).toString()
  }

  async #read(signal: AbortSignal): Promise<KeyRecord | undefined> {
    const { clock, state } = this.#deps
    const read = (limit: AbortSignal) => state.get(fleetKeyKey, { signal: limit })
    return parseKey(await patiently(clock, patienceMs, signal, read))
  }

  async #change(
    change: (before: KeyRecord | undefined) => KeyRecord | undefined,
    { signal }: SignalOptions,
  ): Promise<void> {
    const { clock, random, state, writer } = this.#deps
    await update(
      { clock, random },
      state,
      fleetKeyKey,
      (entry) => {
        const before = parseKey(entry)
        const value = change(before)
        return value === before ? { kind: 'keep' } : { kind: 'put', value, schema: 1 }
      },
      { signal, writer },
    )
  }
}

function parseKey(entry: Entry | undefined): KeyRecord | undefined {
  if (entry === undefined) return undefined
  if (isJsonObject(entry.value)) {
    const publicKey = stringField(entry.value, 'publicKey')
    const copies = stringMapField(entry.value, 'copies')
    if (publicKey !== undefined && copies !== undefined) return { publicKey, copies }
  }
  throw new HolonError('internal', 'the state has a key for secrets that this version cannot read')
}
