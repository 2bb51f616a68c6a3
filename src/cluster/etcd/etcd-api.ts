/**
 * The few answers of etcd's cluster and maintenance calls that running it needs, parsed. Ids are
 * decimal strings: they do not fit into a number.
 */
import { HolonError } from '../../base/errors.ts'
import type { SignalOptions } from '../../state/port.ts'
import { isJsonObject, type JsonObject, stringField, stringsField } from '../fields.ts'

/** What is used of the engine's client: `EtcdClient` of src/state/etcd. */
export interface EtcdApi {
  post(
    path: string,
    body: unknown,
    options: SignalOptions & { readonly leaderless?: boolean },
  ): Promise<unknown>
}

export interface EtcdMemberInfo {
  readonly memberId: string
  /** The machine's id; '' until it started for the first time. */
  readonly name: string
  readonly peerUrls: readonly string[]
  readonly learner: boolean
}

export interface EtcdStatus {
  readonly memberId: string
  /** '0' while there is none. */
  readonly leaderId: string
  readonly learner: boolean
  readonly appliedIndex: number
  readonly version: string
  readonly errors: readonly string[]
}

/** As this etcd knows it; after a linearizable read, as of then. */
export async function memberList(
  api: EtcdApi,
  options: SignalOptions,
): Promise<readonly EtcdMemberInfo[]> {
  const answer = object(await api.post('cluster/member/list', {}, options), 'member list')
  return members(answer)
}

/** Of the etcd that answers. */
export async function etcdStatus(api: EtcdApi, options: SignalOptions): Promise<EtcdStatus> {
  const asked = await api.post('maintenance/status', {}, { ...options, leaderless: true })
  const answer = object(asked, 'status')
  const header = object(answer['header'], 'status')
  return {
    memberId: stringField(header, 'member_id') ?? '0',
    leaderId: stringField(answer, 'leader') ?? '0',
    learner: answer['isLearner'] === true,
    appliedIndex: Number(stringField(answer, 'raftAppliedIndex') ?? 0),
    version: stringField(answer, 'version') ?? '',
    errors: stringsField(answer, 'errors') ?? [],
  }
}

/** The new member's id. Fails when one with this URL exists, when unhealthy, without quorum. */
export async function addLearner(
  api: EtcdApi,
  peerUrl: string,
  options: SignalOptions,
): Promise<string> {
  const body = { peerURLs: [peerUrl], isLearner: true }
  const answer = object(await api.post('cluster/member/add', body, options), 'member add')
  const id = stringField(object(answer['member'], 'member add'), 'ID')
  if (id === undefined) throw unreadable('member add', answer)
  return id
}

export async function promoteLearner(
  api: EtcdApi,
  memberId: string,
  options: SignalOptions,
): Promise<void> {
  await api.post('cluster/member/promote', { ID: memberId }, options)
}

export async function removeMember(
  api: EtcdApi,
  memberId: string,
  options: SignalOptions,
): Promise<void> {
  await api.post('cluster/member/remove', { ID: memberId }, options)
}

export async function updateMember(
  api: EtcdApi,
  memberId: string,
  peerUrl: string,
  options: SignalOptions,
): Promise<void> {
  await api.post('cluster/member/update', { ID: memberId, peerURLs: [peerUrl] }, options)
}

function members(answer: JsonObject): readonly EtcdMemberInfo[] {
  const list = answer['members']
  if (!Array.isArray(list)) throw unreadable('member list', answer)
  return list.map((each: unknown) => {
    const member = object(each, 'member list')
    return {
      memberId: stringField(member, 'ID') ?? '0',
      name: stringField(member, 'name') ?? '',
      peerUrls: stringsField(member, 'peerURLs') ?? [],
      learner: member['isLearner'] === true,
    }
  })
}

function object(value: unknown, call: string): JsonObject {
  if (!isJsonObject(value)) throw unreadable(call, value)
  return value
}

function unreadable(call: string, value: unknown): HolonError {
  return new HolonError('internal', `etcd ${call}: no such answer: ${JSON.stringify(value)}`)
}
