/**
 * The structure test: what the house style says about imports, sizes and side effects, enforced. An
 * exception is listed here with its reason, so that each is a decision.
 */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..')

/** Lower may not import higher. Folders on one line do not import each other. */
const layers: readonly (readonly string[])[] = [
  ['base'],
  ['io'],
  ['state', 'rpc', 'unit', 'lab', 'bundles'],
  ['sched'],
  ['cluster'],
  ['front'],
  ['agent'],
  ['sim'],
  ['doors/sdk', 'doors/dns'],
  ['doors/cli'],
]
/** Interfaces and plain values: anyone may import them as types; they import types only. */
const kernel = 'kernel'

const filesLongerThan500: ReadonlyMap<string, string> = new Map()

const banned: readonly (readonly [RegExp, string])[] = [
  [/\bDate\.now\b|\bnew Date\(\)/, 'the wall clock: take a Clock'],
  [/\bperformance\./, 'the monotonic clock: take a Clock'],
  [/\bMath\.random\b|\bcrypto\.random|\brandomBytes\b|\brandomUUID\b/, 'randomness: take a Random'],
  [/\bset(Timeout|Interval|Immediate)\(/, 'timers: take a Clock'],
  [/AbortSignal\.timeout/, 'timers: use deadline()'],
  [/\bprocess\.env\b/, 'the environment: take a Host'],
  [/(?<![\w.#])fetch\(/, 'the network: go through io/'],
  [
    /from 'node:(net|fs|child_process|http|https|tls|dgram|worker_threads)(\/promises)?'/,
    'go through io/',
  ],
]
/** Processes of their own. */
const mains: ReadonlySet<string> = new Set(['agent/main.ts', 'front/main.ts'])
/** Where a ban does not hold, and why. */
const excused: ReadonlyMap<string, string> = new Map()

interface Source {
  readonly path: string
  readonly folder: string
  readonly text: string
  readonly lines: readonly string[]
}

const sources: readonly Source[] = readdirSync(join(root, 'src'), { recursive: true })
  .map(String)
  .filter((path) => path.endsWith('.ts'))
  .sort()
  .map((path) => {
    const text = readFileSync(join(root, 'src', path), 'utf8')
    return { path, folder: folderOf(path), text, lines: text.split('\n') }
  })

function folderOf(path: string): string {
  const [first = '', second = ''] = path.split('/')
  return first === 'doors' ? `${first}/${second}` : first
}

function layerOf(folder: string): number {
  return layers.findIndex((layer) => layer.includes(folder))
}

/** Good enough for the patterns here: no string of ours holds a comment's beginning. */
const withoutComment = (line: string) => line.replace(/\/\/.*|^\s*\/?\*.*/, '')
const isTest = (path: string) => path.endsWith('.test.ts')

test('every source file is in a known folder and begins with a comment that says what it is', () => {
  for (const { path, folder, text } of sources) {
    assert.ok(folder === kernel || layerOf(folder) >= 0, `src/${path}: in no known folder`)
    if (isTest(path)) continue
    assert.match(text, /^\/\*\*/, `src/${path}: no header comment`)
  }
})

test('imports run downward only', () => {
  for (const { path, folder, text } of sources) {
    // A process is put together from all that is in it, doors included; nothing imports it.
    if (mains.has(path)) continue
    for (const match of text.matchAll(/^(import|export)( type)?[^;'"]*?from '(\.[^']+)'/gms)) {
      const typeOnly = match[2] !== undefined
      const target = relative(
        join(root, 'src'),
        resolve(root, 'src', dirname(path), match[3] ?? ''),
      )
      const to = folderOf(target)
      if (to === folder) continue
      if (to === kernel) {
        assert.ok(typeOnly, `src/${path}: imports ${target} as more than a type`)
        continue
      }
      if (folder === kernel) {
        assert.ok(typeOnly && to === 'base', `src/${path}: the kernel is types, of base only`)
        continue
      }
      assert.ok(layerOf(to) < layerOf(folder), `src/${path}: imports upward: ${target}`)
    }
  }
})

test('clocks, randomness, environment, files and sockets are touched in src/io only', () => {
  for (const { path, folder, lines } of sources) {
    if (folder === 'io' || isTest(path)) continue
    lines.forEach((line, index) => {
      const code = withoutComment(line)
      for (const [pattern, why] of banned) {
        if (excused.has(`${path} ${pattern.source}`)) continue
        assert.doesNotMatch(code, pattern, `src/${path}:${index + 1}: ${why}`)
      }
    })
  }
})

test('process.exit is called in src/doors/cli and by mains only', () => {
  for (const { path, folder, text } of sources) {
    if (folder === 'doors/cli' || mains.has(path) || isTest(path)) continue
    assert.doesNotMatch(text, /\bprocess\.exit\(/, `src/${path}`)
  }
})

test('no file is longer than 500 lines, no line than 100 columns', () => {
  for (const { path, lines } of sources) {
    // Tests hold the very output of programs.
    if (isTest(path)) continue
    const longest = filesLongerThan500.has(path) ? Number.POSITIVE_INFINITY : 500
    assert.ok(lines.length <= longest, `src/${path}: ${lines.length} lines`)
    lines.forEach((line, index) => {
      const excusable = /https?:\/\/|^import |^} from|`/.test(line)
      assert.ok(line.length <= 100 || excusable, `src/${path}:${index + 1}: ${line.length} columns`)
    })
  }
})

// scripts/build.ts says why: esbuild's translation of it for older Nodes is wrong there.
test('what older Nodes run, too, has no `using` in a loop', () => {
  const found = modules().flatMap(({ path, lines }) =>
    lines.flatMap((line, index) => {
      const inHead = /^\s*for (await )?\((await )?using\b/.test(line)
      const inBody = /^\s*(await )?using\b/.test(line) && isInLoop(lines, index)
      return inHead || inBody ? [`src/${path}:${index + 1}`] : []
    }),
  )
  assert.deepEqual(found, [], 'give the round a function of its own')
})

/** What the modules for programs consist of: all that they import as more than types. */
function modules(): readonly Source[] {
  const byPath = new Map(sources.map((source) => [source.path, source]))
  const reached = new Set<Source>()
  const reach = (path: string) => {
    const source = byPath.get(path)
    assert.ok(source !== undefined, `src/${path} is imported and is not there`)
    if (reached.has(source)) return
    reached.add(source)
    const imports = source.text.matchAll(
      /^(?:import|export)(?! type\b)[^;'"]*?from '(\.[^']+)'|\bimport\('(\.[^']+)'\)/gms,
    )
    for (const [, stated, dynamic] of imports) reach(join(dirname(path), stated ?? dynamic ?? ''))
  }
  reach('doors/sdk/index.ts')
  reach('sim/index.ts')
  assert.ok(reached.size > 20, `only ${reached.size} files are reached`)
  return [...reached]
}

/**
 * Whether the line is in a loop of its own function, by the formatter's indentation: each enclosing
 * block begins at the nearest line before it that stands further left.
 */
function isInLoop(lines: readonly string[], index: number): boolean {
  const depth = (line: string) => line.length - line.trimStart().length
  let inner = depth(lines[index] ?? '')
  for (const line of lines.slice(0, index).reverse()) {
    // A head of several lines, `for (`…`) {`, begins where it ends.
    const closes = /^\s*\)/.test(line)
    if (line === '' || depth(line) >= inner) continue
    inner = closes ? depth(line) + 1 : depth(line)
    if (closes) continue
    if (/^\s*(for|while|do)\b/.test(line)) return true
    if (!/^\s*(if|switch|case|default|try|\}|\{)/.test(line)) return false
  }
  return false
}

test('no default exports, no any, no enums', () => {
  for (const { path, lines } of sources) {
    lines.forEach((line, index) => {
      const code = withoutComment(line)
      assert.doesNotMatch(
        code,
        /^export default\b|\bas any\b|: any\b|^(export )?(const )?enum /,
        `src/${path}:${index + 1}`,
      )
    })
  }
})

test('the version is the same everywhere', () => {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    version: string
    dependencies: Record<string, string>
    optionalDependencies: Record<string, string>
    devDependencies: Record<string, string>
  }
  const source = readFileSync(join(root, 'src/base/version.ts'), 'utf8')
  assert.ok(source.includes(`'${manifest.version}'`), 'src/base/version.ts has another version')
  const all = {
    ...manifest.dependencies,
    ...manifest.optionalDependencies,
    ...manifest.devDependencies,
  }
  const reasons = readFileSync(join(root, 'docs/dependencies.md'), 'utf8')
  for (const [name, range] of Object.entries(all)) {
    assert.match(range, /^\d/, `${name} is not pinned exactly: ${range}`)
    assert.ok(reasons.includes(`\`${name}\``), `docs/dependencies.md gives no reason for ${name}`)
  }
})

test('every command has a page, every page a command', async () => {
  const table = readFileSync(join(root, 'src/doors/cli/commands.ts'), 'utf8')
  const commands = [...table.matchAll(/^ {2}entry\(\s*'([a-z-]+)'/gm)].map((match) => match[1])
  const pages = readdirSync(join(root, 'docs/commands')).map((name) => name.replace(/\.md$/, ''))
  assert.deepEqual([...commands].sort(), pages.sort())
})

test('links between documents lead somewhere', () => {
  const documents = ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', ...markdownBelow('docs')]
  for (const path of documents) {
    const text = readFileSync(join(root, path), 'utf8')
    for (const match of text.matchAll(/\]\(([^)#\s]+)(#[^)]*)?\)/g)) {
      const link = match[1] ?? ''
      if (/^[a-z]+:/.test(link)) continue
      const target = resolve(root, dirname(path), link)
      assert.ok(existsSync(target), `${path}: ${link} leads nowhere`)
    }
  }
})

function markdownBelow(folder: string): readonly string[] {
  return readdirSync(join(root, folder), { recursive: true })
    .map(String)
    .filter((path) => path.endsWith('.md'))
    .map((path) => join(folder, path))
}
