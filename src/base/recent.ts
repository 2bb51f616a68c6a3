/** Something that is dear to read and asked for often: read now and then. */
import type { Clock } from './clock.ts'

/** `read`, but what it answered before while that is not older than `maxAgeMs`. */
export function recent<T>(clock: Clock, maxAgeMs: number, read: () => T): () => T {
  let last: { readonly value: T; readonly atMs: number } | undefined
  return () => {
    const nowMs = clock.nowMs()
    if (last === undefined || nowMs - last.atMs > maxAgeMs) last = { value: read(), atMs: nowMs }
    return last.value
  }
}
