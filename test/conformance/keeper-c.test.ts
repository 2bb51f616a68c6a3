/** The keeper suite on the compiled keeper; without a C compiler it is skipped, with the reason. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, test } from 'node:test'
import { buildKeeper } from '../../src/io/keeper-build.ts'
import { keeperConformance } from './keeper.ts'

const binDir = mkdtempSync(join(tmpdir(), 'holon-bin-'))
after(() => rmSync(binDir, { recursive: true, force: true }))
const sourceDir = resolve('keeper')
const build = await buildKeeper({ sourceDir, binDir })

if (build.kind === 'sh') {
  test('compiled keeper', { skip: build.reason }, () => {})
} else {
  keeperConformance('compiled', { sourceDir, binDir })
}
