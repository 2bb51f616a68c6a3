/**
 * What every keeper promises (docs/keeper.md), as one suite over a JobLauncher: real programs, real
 * directories, no agent around it.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe } from 'node:test'
import {
  type JobLauncher,
  type LauncherOptions,
  openLauncher,
} from '../../src/agent/keeper/launcher.ts'
import { assert } from '../../src/base/assert.ts'
import { deadline, withSignal } from '../../src/base/clock.ts'
import { realClock } from '../../src/io/clock.ts'
import { faultTests } from './keeper-faults.ts'
import { lifeTests } from './keeper-life.ts'
import { streamTests } from './keeper-streams.ts'
import { type Bench, start, stepMs, type Watched } from './keeper-support.ts'

export function keeperConformance(name: string, options: LauncherOptions): void {
  describe(`keeper ${name}`, { timeout: 120_000 }, () => {
    const root = mkdtempSync(join(tmpdir(), 'holon-keeper-'))
    const started: Watched[] = []
    let launcher: JobLauncher | undefined
    let count = 0
    const limit = () => deadline(realClock, stepMs)
    const bench: Bench = {
      get launcher() {
        assert(launcher !== undefined, 'tests run after before()')
        return launcher
      },
      options,
      root,
      started,
      limit,
      newDir: () => join(root, `job${++count}`),
      run: async (spec) => {
        const watched = await start(bench.launcher, spec)
        started.push(watched)
        return watched
      },
    }
    before(async () => {
      const report = (message: string) => console.error(message)
      launcher = await openLauncher({ clock: realClock, report }, options)
    })
    after(async () => {
      for (const { link } of started) {
        if (link?.state === undefined) continue
        using bound = limit()
        await link.stop('the test is over', bound).catch(() => {})
        await withSignal(link.ended, bound.signal).catch(() => {})
        link[Symbol.dispose]()
      }
      await launcher?.[Symbol.asyncDispose]()
      rmSync(root, { recursive: true, force: true })
    })
    lifeTests(bench)
    faultTests(bench)
    streamTests(bench)
  })
}
