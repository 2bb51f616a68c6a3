/**
 * A lab whose disks are in memory. Its machines would have one disk together otherwise, which
 * answers none of them for seconds when somebody writes a lot to it; real ones each have their own.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { Lab } from '../../test/lab/harness.ts'

/** `dir` is seen by all machines, and gone afterwards, as the lab is. */
export async function withMemoryLab<T>(
  count: number,
  name: string,
  work: (lab: Lab, dir: string) => Promise<T>,
): Promise<T> {
  // Below /opt: every machine has a /tmp of its own.
  const dir = mkdtempSync(`/opt/holon-${name}-`)
  const disks = join(dir, 'disks')
  mkdirSync(disks)
  execFileSync('mount', ['-t', 'tmpfs', 'holon-bench', disks])
  try {
    await using lab = await Lab.up(count, { name, dir: join(disks, 'lab') })
    return await work(lab, dir)
  } finally {
    execFileSync('umount', [disks])
    rmSync(dir, { recursive: true, force: true })
  }
}
