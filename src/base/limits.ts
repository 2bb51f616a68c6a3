/**
 * Every bound of the system in one place: unit in the name, value, and why. Over a bound the answer
 * is the error `exhausted`, never a slow death. Relations between bounds are asserted below.
 */
import { assert } from './assert.ts'

export const limits = {
  /** A control message on a link; larger answers come in pages. */
  rpcFrameBytesMax: 16 * 1024 * 1024,
  /** Bytes that may wait in a link's send buffer before its peer counts as not reading. */
  rpcSendBufferBytesMax: 64 * 1024 * 1024,
  /** Calls one session may have in flight. */
  rpcCallsMax: 10_000,
  /**
   * Capabilities (units, runs, …) one session may hold at a time; each is an object in the agent.
   */
  rpcCapabilitiesMax: 10_000,
  /** Sessions on one socket. A descriptor each; Linux gives a process 1024 by default. */
  rpcSessionsMax: 512,
  /** Arguments shown of one process; Linux allows one argument 128 KiB, all together 2 MiB. */
  processArgsBytesMax: 128 * 1024,
  /** The deadline a door gives a call that names none. */
  callTimeoutMs: 30_000,
  /** Silence on a link with calls in flight until a heartbeat is sent. */
  heartbeatIntervalMs: 5_000,
  /** Silence after which a peer counts as gone. */
  heartbeatTimeoutMs: 20_000,
  /** The same between machines: a machine that says nothing for so long is lost. */
  peerHeartbeatIntervalMs: 1_000,
  peerHeartbeatTimeoutMs: 8_000,
  /** Connecting to another machine, with TLS. */
  dialTimeoutMs: 5_000,
  /** Connections that the port for other machines holds. A descriptor and about 100 KiB each. */
  portConnectionsMax: 4_096,
  /** Those of them still in their handshake; the oldest gives way. Bounds what strangers hold. */
  portHandshakesMax: 256,
  handshakeMs: 5_000,
  /** Joining and renewing at the same time, and how long each may take. */
  joinsMax: 64,
  joinMs: 10_000,
  /** A message of joining: a few certificates and the names of all machines. */
  joinMessageBytesMax: 64 * 1024,
  /** Invitations kept: also old ones, for a week, so that it can be said what they were. */
  invitesMax: 256,
  /** A certificate's life; renewed after a seventh of it. */
  certificateMs: 7 * 24 * 3600_000,
  /** How far two machines' clocks may be apart. */
  clockGraceMs: 5 * 60_000,
  /** How long a program may be connected to a relay before it says where it wants to. */
  relayWaitMs: 60_000,
  /** Links to other machines kept open. A descriptor and about 100 KiB each. */
  linksMax: 1_024,
  /** How long machines have to answer a question to all of them. */
  fanOutMs: 2_000,
  /**
   * A page of a listing on its way to who asked. Larger ones would not be quicker, and what is made
   * of a page on its way here is several times its size.
   */
  listingPageBytes: 64 * 1024,
  /**
   * What a question to all machines takes of them at a time, all together: each has one page under
   * way or waiting here, of its share of this, though not of less than the second figure.
   */
  fanOutBytes: 4 * 1024 * 1024,
  fanOutPageBytesMin: 16 * 1024,
  /** Instances of which a leader says in one answer why they wait: well below a frame. */
  waitingRowsMax: 10_000,
  /** A listing that nobody asks on is given up after this. */
  listingIdleMs: 30_000,
  /** A machine tells those that keep the state that it is alive. */
  beatIntervalMs: 500,
  /** It tells them at once when there is news, but so often at most. */
  beatNewsMs: 50,
  /** How often those look who has been silent for how long. */
  judgeIntervalMs: 250,
  /** Silence after which a machine is asked whether it is there. */
  beatAskMs: 1_000,
  /** Silence after which a machine that does not answer either is suspected to be dead. */
  beatSilenceMs: 2_000,
  /** A suspect machine is called down after this. */
  suspectMs: 30_000,
  /** A data frame on a job's byte stream. The size of a Linux pipe: one read, one frame. */
  streamFrameBytesMax: 64 * 1024,
  /** One value in State. etcd's own bound for a request is 1.5 MiB. */
  stateValueBytesMax: 1024 * 1024,
  stateKeyBytesMax: 1024,
  /** Operations in one txn. etcd's default is 128. */
  stateTxnOperationsMax: 128,
  /**
   * All of State. etcd's default quota is 2 GiB; ours is small on purpose: few, precious values.
   */
  stateBytesMax: 256 * 1024 * 1024,
  /** Keys and values of one txn together. etcd refuses requests over 1.5 MiB. */
  stateTxnBytesMax: 1280 * 1024,
  /** Operation ids remembered, so that a repeated txn is answered and not done twice. */
  stateOperationsMax: 10_000,
  /** Length of an operation id or a writer name. */
  stateNameBytesMax: 128,
  /** Txns that may wait for the disk at once; they share one sync. */
  stateQueueMax: 1000,
  /** Automatic backups kept, and how long a change waits for the next one. */
  stateBackupsMax: 3,
  stateBackupIntervalMs: 60_000,
  /** Changes a watch may fall behind before it is told to list again. */
  stateHistoryChangesMax: 10_000,
  /** The same bound in bytes, for large values. */
  stateHistoryBytesMax: 16 * 1024 * 1024,
  /** One request to etcd until another member is asked. An election takes 1 to 2 s. */
  stateAttemptMs: 2_000,
  /** How often a watch of etcd is compared with what etcd has: a silent one is found by this. */
  stateWatchCheckMs: 2_000,
  /** Bytes of one page of a listing: what is asked of etcd, or sent over a link, at a time. */
  statePageBytesMax: 2 * 1024 * 1024,
  /** A question for news of a watch, over a link, is answered after this, news or not. */
  stateWatchPollMs: 20_000,
  /**
   * etcd's own store: well above stateBytesMax, since etcd over its quota refuses deletes too; the
   * engine refuses new values long before.
   */
  etcdQuotaBytes: 2 * 1024 * 1024 * 1024,
  /**
   * Room on the disk of the only etcd, below which changes are refused: etcd allocates its log in
   * pieces of 64 MiB, and one that finds no room for a change dies and takes reading along.
   */
  etcdDiskReserveBytes: 128 * 1024 * 1024,
  /** A txn of ours with what the engine adds to it. */
  etcdTxnOperationsMax: 1024,
  /** A txn of stateTxnBytesMax, in whatever form it is carried. */
  etcdRequestBytesMax: 4 * 1024 * 1024,
  /** A member's machine is given up, and another takes its place, after this silence. */
  stateMemberSilentMs: 600_000,
  /** How often the members are looked at. */
  stateMemberIntervalMs: 5_000,
  /** Backups of the fleet's State kept on each machine that has it, and their interval. */
  fleetBackupsMax: 12,
  fleetBackupIntervalMs: 600_000,
  /** One secret: a few keys and certificates. Sealed and as text it takes a third more. */
  secretBytesMax: 64 * 1024,
  /** All credentials of one instance, as systemd bounds them: they lie in memory. */
  credentialsBytesMax: 1024 * 1024,
  /** How long the machines that have the fleet's key are asked where a copy is at hand. */
  secretAskMs: 4_000,
  unitFileBytesMax: 256 * 1024,
  /** A piece of a file in a bundle, and pieces in one call: a frame holds a third more as text. */
  bundlePieceBytes: 1024 * 1024,
  bundleCallBytes: 4 * 1024 * 1024,
  /** A bundle's list of files has to fit into a frame. */
  bundleManifestBytesMax: 3 * 1024 * 1024,
  bundleEntriesMax: 30_000,
  /** Bundles kept that nothing uses, for going back; and how long pieces may wait for theirs. */
  bundlesKept: 40,
  bundleNewMs: 3600_000,
  /** How often what nobody needs is removed. */
  bundleTidyMs: 3600_000,
  /** Asking others for a bundle, and getting all of it. */
  bundleAskMs: 3_000,
  bundleFetchMs: 10 * 60_000,
  /** Names of one unit on a shared port. */
  portHostsMax: 64,
  /** Connections on one public port, and from other machines' fronts. Two descriptors each. */
  frontConnectionsMax: 10_000,
  /** The head of a request must be there after this, and its connection ends when idle so long. */
  frontHeadersMs: 30_000,
  frontIdleMs: 65_000,
  /** How long a request waits for an instance to be ready, and how many may wait on one route. */
  frontHoldMs: 10_000,
  frontHeldMax: 5_000,
  /** Connecting to an instance; the network is one's own, and another one may be near. */
  frontConnectMs: 2_000,
  /** Fronts with connections between them ask each other so often whether they are there. */
  frontPulseMs: 500,
  /** What is under way to one that has been silent for so long is broken off. */
  frontSilenceMs: 2_500,
  /** An instance must begin its answer after this. */
  frontAnswerMs: 300_000,
  /** A question for news of what a machine serves is answered after this, news or not. */
  portPollMs: 20_000,
  /**
   * What machines said of units without a public port is asked again after this, when a name is
   * asked for: about as long as resolvers keep an answer.
   */
  namesFreshMs: 2_000,
  /** Machines have so long to say how such a unit is there: a resolver waits for 5 s in all. */
  namesAskMs: 1_000,
  /** A question for changes of a name is answered after this, changes or not. */
  namePollMs: 20_000,
  /** Names are followed in the state for so long after they were last asked for. */
  namesIdleMs: 300_000,
  /** How long a resolver may keep what our DNS says, and that there is no such name. */
  dnsTtlS: 2,
  dnsNegativeTtlS: 1,
  /** An answer over UDP that is sure to arrive, and the most that a client may ask for. */
  dnsUdpBytes: 512,
  dnsUdpBytesMax: 1_232,
  /** Questions answered at the same time, from all clients; more are dropped, or refused by TCP. */
  dnsQuestionsMax: 1_024,
  /** Those of them that wait for another server. A descriptor each. */
  dnsForwardsMax: 128,
  dnsForwardMs: 2_000,
  /** TCP connections, and how long one may be silent. */
  dnsConnectionsMax: 64,
  dnsIdleMs: 10_000,
  /** How often an instance is asked for its health, and how long it has to answer. */
  healthIntervalMs: 2_000,
  healthTimeoutMs: 5_000,
  /** Instances tried for one request. */
  frontTriesMax: 4,
  /** How long instances may have to finish what is under way. */
  drainMsMax: 60 * 60_000,
  /** Values in one list of a calendar event, as systemd bounds it. */
  calendarPartsMax: 240,
  /** How late a timer may always be and not count as missed: the fleet may be choosing a leader. */
  timerLateMsMin: 30_000,
  /** Instances of one unit on one machine. */
  unitInstancesMax: 1000,
  /** argv and environment of one job together; Linux allows about 2 MiB by default. */
  jobSpecBytesMax: 4 * 1024 * 1024,
  /** Finished detached runs whose status and output are kept. */
  finishedRunsMax: 200,
  /** A log line longer than this is written in parts (flag P), as CRI does. */
  logLineBytesMax: 16 * 1024,
  /** One log file, and how many of them an instance keeps. */
  logFileBytesMax: 8 * 1024 * 1024,
  logFilesMax: 4,
  /** The end of each instance's log that another machine has a copy of, in segments of a file. */
  keptLogBytes: 256 * 1024,
  keptLogSegmentBytes: 32 * 1024,
  /** All copies on a machine: about 800 logs. The one that grew least recently gives way. */
  keptLogsBytesMax: 256 * 1024 * 1024,
  /** Copies leave so much of the disk free: the state's engine needs it more. */
  keptLogsDiskReserveBytes: 256 * 1024 * 1024,
  /** What is new in logs is copied so often at most, in calls of so many bytes. */
  logShipIntervalMs: 1_000,
  logShipBytes: 256 * 1024,
  /** A machine sends no more for copies, however much its programs write. */
  logShipBytesPerSecond: 2 * 1024 * 1024,
  /** Who keeps the copies has so long to take some, and is asked at least so often. */
  logKeepMs: 10_000,
  logKeeperCheckMs: 10_000,
  /** Decisions kept for each unit, for `why`. */
  decisionsMax: 64,
  /** Of what was seen of machines, and wanted of them, all together. About 150 bytes each. */
  machineDecisionsMax: 256,
  /** Decisions in one answer of `events`. About 200 bytes each. */
  eventsPageMax: 1_000,
} as const

assert(
  limits.heartbeatTimeoutMs >= 3 * limits.heartbeatIntervalMs,
  'heartbeats: timeout >= 3 x interval',
)
assert(
  limits.peerHeartbeatTimeoutMs >= 3 * limits.peerHeartbeatIntervalMs,
  'heartbeats between machines: timeout >= 3 x interval',
)
assert(limits.beatSilenceMs >= 3 * limits.beatIntervalMs, 'beats: silence >= 3 x interval')
assert(
  // A page ends with the row that fills it, where JSON takes six bytes for an odd character; and
  // the whole is text in text.
  4 * (limits.listingPageBytes + 6 * limits.processArgsBytesMax) <= limits.rpcFrameBytesMax,
  'a page of a listing must fit into a frame',
)
assert(limits.stateValueBytesMax < limits.rpcFrameBytesMax, 'a value must fit into a frame')
assert(
  // As text in text, where a quote takes four bytes.
  4 * limits.bundleManifestBytesMax < limits.rpcFrameBytesMax &&
    2 * (limits.bundleCallBytes + limits.bundlePieceBytes) < limits.rpcFrameBytesMax,
  'a manifest and pieces of bundles must fit into a frame',
)
assert(2 * limits.secretBytesMax < limits.stateValueBytesMax, 'a secret must fit into a value')
assert(limits.logLineBytesMax < limits.logFileBytesMax, 'a line must fit into a log file')
assert(limits.logLineBytesMax < limits.keptLogSegmentBytes, 'a line must fit into a segment')
assert(4 * limits.logShipBytes < limits.rpcFrameBytesMax, 'pieces of logs must fit into a frame')
assert(limits.stateValueBytesMax < limits.stateTxnBytesMax, 'a value must fit into a txn')
assert(
  limits.statePageBytesMax + 2 * limits.stateValueBytesMax < limits.rpcFrameBytesMax,
  'a page of State must fit into a frame',
)
assert(
  limits.stateTxnOperationsMax < limits.stateHistoryChangesMax,
  'a txn must fit into the history',
)
