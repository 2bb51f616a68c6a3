/** What kind of program a directory holds, and the unit file that says so. */
import { basename } from 'node:path'
import { HolonError } from '../../../base/errors.ts'
import { limits } from '../../../base/limits.ts'
import { entriesOf, type FoundEntry } from '../../../io/bundle-files.ts'
import { joinPath, readTextBounded } from '../../../io/files.ts'

/** The file that `holon deploy` writes and reads. */
export const projectUnit = 'holon.service'

export interface Program {
  /** "web". */
  readonly name: string
  /** For people: "package.json, `npm start`". */
  readonly what: string
  /** Of ExecStart=. */
  readonly command: string
}

export type Project =
  /** It has a unit file. */
  | { readonly kind: 'unit'; readonly name: string; readonly path: string; readonly text: string }
  | { readonly kind: 'program'; readonly program: Program }

/** `invalid_argument`, saying what is looked for, when nothing is found that can be started. */
export async function detectProject(dir: string): Promise<Project> {
  const entries = await entriesOf(dir, '')
  const names = new Set(entries.map(({ path }) => path))
  const units = [...names].filter((name) => name.endsWith('.service'))
  const [unit] = names.has(projectUnit) ? [projectUnit] : units
  if (unit !== undefined && (units.length === 1 || unit === projectUnit)) {
    const text = read(dir, unit)
    const name = unit === projectUnit ? nameOf(dir, names) : unit.slice(0, -'.service'.length)
    return { kind: 'unit', name, path: joinPath(dir, unit), text }
  }
  if (units.length > 1) {
    throw new HolonError(
      'invalid_argument',
      `deploy "${dir}": it has several unit files (${units.sort().join(', ')}); ` +
        `name the one that is meant ${projectUnit}`,
    )
  }
  const found = [procfile, packageJson, python, site, executable]
  for (const look of found) {
    const program = look(dir, names, entries)
    if (program !== undefined) {
      return { kind: 'program', program: { ...program, name: nameOf(dir, names) } }
    }
  }
  throw new HolonError(
    'invalid_argument',
    `deploy "${dir}": there is nothing that can be started: no unit file, no Procfile with a ` +
      'line "web:", no package.json with a start script, no app.py, main.py or server.py, no ' +
      `index.html, no single executable. Write ${projectUnit}, with ExecStart=`,
  )
}

type Look = (
  dir: string,
  names: ReadonlySet<string>,
  entries: readonly FoundEntry[],
) => Omit<Program, 'name'> | undefined

const procfile: Look = (dir, names) => {
  if (!names.has('Procfile')) return undefined
  const line = /^web:[ \t]*(.+)$/m.exec(read(dir, 'Procfile'))?.[1]?.trim()
  if (line === undefined) return undefined
  return { what: 'the line "web:" of the Procfile', command: shell(line) }
}

const packageJson: Look = (dir, names) => {
  if (!names.has('package.json')) return undefined
  const { scripts, main } = readPackage(dir)
  const start = scripts?.['start']
  if (start !== undefined) {
    const isPlain = /^node( [\w./@=-]+)+$/.test(start)
    return { what: 'package.json with a start script', command: isPlain ? start : 'npm start' }
  }
  const script = [main, 'server.js', 'index.js', 'server.mjs', 'index.mjs'].find(
    (name) => name !== undefined && names.has(name),
  )
  return script === undefined
    ? undefined
    : { what: `package.json and ${script}`, command: `node ${script}` }
}

const python: Look = (_dir, names) => {
  const script = ['app.py', 'main.py', 'server.py'].find((name) => names.has(name))
  if (script === undefined) return undefined
  return { what: `a Python program, ${script}`, command: `/usr/bin/env python3 -u ${script}` }
}

const site: Look = (_dir, names) => {
  if (!names.has('index.html')) return undefined
  return { what: 'a static site, index.html', command: 'holon static .' }
}

const executable: Look = (_dir, _names, entries) => {
  const [only, ...others] = entries.filter(
    ({ kind, executable: isExecutable }) => kind === 'file' && isExecutable,
  )
  if (only === undefined || others.length > 0) return undefined
  return { what: `an executable, ${only.path}`, command: `/usr/bin/env ./${only.path}` }
}

/** Of the package, else of the directory; what no unit can be called is left out of it. */
function nameOf(dir: string, names: ReadonlySet<string>): string {
  const given = names.has('package.json') ? readPackage(dir).name : undefined
  const name = (given ?? basename(dir))
    .replace(/^@[^/]*\//, '')
    .replaceAll(/[^A-Za-z0-9_.-]+/g, '-')
  return name.replace(/^[-.]+/, '') || 'app'
}

interface Package {
  readonly name?: string
  readonly main?: string
  readonly scripts?: Readonly<Record<string, string>>
}

function readPackage(dir: string): Package {
  try {
    return JSON.parse(read(dir, 'package.json')) as Package
  } catch (error) {
    if (error instanceof HolonError) throw error
    throw new HolonError('invalid_argument', `deploy: "${dir}/package.json" is not JSON`)
  }
}

function read(dir: string, name: string): string {
  return readTextBounded(joinPath(dir, name), limits.unitFileBytesMax)
}

/** What a shell is to run, as one argument of a unit file's command line. */
function shell(line: string): string {
  const quoted = line.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('%', '%%')
  return `/bin/sh -c "exec ${quoted.replaceAll('$', '$$$$')}"`
}
