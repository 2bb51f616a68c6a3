/** The modules that a bundle's lock file names: installed once, by npm, where the agent is. */
import { HolonError } from '../../../base/errors.ts'
import type { Bundles } from '../../../kernel/bundles.ts'
import type { Run, System } from '../../../kernel/kernel.ts'
import type { CliContext } from '../context.ts'

const lookMs = 1_000
/** Of npm's output, when it fails. */
const linesShown = 20

/** Bundles of modules by kind of machine; empty when it needs none. */
export async function installModules(
  context: CliContext,
  system: System,
  bundles: Bundles,
  bundle: string,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, string>> {
  const answer = await bundles.modules(bundle, { signal })
  if (answer.kind === 'none') return new Map()
  if (answer.kind === 'known') return new Map([[answer.platform, answer.bundle]])
  const { dir, machine, platform } = answer
  context.stderr.write(`holon: npm ci --omit=dev on ${machine} …\n`)
  const part = await system.part(machine, { signal })
  const run = await part.run(
    {
      argv: ['npm', 'ci', '--omit=dev', '--no-audit', '--no-fund'],
      env: { PATH: context.env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin', HOME: dir },
      cwd: dir,
      stdin: 'null',
      detached: true,
    },
    { signal },
  )
  await untilInstalled(context, run, signal)
  const hash = await bundles.finishModules(bundle, { signal })
  await run.remove({ signal }).catch(() => {})
  return new Map([[platform, hash]])
}

async function untilInstalled(context: CliContext, run: Run, signal: AbortSignal): Promise<void> {
  let cursor: string | undefined
  for (;;) {
    const query = { waitMs: lookMs, ...(cursor === undefined ? {} : { cursor }) }
    const page = await run.logs(query, { signal })
    cursor = page.cursor
    for (const { text } of page.entries) context.stderr.write(`  npm: ${text}\n`)
    const { state, exit } = await run.info({ signal })
    if (state === 'running' || !page.atEnd) continue
    if (exit?.code === 0) return
    const how = exit?.signal ?? (exit?.code === undefined ? 'it was lost' : `status ${exit.code}`)
    const { entries } = await run.logs({ tail: linesShown }, { signal })
    const hint = entries.length === 0 ? '; is npm installed there?' : ''
    throw new HolonError('unavailable', `npm ci failed: ${how}${hint}`, {
      details: { exitStatus: 1 },
    })
  }
}
