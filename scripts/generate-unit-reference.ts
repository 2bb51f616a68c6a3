/** Writes docs/units.md from the directive table. A test fails while the page is out of date. */
import { writeFileSync } from 'node:fs'
import { unitReference } from '../src/unit/reference.ts'

writeFileSync(new URL('../docs/units.md', import.meta.url), unitReference())
