/** The bounds of a link, taken from base/limits.ts; tests pass smaller ones. */
import { limits } from '../base/limits.ts'

export interface RpcLimits {
  readonly frameBytesMax: number
  readonly sendBufferBytesMax: number
  /** Calls in flight on one link. */
  readonly callsMax: number
  /** Capabilities that one link may hold at a time. */
  readonly capabilitiesMax: number
  /** Links to one listener. */
  readonly sessionsMax: number
  /** For calls whose signal has no deadline. */
  readonly callTimeoutMs: number
  readonly heartbeatIntervalMs: number
  readonly heartbeatTimeoutMs: number
}

export const rpcLimits: RpcLimits = {
  frameBytesMax: limits.rpcFrameBytesMax,
  sendBufferBytesMax: limits.rpcSendBufferBytesMax,
  callsMax: limits.rpcCallsMax,
  capabilitiesMax: limits.rpcCapabilitiesMax,
  sessionsMax: limits.rpcSessionsMax,
  callTimeoutMs: limits.callTimeoutMs,
  heartbeatIntervalMs: limits.heartbeatIntervalMs,
  heartbeatTimeoutMs: limits.heartbeatTimeoutMs,
}

/** Room that a message's own syntax may take beside the JSON text it carries. */
const envelopeBytes = 512

/** Whether `json` fits into a message, where it is a JSON string once more. */
export function fitsIntoFrame(json: string, frameBytesMax: number): boolean {
  const room = frameBytesMax - envelopeBytes
  // A UTF-16 unit takes at most three bytes there; only what may be too long is measured.
  return json.length * 3 <= room || Buffer.byteLength(JSON.stringify(json)) <= room
}
