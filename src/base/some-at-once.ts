/**
 * Many things to do that each take a while, `count` of them at once. Begins them in their order.
 * Rejects when one does, and begins no more then by the worker that met it.
 */
export async function someAtOnce<T>(
  count: number,
  items: readonly T[],
  work: (item: T) => Promise<void>,
): Promise<void> {
  const left = items.values()
  const workers = Array.from({ length: Math.min(count, items.length) }, async () => {
    for (const item of left) await work(item)
  })
  await Promise.all(workers)
}
