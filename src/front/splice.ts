/** Two byte streams made one: what comes on either goes to the other, until both have ended. */
import type { Duplex } from 'node:stream'

/**
 * Resolves when both are closed. The end of one direction is passed on, and the other one goes on
 * (half close); an error, or a side that is closed without an end, ends both.
 */
export function splice(a: Duplex, b: Duplex): Promise<void> {
  return new Promise((resolve) => {
    let open = 2
    const closed = (other: Duplex) => () => {
      // Closed with its end passed on, it may leave the other with something still to write.
      if (!other.writableEnded) other.destroy()
      open -= 1
      if (open === 0) resolve()
    }
    const failed = () => {
      a.destroy()
      b.destroy()
    }
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      from.on('error', failed)
      from.once('close', closed(to))
      from.pipe(to)
    }
  })
}
