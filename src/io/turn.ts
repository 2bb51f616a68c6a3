/**
 * One turn of the event loop: resolves when everything that was due, promises included, has run.
 */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
