/**
 * Connecting to unix sockets. Apart from listening, which the CLI does not do and need not load.
 */
import { connect } from 'node:net'
import type { Duplex } from 'node:stream'
import { abortError } from '../base/clock.ts'
import { asHolonError } from '../base/errors.ts'

/**
 * Receives what a socket reads without Node's own buffering: no event, no allocation per read.
 * `buffer` is asked for before each read and is the reader's again once `chunk` has been called.
 */
export interface DirectReader {
  buffer(): Uint8Array
  /** The bytes just read, a part of the last buffer. False pauses the socket until `resume()`. */
  chunk(bytes: Buffer): boolean
}

export interface ConnectOptions {
  readonly signal: AbortSignal
  readonly reader?: DirectReader
}

/** `unref()`: no process waits for it any more, until `ref()`. */
export type UnixSocket = Duplex & { ref(): void; unref(): void }

/**
 * Connects, or throws: `not_found` (no such socket), `unavailable` (nobody listens), and others.
 */
export function connectUnix(path: string, options: ConnectOptions): Promise<UnixSocket> {
  const { signal, reader } = options
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(abortError(signal))
    const socket = connect({ path, ...(reader === undefined ? {} : { onread: direct(reader) }) })
    const onAbort = () => {
      socket.destroy()
      reject(abortError(signal))
    }
    const onError = (error: Error) => {
      signal.removeEventListener('abort', onAbort)
      reject(asHolonError(error, `connect to "${path}"`))
    }
    signal.addEventListener('abort', onAbort, { once: true })
    socket.once('error', onError)
    socket.once('connect', () => {
      signal.removeEventListener('abort', onAbort)
      socket.off('error', onError)
      resolve(socket)
    })
  })
}

function direct(reader: DirectReader) {
  return {
    buffer: () => reader.buffer(),
    callback: (count: number, bytes: Uint8Array) =>
      reader.chunk(Buffer.from(bytes.buffer, bytes.byteOffset, count)),
  }
}
