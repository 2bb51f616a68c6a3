/**
 * `<stateDir>/engine.json`: which engine holds the fleet's State for this machine. Replaced as a
 * whole and synced, so it is the one switch of moving, joining, restoring: whatever was prepared
 * before it is written does not count, whatever it names does.
 *
 * No file: the fleet's State, if there is one at all, is in the machine's own store.
 */
import { join } from 'node:path'
import { HolonError } from '../../base/errors.ts'
import { readTextIfThere } from '../../io/files.ts'
import { makePrivateDir, writeDurablySync } from '../../io/state-files.ts'
import { isJsonObject, type JsonObject, stringField } from '../fields.ts'

export interface PeerAddress {
  readonly machineId: string
  /** "https://10.77.0.1:4657" */
  readonly peerUrl: string
}

/** What this machine's etcd is; with its data directory in place only `peerUrl` still matters. */
export interface ManagedEngine {
  readonly engine: 'etcd'
  /** Counts restores, from 1. A member of a lower era is of the past and must not be used. */
  readonly era: number
  readonly machineId: string
  readonly clusterToken: string
  /** Below `<stateDir>/etcd`. Never used for another member. */
  readonly dataName: string
  /** Undefined for the first member of an era. */
  readonly memberId?: string
  readonly peerUrl: string
  /** "0.0.0.0:4657" */
  readonly listenPeer: string
  /** Members to begin with, itself included. */
  readonly initialCluster: readonly PeerAddress[]
  readonly initialState: 'new' | 'existing'
}

export type EngineChoice =
  | { readonly engine: 'embedded' }
  | ManagedEngine
  /** An etcd that the user runs. */
  | { readonly engine: 'external'; readonly url: string }
  /** Other machines keep it: over a link. `era`: of the newest known. */
  | { readonly engine: 'link'; readonly era: number }

const schema = 1

export function engineFilePath(stateDir: string): string {
  return join(stateDir, 'engine.json')
}

/** Throws `internal` for what cannot be understood: guessing could bring back an old State. */
export function readEngineChoice(stateDir: string): EngineChoice {
  const path = engineFilePath(stateDir)
  const text = readTextIfThere(path)
  if (text === undefined) return { engine: 'embedded' }
  const choice = parseChoice(text)
  if (choice === undefined) {
    throw new HolonError(
      'internal',
      `"${path}" does not say where the fleet's state is (a newer Holon may have written it); ` +
        'nothing was changed: run that Holon, or `holon state restore --fleet`',
      { details: { kind: 'state_damaged', path } },
    )
  }
  return choice
}

/** Durable when it returns. */
export function writeEngineChoice(stateDir: string, choice: EngineChoice): void {
  makePrivateDir(stateDir)
  writeDurablySync(engineFilePath(stateDir), `${JSON.stringify({ schema, ...choice })}\n`)
}

function parseChoice(text: string): EngineChoice | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  if (!isJsonObject(value) || value['schema'] !== schema) return undefined
  const { era } = value
  switch (value['engine']) {
    case 'embedded':
      return { engine: 'embedded' }
    case 'link':
      return typeof era === 'number' ? { engine: 'link', era } : undefined
    case 'external': {
      const url = stringField(value, 'url')
      return url === undefined ? undefined : { engine: 'external', url }
    }
    case 'etcd':
      return parseManaged(value)
    default:
      return undefined
  }
}

function parseManaged(value: JsonObject): ManagedEngine | undefined {
  const { era, initialState } = value
  const machineId = stringField(value, 'machineId')
  const listenPeer = stringField(value, 'listenPeer')
  const clusterToken = stringField(value, 'clusterToken')
  const dataName = stringField(value, 'dataName')
  const memberId = stringField(value, 'memberId')
  const peerUrl = stringField(value, 'peerUrl')
  const initialCluster = parsePeers(value['initialCluster'])
  if (typeof era !== 'number' || !Number.isSafeInteger(era) || era < 1) return undefined
  if (initialState !== 'new' && initialState !== 'existing') return undefined
  if (machineId === undefined || listenPeer === undefined) return undefined
  if (clusterToken === undefined || dataName === undefined || peerUrl === undefined) {
    return undefined
  }
  if (!/^data-[a-z0-9-]+$/.test(dataName) || initialCluster === undefined) return undefined
  const first = { engine: 'etcd', era, machineId, clusterToken, dataName } as const
  const all: ManagedEngine = { ...first, peerUrl, listenPeer, initialCluster, initialState }
  return memberId === undefined ? all : { ...all, memberId }
}

export function parsePeers(value: unknown): readonly PeerAddress[] | undefined {
  if (!Array.isArray(value)) return undefined
  const peers: PeerAddress[] = []
  for (const each of value) {
    if (!isJsonObject(each)) return undefined
    const machineId = stringField(each, 'machineId')
    const peerUrl = stringField(each, 'peerUrl')
    if (machineId === undefined || peerUrl === undefined) return undefined
    peers.push({ machineId, peerUrl })
  }
  return peers
}
