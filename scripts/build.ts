/**
 * Bundles the entry points into dist/, which is replaced as a whole at the end, so that commands can
 * go on meanwhile: the CLI, the agent and the front as one file each (one read, one compile, cached
 * code), the SDK and the simulation as modules with their types. `holon up` and `npm pack` call it.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const version = (
  JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
).version

const common = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  target: 'node24',
  minify: true,
  keepNames: true,
  sourcemap: false,
  legalComments: 'none',
  logLevel: 'warning',
  define: { HOLON_VERSION: JSON.stringify(version) },
} as const

/**
 * For what runs on the pinned Node, which knows `using`. esbuild's own translation of it is wrong in
 * a loop: once a round has thrown, each later one throws that same error at its end, whatever it did.
 * So there is no `using` in a loop in the modules, which older Nodes run too.
 */
const pinned = { ...common, supported: { using: true } } as const

const out = join(root, `dist.${process.pid}`)
rmSync(out, { recursive: true, force: true })
await Promise.all([
  build({
    ...pinned,
    entryPoints: ['src/agent/main.ts'],
    outfile: join(out, 'agent.cjs'),
    format: 'cjs',
  }),
  build({
    ...pinned,
    entryPoints: ['src/front/main.ts'],
    outfile: join(out, 'front.cjs'),
    format: 'cjs',
  }),
  build({
    ...common,
    entryPoints: ['src/doors/sdk/index.ts'],
    outfile: join(out, 'sdk.js'),
    format: 'esm',
  }),
  build({
    ...common,
    entryPoints: ['src/sim/index.ts'],
    outfile: join(out, 'sim.js'),
    format: 'esm',
  }),
])
if (process.argv.includes('--types')) {
  execFileSync(
    join(root, 'node_modules/.bin/tsc'),
    ['-p', 'tsconfig.types.json', '--outDir', join(out, 'types')],
    {
      cwd: root,
      stdio: 'inherit',
    },
  )
}

await build({
  ...pinned,
  entryPoints: ['src/doors/cli/program.ts'],
  outfile: join(out, 'program.cjs'),
  format: 'cjs',
  // A plain require(): import() would start Node's module loader for it, which takes 3 ms.
  supported: { ...pinned.supported, 'dynamic-import': false },
})
await build({
  ...pinned,
  entryPoints: ['src/doors/cli/main.ts'],
  outfile: join(out, 'cli.cjs'),
  format: 'cjs',
  define: { ...pinned.define, 'import.meta.dirname': '__dirname' },
})

const dist = join(root, 'dist')
const old = `${out}.old`
if (existsSync(dist)) renameSync(dist, old)
renameSync(out, dist)
rmSync(old, { recursive: true, force: true })
