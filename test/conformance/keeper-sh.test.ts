/** The keeper suite on keeper.sh, in each shell that is here; and what only that keeper promises. */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { keeperConformance } from './keeper.ts'

const shells = [
  ['sh', ['/bin/sh']],
  ['busybox', ['/usr/bin/busybox', 'sh']],
] as const

for (const [name, shell] of shells) {
  if (!existsSync(shell[0])) continue
  keeperConformance(`keeper.sh in ${name}`, {
    sourceDir: resolve('keeper'),
    binDir: '/nonexistent',
    forceSh: true,
    shell,
  })
}
