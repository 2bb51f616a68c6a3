/** Randomness from the kernel. */
import { randomBytes } from 'node:crypto'
import type { Random } from '../base/random.ts'

export const realRandom: Random = {
  next: () => randomBytes(6).readUIntBE(0, 6) / 2 ** 48,
  bytes: (count) => randomBytes(count),
}
