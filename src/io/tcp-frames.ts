/** Messages over TCP, each after its length in two bytes, as DNS has them. */
import type { TcpSocket } from './tcp.ts'

export interface FrameBounds {
  readonly bytesMax: number
  /** A connection on which nothing moves for so long ends. */
  readonly idleMs: number
}

/** One message after the other, until the other side ends; longer ones end the connection. */
export async function* readFrames(
  socket: TcpSocket,
  { bytesMax, idleMs }: FrameBounds,
): AsyncGenerator<Buffer> {
  socket.setTimeout(idleMs, () => socket.destroy())
  // Read from below, too, where that is how a broken connection shows.
  socket.on('error', () => {})
  let held: Buffer = Buffer.alloc(0)
  for await (const chunk of socket) {
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk])
    while (held.length >= 2) {
      const end = 2 + held.readUInt16BE()
      if (end > 2 + bytesMax) return void socket.destroy()
      if (held.length < end) break
      yield held.subarray(2, end)
      held = held.subarray(end)
    }
  }
}

/** Resolves when there is room for another one, or the connection is gone. */
export function writeFrame(socket: TcpSocket, message: Uint8Array): Promise<void> {
  const frame = Buffer.alloc(2 + message.length)
  frame.writeUInt16BE(message.length)
  frame.set(message, 2)
  return new Promise((resolve) => {
    if (socket.destroyed) return resolve()
    socket.once('close', resolve)
    socket.write(frame, () => {
      socket.off('close', resolve)
      resolve()
    })
  })
}
