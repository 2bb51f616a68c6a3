/**
 * Entering a machine into the fleet's state: what the state has is read, a decision made, and its
 * record, its name and the spent invitation are written in one txn, which fails when any of what
 * was read has changed. So of two machines that race for one use or one name exactly one wins, and
 * the other is decided on anew.
 */
import type { Clock } from '../../base/clock.ts'
import { HolonError } from '../../base/errors.ts'
import type { Random } from '../../base/random.ts'
import { commit, newOperationId } from '../../state/commit.ts'
import type { Entry, State, Txn } from '../../state/port.ts'
import { isJsonObject, stringField } from '../fields.ts'
import { machinePrefix, namePrefix, parseMachineRecord, removedPrefix } from '../members.ts'
import { decideJoin, type JoinDecision, type JoinSituation } from './decide.ts'
import { invitePrefix, inviteSchema, parseInviteRecord } from './invites.ts'

export const machineSchema = 1
export const nameSchema = 1

export interface EnrollDeps {
  readonly clock: Clock
  readonly random: Random
  readonly state: State
  /** Who writes: "agent n1". */
  readonly writer: string
}

/** What is known before the state is asked. */
export type Applicant = Pick<
  JoinSituation,
  'request' | 'machineId' | 'publicKey' | 'remoteAddress' | 'version'
>

/** A `grant` is written when this resolves. Idempotent for one machine. */
export async function enroll(
  deps: EnrollDeps,
  applicant: Applicant,
  options: { readonly signal: AbortSignal },
): Promise<JoinDecision> {
  const { machineId, request } = applicant
  const keys = {
    invite: `${invitePrefix}${request.inviteId}`,
    record: `${machinePrefix}${machineId}`,
    removed: `${removedPrefix}${machineId}`,
    name: `${namePrefix}${request.name}`,
  }
  while (true) {
    const [invite, record, removed, name] = await Promise.all(
      [keys.invite, keys.record, keys.removed, keys.name].map((key) =>
        deps.state.get(key, options),
      ),
    )
    // It was there when the proof was checked; it goes a week after its time.
    if (invite === undefined) throw new HolonError('not_found', 'the invitation is gone')
    const decision = decideJoin({
      ...applicant,
      invite: parseInviteRecord(invite.value),
      record: record === undefined ? undefined : parseMachineRecord(record.value),
      removed: removalOf(removed),
      nameHolder: holderOf(name),
      nowMs: deps.clock.wallMs(),
    })
    if (decision.kind !== 'grant') return decision
    const txn: Txn = {
      if: [
        { key: keys.invite, revision: invite.revision },
        { key: keys.record, revision: 0 },
        { key: keys.removed, revision: 0 },
        { key: keys.name, revision: 0 },
      ],
      then: [
        { kind: 'put', key: keys.invite, value: decision.invite, schema: inviteSchema },
        { kind: 'put', key: keys.record, value: decision.record, schema: machineSchema },
        { kind: 'put', key: keys.name, value: { machineId }, schema: nameSchema },
      ],
      operationId: newOperationId(deps.random),
      writer: deps.writer,
    }
    const result = await commit(deps, deps.state, txn, options)
    if (result.kind === 'done') return decision
  }
}

function removalOf(entry: Entry | undefined): JoinSituation['removed'] {
  if (entry === undefined) return undefined
  if (!isJsonObject(entry.value)) return { atMs: 0, by: 'somebody' }
  const { atMs } = entry.value
  return {
    atMs: typeof atMs === 'number' ? atMs : 0,
    by: stringField(entry.value, 'by') ?? 'somebody',
  }
}

/** A name that cannot be read is taken. */
function holderOf(entry: Entry | undefined): string | undefined {
  if (entry === undefined) return undefined
  return (isJsonObject(entry.value) && stringField(entry.value, 'machineId')) || 'unknown'
}
