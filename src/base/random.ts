/** Randomness as a dependency, so that a seed can stand in for it. */

export interface Random {
  /** A float in [0, 1). */
  next(): number
  /** `count` bytes fit for identifiers and secrets (from the real implementation only). */
  bytes(count: number): Uint8Array
}

/** xorshift128+ from a 32-bit seed: for tests and simulation, never for secrets. */
export function seededRandom(seed: number): Random {
  // splitmix32 spreads the seed over the state, so that neighbouring seeds differ at once.
  let s = seed >>> 0
  const split = () => {
    s = (s + 0x9e3779b9) >>> 0
    let z = s
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad)
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
    return (z ^ (z >>> 15)) >>> 0
  }
  const next = () => split() / 2 ** 32
  return {
    next,
    bytes: (count) => Uint8Array.from({ length: count }, () => Math.floor(next() * 256)),
  }
}

/** An integer in [0, bound). */
export function randomBelow(random: Random, bound: number): number {
  return Math.floor(random.next() * bound)
}
