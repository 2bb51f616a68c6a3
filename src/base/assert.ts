/**
 * Bugs, as opposed to failed operations: an assertion that fails is thrown to the top, where only
 * `main` ends the process and the service manager or the next `holon up` starts it again.
 */

export class AssertionError extends Error {
  override readonly name = 'AssertionError'
}

/** Always on. `message` says what should have held. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionError(`bug: ${message}`)
}
