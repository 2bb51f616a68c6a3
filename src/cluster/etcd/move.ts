/**
 * Moving the fleet's State from the machine's own store to etcd, when the first other machine is
 * invited, without losing a write and wherever it is interrupted.
 *
 * Until `engine.json` is written the machine's own store counts: what was made of the new one is
 * thrown away and made again. From then on the new one counts: what is left to do is to tidy up,
 * which the next start does too. Writes are held from before the export until after the switch.
 */
import { HolonError } from '../../base/errors.ts'
import { type CommitDeps, commit, newOperationId, update } from '../../state/commit.ts'
import type { Entry, SignalOptions, State } from '../../state/port.ts'
import { type ManagedEngine, readEngineChoice, writeEngineChoice } from './engine-file.ts'
import { engineSchema, fleetPrefix, stateCaKey } from './fleet-engine-record.ts'
import type { FleetState } from './fleet-state.ts'
import type { LocalStateMember } from './local-member.ts'
import { createStateCa, parseCertificatePair } from './peer-certificates.ts'

export interface MoveDeps extends CommitDeps {
  /** For tests: called after each step; what it throws ends the move there. */
  readonly atStep?: (step: string) => void
}

interface MoveOptions extends SignalOptions {
  readonly stateDir: string
  readonly clusterId: string
  /** Who writes: "machine ID". */
  readonly writer: string
}

export interface MoveToManaged extends MoveOptions {
  readonly member: LocalStateMember
  readonly machineId: string
  readonly peerUrl: string
  readonly listenPeer: string
  /** State on this machine's own etcd. */
  readonly openEngine: (signal: AbortSignal) => Promise<State>
}

export interface MoveToExternal extends MoveOptions {
  readonly url: string
  readonly openEngine: (url: string, signal: AbortSignal) => Promise<State>
}

/** In the new store while it is being filled, and only then: who may throw it away again. */
const movingKey = 'fleet/moving'

/**
 * Moves to an etcd that this machine runs from now on. `fleet` has the new engine afterwards. Where
 * the move was done before, it only tidies up. Idempotent; `outcome: 'none'` until the switch.
 */
export async function moveToManaged(
  deps: MoveDeps,
  fleet: FleetState,
  embedded: State,
  options: MoveToManaged,
): Promise<void> {
  if (readEngineChoice(options.stateDir).engine !== 'embedded') {
    await tidyUp(deps, fleet, embedded, options)
    return
  }
  const ca = await stateCa(deps, embedded, options)
  const engine = firstEngine(options)
  using hold = await fleet.hold('the state is being moved to etcd')
  deps.atStep?.('held')
  let target: State | undefined
  try {
    await options.member.startDraft(engine, ca, options)
    deps.atStep?.('started')
    target = await options.openEngine(options.signal)
    await fill(deps, embedded, target, options)
    options.member.adoptDraft(engine)
  } catch (error) {
    await target?.close()
    // Best effort: whatever is left is stopped and thrown away by the next attempt or start.
    await options.member.discardDraft(options).catch(() => undefined)
    throw error
  }
  deps.atStep?.('switched')
  fleet.switchTo(target)
  hold[Symbol.dispose]()
  await tidyUp(deps, fleet, embedded, options)
}

/**
 * Moves to an etcd that the user runs. `already_exists` when there is something of others under its
 * prefix. Else as above.
 */
export async function moveToExternal(
  deps: MoveDeps,
  fleet: FleetState,
  embedded: State,
  options: MoveToExternal,
): Promise<void> {
  const { stateDir, url, signal } = options
  if (readEngineChoice(stateDir).engine !== 'embedded') {
    await tidyUp(deps, fleet, embedded, options)
    return
  }
  using hold = await fleet.hold('the state is being moved to etcd')
  deps.atStep?.('held')
  const target = await options.openEngine(url, signal)
  try {
    await clearOwnDraft(deps, target, options)
    deps.atStep?.('started')
    await fill(deps, embedded, target, options)
    writeEngineChoice(stateDir, { engine: 'external', url })
  } catch (error) {
    await target.close()
    throw error
  }
  deps.atStep?.('switched')
  fleet.switchTo(target)
  hold[Symbol.dispose]()
  await tidyUp(deps, fleet, embedded, options)
}

/** Removes what a completed move left in both stores. Idempotent; also for the agent's start. */
export async function tidyUp(
  deps: MoveDeps,
  fleet: State,
  embedded: State,
  options: SignalOptions & { readonly writer: string },
): Promise<void> {
  await deleteKeys(deps, fleet, [movingKey], options)
  const { entries } = await embedded.list(fleetPrefix, options)
  await deleteKeys(
    deps,
    embedded,
    entries.map(({ key }) => key),
    options,
  )
  deps.atStep?.('tidied')
}

function firstEngine(options: MoveToManaged): ManagedEngine {
  const { clusterId, machineId, peerUrl, listenPeer } = options
  const initialCluster = [{ machineId, peerUrl }]
  const base = { engine: 'etcd', era: 1, machineId, clusterToken: `${clusterId}-1` } as const
  return { ...base, dataName: 'data-1', peerUrl, listenPeer, initialCluster, initialState: 'new' }
}

async function stateCa(deps: MoveDeps, embedded: State, options: MoveOptions) {
  const made = await createStateCa(options.clusterId, deps.clock.wallMs())
  const put = { kind: 'put', value: made, schema: engineSchema } as const
  // Made once; an earlier attempt's is kept.
  await update(
    deps,
    embedded,
    stateCaKey,
    (entry) => (entry === undefined ? put : { kind: 'keep' }),
    options,
  )
  const entry = await embedded.get(stateCaKey, options)
  return parseCertificatePair(entry?.value, stateCaKey)
}

/** Copies and reads back. */
async function fill(
  deps: MoveDeps,
  embedded: State,
  target: State,
  options: MoveOptions,
): Promise<void> {
  const { revision, entries } = await embedded.list(fleetPrefix, options)
  const moving: Entry = {
    key: movingKey,
    revision: 0,
    value: { clusterId: options.clusterId },
    schema: engineSchema,
    operationId: newOperationId(deps.random),
    writer: options.writer,
  }
  const all = [...entries, moving].sort((a, b) => (a.key < b.key ? -1 : 1))
  await target.import({ revision, entries: all }, options)
  deps.atStep?.('imported')
  const there = await target.list('', options)
  checkSame(all, there.entries)
  deps.atStep?.('verified')
}

/** Throws `internal` unless both are the same but for revisions. */
export function checkSame(wanted: readonly Entry[], there: readonly Entry[]): void {
  const plain = (entries: readonly Entry[]) =>
    JSON.stringify(
      entries
        .map(({ key, value, schema, operationId, writer }) => {
          return [key, JSON.stringify(value), schema, operationId, writer]
        })
        .sort((a, b) => (String(a[0]) < String(b[0]) ? -1 : 1)),
    )
  if (plain(wanted) === plain(there)) return
  throw new HolonError(
    'internal',
    `move the state: ${wanted.length} entries were written, but other ones are there ` +
      `(${there.length}); nothing was switched, the old state still counts`,
  )
}

async function clearOwnDraft(
  deps: MoveDeps,
  target: State,
  options: MoveToExternal,
): Promise<void> {
  const { entries } = await target.list('', options)
  if (entries.length === 0) return
  const moving = entries.find(({ key }) => key === movingKey)?.value
  const { clusterId } = options
  const ours = JSON.stringify(moving) === JSON.stringify({ clusterId })
  if (!ours) {
    throw new HolonError(
      'already_exists',
      `move the state to ${options.url}: there are ${entries.length} keys under this prefix ` +
        'already, not of this move; name another prefix, as in etcd://HOST:PORT/holon2',
    )
  }
  // The mark goes last, so that an interruption here can be told too.
  const keys = entries.map(({ key }) => key).filter((key) => key !== movingKey)
  await deleteKeys(deps, target, [...keys, movingKey], options)
}

const deletesAtOnce = 100

async function deleteKeys(
  deps: MoveDeps,
  state: State,
  keys: readonly string[],
  options: SignalOptions & { readonly writer: string },
): Promise<void> {
  for (let i = 0; i < keys.length; i += deletesAtOnce) {
    const then = keys.slice(i, i + deletesAtOnce).map((key) => ({ kind: 'delete', key }) as const)
    const operationId = newOperationId(deps.random)
    await commit(deps, state, { if: [], then, operationId, writer: options.writer }, options)
  }
}
