/**
 * Keys: paths of UTF-8 like `units/web.service`. No empty segment, no "." or "..", no control
 * character, so that a key can become a file name or a line of output without escaping.
 */
import { HolonError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'

/** Throws `invalid_argument`, or `exhausted` when it is too long. */
export function checkKey(key: string): void {
  checkText('key', key)
  for (const segment of key.split('/')) {
    if (segment !== '' && segment !== '.' && segment !== '..') continue
    throw invalid(`the key ${JSON.stringify(key)} has the segment ${JSON.stringify(segment)}`)
  }
}

/** Any beginning of a key, also in the middle of a segment; '' for all. */
export function checkPrefix(prefix: string): void {
  if (prefix !== '') checkText('prefix', prefix)
}

function checkText(what: string, text: string): void {
  if (typeof text !== 'string' || text === '') throw invalid(`a ${what} is a non-empty string`)
  if (!text.isWellFormed()) throw invalid(`the ${what} ${JSON.stringify(text)} is no Unicode text`)
  if (/[\x00-\x1f\x7f]/.test(text)) {
    throw invalid(`the ${what} ${JSON.stringify(text)} has a control character`)
  }
  const bytes = Buffer.byteLength(text)
  if (bytes <= limits.stateKeyBytesMax) return
  throw new HolonError(
    'exhausted',
    `the ${what} ${JSON.stringify(`${text.slice(0, 40)}…`)} has ${bytes} bytes; ` +
      `the limit is ${limits.stateKeyBytesMax}`,
    { details: { limit: 'stateKeyBytesMax', bytes } },
  )
}

function invalid(message: string): HolonError {
  return new HolonError('invalid_argument', message)
}

/** Byte order of the UTF-8 forms, which is code point order; plain `<` differs above U+FFFF. */
export function compareKeys(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i)
    const y = b.charCodeAt(i)
    if (x === y) continue
    // A surrogate stands for a code point above every other unit.
    const xHigh = x >= 0xd800 && x <= 0xdfff
    const yHigh = y >= 0xd800 && y <= 0xdfff
    if (xHigh !== yHigh) return xHigh ? 1 : -1
    return x - y
  }
  return a.length - b.length
}
