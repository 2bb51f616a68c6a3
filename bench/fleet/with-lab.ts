/** A lab for a measurement, with a directory that all of its machines see. */
import { mkdtempSync, rmSync } from 'node:fs'
import { Lab } from '../../test/lab/harness.ts'

/** `dir` is gone afterwards, as the lab is. */
export async function withLab<T>(
  count: number,
  name: string,
  work: (lab: Lab, dir: string) => Promise<T>,
): Promise<T> {
  // Below /opt: every machine has a /tmp of its own.
  const dir = mkdtempSync(`/opt/holon-${name}-`)
  try {
    await using lab = await Lab.up(count, { name })
    return await work(lab, dir)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}
