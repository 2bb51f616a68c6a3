/**
 * etcd's command line and environment for one member. Pure. Options that only newer or older etcds
 * know are in the environment, where an unknown one is a warning instead of the end.
 */
import { join } from 'node:path'
import { limits } from '../../base/limits.ts'
import type { ManagedEngine } from './engine-file.ts'
import type { ServiceSpec } from './service-runner.ts'

export interface MemberPaths {
  /** `<stateDir>/etcd`: data, certificates. */
  readonly dir: string
  /** Only its owner can enter it: the client socket is in there. etcd's working directory. */
  readonly socketDir: string
  readonly logDir: string
}

export interface MemberServiceOptions {
  readonly program: string
  readonly electionMs?: number
}

// A member is in touch with the leader ten times a second and votes after a second's silence.
const electionMsDefault = 1000
// Entries of raft's log kept in memory, and the most a member may be behind to catch up by them.
const snapshotCount = 10_000

/**
 * etcd takes no path for a unix socket, only "name:port", which becomes a file of that name in its
 * working directory.
 */
const clientSocket = 'client:0'

export function clientSocketPath(paths: MemberPaths): string {
  return join(paths.socketDir, clientSocket)
}

export function tlsDir(paths: MemberPaths): string {
  return join(paths.dir, 'tls')
}

export function dataPath(paths: MemberPaths, dataName: string): string {
  return join(paths.dir, dataName)
}

export function memberService(
  engine: ManagedEngine,
  paths: MemberPaths,
  options: MemberServiceOptions,
): ServiceSpec {
  const tls = tlsDir(paths)
  const electionMs = options.electionMs ?? electionMsDefault
  const peers = engine.initialCluster.map(({ machineId, peerUrl }) => `${machineId}=${peerUrl}`)
  const settings: Readonly<Record<string, string>> = {
    name: engine.machineId,
    'data-dir': dataPath(paths, engine.dataName),
    'listen-peer-urls': `https://${engine.listenPeer}`,
    'initial-advertise-peer-urls': engine.peerUrl,
    'initial-cluster': peers.join(','),
    'initial-cluster-state': engine.initialState,
    'initial-cluster-token': engine.clusterToken,
    'listen-client-urls': `unix://${clientSocket}`,
    'advertise-client-urls': `unix://${clientSocket}`,
    'peer-cert-file': join(tls, 'peer.pem'),
    'peer-key-file': join(tls, 'peer.key'),
    'peer-trusted-ca-file': join(tls, 'ca.pem'),
    'peer-client-cert-auth': 'true',
    'pre-vote': 'true',
    'heartbeat-interval': String(Math.round(electionMs / 10)),
    'election-timeout': String(electionMs),
    'snapshot-count': String(snapshotCount),
    'quota-backend-bytes': String(limits.etcdQuotaBytes),
    'max-txn-ops': String(limits.etcdTxnOperationsMax),
    'max-request-bytes': String(limits.etcdRequestBytesMax),
    logger: 'zap',
    'log-outputs': 'stderr',
    'log-level': 'info',
  }
  return {
    path: options.program,
    argv: ['etcd', ...Object.entries(settings).map(([name, value]) => `--${name}=${value}`)],
    env: {
      // The CA is for members only, so its signature says enough; with the address checked too, a
      // member behind another address than its own would be shut out.
      ETCD_EXPERIMENTAL_PEER_SKIP_CLIENT_SAN_VERIFICATION: 'true',
      // Go's collector: the store is small, a larger heap buys nothing.
      GOGC: '50',
    },
    cwd: paths.socketDir,
    // etcd 3.4 does not start where the socket of one that was killed still lies.
    removeFirst: [clientSocketPath(paths)],
    logDir: paths.logDir,
  }
}
