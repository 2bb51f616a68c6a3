/** Changes of what is wanted of units, as they are written. */
import type { Put } from '../../state/port.ts'
import type { SpecChange } from './plan-dependencies.ts'
import { specKey, textKey } from './records.ts'

/** A text that is given again has another number. */
export async function specPuts(
  changes: readonly SpecChange[],
  textOf: (unit: string, spec: number) => Promise<string>,
): Promise<readonly Put[]> {
  const puts = changes.map(async ({ before, after, again }): Promise<readonly Put[]> => {
    const { unit, spec } = after
    const put: Put = { kind: 'put', key: specKey(unit), value: after, schema: 1 }
    if (again === undefined) return [put]
    const value = await textOf(unit, before.record.spec)
    return [put, { kind: 'put', key: textKey(unit, spec), value, schema: 1 }]
  })
  return (await Promise.all(puts)).flat()
}
