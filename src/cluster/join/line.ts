/** One line from a byte stream, and one to it: all that the joining protocol needs. */
import type { Duplex } from 'node:stream'
import { abortError } from '../../base/clock.ts'
import { HolonError } from '../../base/errors.ts'
import { LineSplitter } from '../../rpc/lines.ts'

/**
 * The first line, without its newline. `unavailable` with `details.kind` 'closed' when the stream
 * ends before it is complete; `exhausted` over the bound; the signal's error. What comes after the
 * line is dropped.
 */
export function readLine(socket: Duplex, bytesMax: number, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const finish = (settle: () => void) => {
      socket.off('data', onData)
      socket.off('end', onEnd)
      socket.off('close', onEnd)
      signal.removeEventListener('abort', onAbort)
      // Else what still comes would be kept and its end not be seen.
      socket.resume()
      settle()
    }
    const splitter = new LineSplitter(bytesMax, (line) => finish(() => resolve(line)))
    const onData = (chunk: Buffer) => {
      try {
        splitter.push(chunk)
      } catch (error) {
        finish(() => reject(error))
      }
    }
    const onEnd = () => finish(() => reject(closed()))
    const onAbort = () => finish(() => reject(abortError(signal)))
    if (signal.aborted) return onAbort()
    if (socket.destroyed) return onEnd()
    signal.addEventListener('abort', onAbort, { once: true })
    socket.on('data', onData)
    socket.once('end', onEnd)
    socket.once('close', onEnd)
  })
}

function closed(): HolonError {
  return new HolonError('unavailable', 'the other side closed without an answer', {
    details: { kind: 'closed' },
  })
}
