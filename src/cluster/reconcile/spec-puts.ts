/** Changes of what is wanted of units, as they are written. */
import type { Delete, Put } from '../../state/port.ts'
import type { SpecChange } from './plan-dependencies.ts'
import { specKey, textChanges } from './records.ts'

/** A text that is given again has another number. */
export async function specPuts(
  changes: readonly SpecChange[],
  textOf: (unit: string, spec: number) => Promise<string>,
): Promise<readonly (Put | Delete)[]> {
  const puts = changes.map(async ({ before, after, again }): Promise<readonly (Put | Delete)[]> => {
    const put: Put = { kind: 'put', key: specKey(after.unit), value: after, schema: 1 }
    if (again === undefined) return [put]
    return [put, ...textChanges(after, await textOf(after.unit, before.record.spec))]
  })
  return (await Promise.all(puts)).flat()
}
