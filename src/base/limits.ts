/**
 * Every bound of the system in one place: unit in the name, value, and why. Over a bound the answer
 * is the error `exhausted`, never a slow death. Relations between bounds are asserted below.
 */
import { assert } from './assert.ts'

export const limits = {
  /** A control message on a link. 16 MiB holds a table of 32,000 processes. */
  rpcFrameBytesMax: 16 * 1024 * 1024,
  /** Bytes that may wait in a link's send buffer before its peer counts as not reading. */
  rpcSendBufferBytesMax: 64 * 1024 * 1024,
  /** Calls one session may have in flight. */
  rpcCallsMax: 10_000,
  /** The deadline a door gives a call that names none. */
  callTimeoutMs: 30_000,
  /** Silence on a link with calls in flight until a heartbeat is sent. */
  heartbeatIntervalMs: 5_000,
  /** Silence after which a peer counts as gone. */
  heartbeatTimeoutMs: 20_000,
  /** A data frame on a job's byte stream. The size of a Linux pipe: one read, one frame. */
  streamFrameBytesMax: 64 * 1024,
  /** One value in State. etcd's own bound for a request is 1.5 MiB. */
  stateValueBytesMax: 1024 * 1024,
  stateKeyBytesMax: 1024,
  /** Operations in one txn. etcd's default is 128. */
  stateTxnOperationsMax: 128,
  /** All of State. etcd's default quota is 2 GiB; ours is small on purpose: few, precious values. */
  stateBytesMax: 256 * 1024 * 1024,
  /** Changes a watch may fall behind before it is told to list again. */
  stateHistoryChangesMax: 10_000,
  unitFileBytesMax: 256 * 1024,
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
  /** Decisions kept for each unit, for `why`. */
  decisionsMax: 64,
} as const

assert(
  limits.heartbeatTimeoutMs >= 3 * limits.heartbeatIntervalMs,
  'heartbeats: timeout >= 3 x interval',
)
assert(limits.stateValueBytesMax < limits.rpcFrameBytesMax, 'a value must fit into a frame')
assert(limits.logLineBytesMax < limits.logFileBytesMax, 'a line must fit into a log file')
