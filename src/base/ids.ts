/** Identifiers: short, readable, safe in file names and shells. */
import type { Random } from './random.ts'

// No vowels and no look-alikes: no words by accident, nothing to misread over the telephone.
const alphabet = '23456789bcdfghjkmnpqrstvwxz'

/** `length` characters of the alphabet; 8 of them carry 38 bits, 20 carry 95. */
export function newId(random: Random, length: number): string {
  let id = ''
  while (id.length < length) {
    for (const byte of random.bytes(length * 2)) {
      // Refusing the uneven rest keeps every character equally likely.
      if (byte >= 243 || id.length === length) continue
      id += alphabet[byte % alphabet.length]
    }
  }
  return id
}
