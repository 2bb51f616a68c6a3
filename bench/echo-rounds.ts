/** Round trips one after the other, in rounds: what calls over a byte stream are compared with. */
import type { Duplex } from 'node:stream'

export const callsPerRound = 5000
/** Node compiles the hot path within about 15,000 calls. */
export const warmUpRounds = 4

/** `payload` to an echo and back, again and again. */
export function rawRound(socket: Duplex, payload: Buffer): Promise<void> {
  return new Promise((resolve) => {
    let left = callsPerRound
    const onData = () => {
      if (--left > 0) return void socket.write(payload)
      socket.off('data', onData)
      resolve()
    }
    socket.on('data', onData)
    socket.write(payload)
  })
}

/** Microseconds for each of a round. */
export async function timed(round: () => Promise<void>): Promise<number> {
  const start = process.hrtime.bigint()
  await round()
  return Number(process.hrtime.bigint() - start) / 1000 / callsPerRound
}
