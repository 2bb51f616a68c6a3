/**
 * TLS between machines: connections and how to make one. TLS 1.3 only, the protocol by ALPN.
 *
 * Who the other side is, is not decided here. OpenSSL's own check of a certificate cannot be given
 * a clock nor a list of removed machines, so it is off, and a connection is worth nothing until its
 * owner has checked `peerChain`.
 *
 * Listening is in listen-tls.ts. A session is never resumed, so every connection is checked from
 * its certificate.
 */
import { X509Certificate } from 'node:crypto'
import type { Duplex } from 'node:stream'
import { connect, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls'
import { abortError } from '../base/clock.ts'
import { HolonError } from '../base/errors.ts'
import type { DirectReader } from './sockets.ts'

/** Both PEM; `cert` begins with this side's own certificate, then its issuers. */
export interface TlsCredentials {
  readonly key: string
  readonly cert: string
}

/** An encrypted byte stream. Owned by whoever gets it. */
export interface TlsConnection {
  /** An error on it that nobody listens for is not thrown: the connection just ends. */
  readonly socket: Duplex
  readonly alpn: string
  /** What the other side showed: its own certificate first; empty when it has none. Unchecked. */
  readonly peerChain: readonly X509Certificate[]
  readonly remoteAddress: string
  /** The address of this host that it began with. */
  readonly localAddress: string
  /** Bytes that only the two ends of this one connection can know (RFC 8446, 7.5). */
  exportKeyingMaterial(label: string, lengthBytes: number): Buffer
}

export interface ConnectTlsOptions {
  /** A name, an IPv4 or an IPv6 address. */
  readonly host: string
  readonly port: number
  readonly alpn: string
  /** Shown to the other side if it asks. */
  readonly credentials?: TlsCredentials
  readonly signal: AbortSignal
  /** Takes the bytes without Node's buffering; without it the socket is read as usual. */
  readonly reader?: DirectReader
  /** The other side's end leaves this side's writing open. */
  readonly allowHalfOpen?: boolean
}

/** What both sides insist on. */
export const tlsRules = {
  minVersion: 'TLSv1.3',
  maxVersion: 'TLSv1.3',
  // All three are sound; the first is the fastest for byte streams.
  ciphers: 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256',
  rejectUnauthorized: false,
} as const

/** Silence after which the kernel asks whether the other side is there. */
export const keepAliveMs = 15_000

/**
 * Connects, or throws `unavailable`: nobody listens, nobody answers, or what answers does not speak
 * this protocol (then not retryable, and `details.kind` is 'tls').
 */
export function connectTls(options: ConnectTlsOptions): Promise<TlsConnection> {
  const { host, port, alpn, credentials, signal, reader, allowHalfOpen = false } = options
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(abortError(signal))
    const socket = connect({
      ...tlsRules,
      secureContext: contextOf(credentials),
      host,
      port,
      ALPNProtocols: [alpn],
      // A server of ours has one certificate, whatever it is called.
      servername: '',
      // Documented, and not in its types.
      ...({ allowHalfOpen } as object),
      ...(reader === undefined ? {} : { onread: direct(reader) }),
    })
    socket.setNoDelay(true)
    socket.setKeepAlive(true, keepAliveMs)
    const fail = (error: unknown) => {
      signal.removeEventListener('abort', onAbort)
      socket.destroy()
      reject(error)
    }
    const onAbort = () => fail(abortError(signal))
    signal.addEventListener('abort', onAbort, { once: true })
    // It stays: an error after this is the end of the stream, and no reason to end the process.
    socket.on('error', (error) => fail(connectError(error, host, port)))
    socket.once('close', () => fail(closedEarly(host, port)))
    socket.once('secureConnect', () => {
      if (socket.alpnProtocol !== alpn) return fail(wrongProtocol(host, port, alpn))
      signal.removeEventListener('abort', onAbort)
      resolve(connectionOf(socket, alpn))
    })
  })
}

const contexts = new WeakMap<TlsCredentials, SecureContext>()
const noCredentials: TlsCredentials = { key: '', cert: '' }

/** Once for the same object: keys are parsed for each, and its memory is slow to come back. */
function contextOf(credentials: TlsCredentials = noCredentials): SecureContext {
  const known = contexts.get(credentials)
  if (known !== undefined) return known
  const context = createSecureContext({
    ...tlsRules,
    ...(credentials === noCredentials ? {} : credentials),
  })
  contexts.set(credentials, context)
  return context
}

function direct(reader: DirectReader) {
  return {
    buffer: () => reader.buffer(),
    callback: (count: number, bytes: Uint8Array) =>
      reader.chunk(Buffer.from(bytes.buffer, bytes.byteOffset, count)),
  }
}

/** A finished handshake. */
export function connectionOf(socket: TLSSocket, alpn: string): TlsConnection {
  const peerChain = chainOf(socket)
  return {
    socket,
    alpn,
    peerChain,
    remoteAddress: plainAddress(socket.remoteAddress ?? ''),
    localAddress: plainAddress(socket.localAddress ?? ''),
    exportKeyingMaterial: (label, lengthBytes) =>
      socket.exportKeyingMaterial(lengthBytes, label, Buffer.alloc(0)),
  }
}

/**
 * By way of their bytes: Node 24's getPeerX509Certificate() keeps 10 KB for ever with each call,
 * and strangers would have us call it.
 */
function chainOf(socket: TLSSocket): readonly X509Certificate[] {
  const chain: X509Certificate[] = []
  let next: Shown | undefined = socket.getPeerCertificate(true)
  // Without a certificate it is an empty object; a self-signed one is named as its own issuer.
  while (next?.raw !== undefined && chain.length < chainLengthMax) {
    chain.push(new X509Certificate(next.raw))
    next = next.issuerCertificate === next ? undefined : next.issuerCertificate
  }
  return chain
}

interface Shown {
  readonly raw?: Buffer
  readonly issuerCertificate?: Shown
}

/** A machine's, its CA's, and room for what a later version may need. */
const chainLengthMax = 4

/** IPv4 as it is written, also where the socket is an IPv6 one. */
function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/, '')
}

const tlsDetails = { retryable: false, details: { kind: 'tls' } } as const

function connectError(error: Error, host: string, port: number): HolonError {
  const action = `connect to "${host}" port ${port}`
  const code = String((error as { code?: unknown }).code)
  if (code === 'EPROTO' || code.startsWith('ERR_SSL_') || code.startsWith('ERR_TLS_'))
    return new HolonError(
      'unavailable',
      `${action}: what answers there is no Holon agent, or speaks another version (${code})`,
      { ...tlsDetails, cause: error },
    )
  return new HolonError('unavailable', `${action}: ${error.message}`, {
    cause: error,
    details: { errno: code },
  })
}

function wrongProtocol(host: string, port: number, alpn: string): HolonError {
  return new HolonError(
    'unavailable',
    `connect to "${host}" port ${port}: what answers there does not speak "${alpn}"`,
    tlsDetails,
  )
}

function closedEarly(host: string, port: number): HolonError {
  return new HolonError('unavailable', `connect to "${host}" port ${port}: it was closed at once`)
}
