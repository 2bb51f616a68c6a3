/**
 * Specifiers: `%n`, `%H` and the like, replaced by facts about the unit and its machine. Which
 * exist is known when a unit is loaded; their values only where an instance starts, so
 * `checkSpecifiers` and `expandSpecifiers` are apart. The instance number of Holon is not `%i`:
 * that belongs to templates, and stays empty.
 */
import { HolonError } from '../base/errors.ts'
import { unescapeUnitName, unitStem } from './unit-name.ts'
import { bad, ok, type Parsed } from './values.ts'

/** Facts that specifiers give. What is left out cannot be expanded, and says so. */
export interface SpecifierContext {
  /** "web.service". */
  readonly unitName: string
  readonly hostName: string
  readonly machineId?: string
  readonly bootId?: string
  readonly kernelRelease?: string
  /** As systemd spells it: x86-64, arm64. */
  readonly architecture?: string
  /** Fields of /etc/os-release: ID, VERSION_ID, … */
  readonly osRelease?: Readonly<Record<string, string>>
  /** Who the agent runs as, not the unit's User=. */
  readonly user: {
    readonly name: string
    readonly uid: number
    readonly group: string
    readonly gid: number
    readonly home: string
    readonly shell: string
  }
  /** Where the instance finds its credentials. */
  readonly credentialsDirectory?: string
  readonly directories: {
    /** /run, or XDG_RUNTIME_DIR. */
    readonly runtime: string
    /** /var/lib, or the user's. */
    readonly state: string
    readonly cache: string
    readonly logs: string
    readonly configuration: string
  }
}

const lastPart = (stem: string) => stem.slice(stem.lastIndexOf('-') + 1)

/** Those that a unit's name gives, the same on every machine. */
const ofName: Readonly<Record<string, (name: string) => string>> = {
  f: (name) => `/${unescapeUnitName(unitStem(name)).replace(/^\/+/, '')}`,
  i: () => '',
  I: () => '',
  j: (name) => lastPart(unitStem(name)),
  J: (name) => unescapeUnitName(lastPart(unitStem(name))),
  n: (name) => name,
  N: unitStem,
  p: unitStem,
  P: (name) => unescapeUnitName(unitStem(name)),
}

type Value = (context: SpecifierContext) => string | undefined

const ofMachine: Readonly<Record<string, Value>> = {
  a: (context) => context.architecture,
  A: (context) => osField(context, 'IMAGE_VERSION'),
  b: (context) => context.bootId,
  B: (context) => osField(context, 'BUILD_ID'),
  C: (context) => context.directories.cache,
  d: (context) => context.credentialsDirectory,
  E: (context) => context.directories.configuration,
  g: (context) => context.user.group,
  G: (context) => String(context.user.gid),
  h: (context) => context.user.home,
  H: (context) => context.hostName,
  l: (context) => context.hostName.split('.')[0],
  L: (context) => context.directories.logs,
  m: (context) => context.machineId,
  M: (context) => osField(context, 'IMAGE_ID'),
  o: (context) => osField(context, 'ID'),
  s: (context) => context.user.shell,
  S: (context) => context.directories.state,
  t: (context) => context.directories.runtime,
  T: () => '/tmp',
  u: (context) => context.user.name,
  U: (context) => String(context.user.uid),
  v: (context) => context.kernelRelease,
  V: () => '/var/tmp',
  w: (context) => osField(context, 'VERSION_ID'),
  W: (context) => osField(context, 'VARIANT_ID'),
}

const values: ReadonlyMap<string, Value> = new Map([
  ...Object.entries(ofMachine),
  ...Object.entries(ofName).map(([letter, of]): [string, Value] => [
    letter,
    ({ unitName }) => of(unitName),
  ]),
])

/** Why `text` holds a specifier that is not known; undefined when all are. */
export function checkSpecifiers(text: string): string | undefined {
  for (const match of text.matchAll(specifier)) {
    const letter = match[1] ?? ''
    if (letter === '%' || values.has(letter)) continue
    return `unknown specifier %${letter}; write %%${letter} for a literal one`
  }
  return undefined
}

/** `text` with its specifiers replaced. `unavailable` when the context lacks a value. */
export function expandSpecifiers(text: string, context: SpecifierContext): string {
  return text.replace(specifier, (_, letter: string) => {
    if (letter === '%') return '%'
    const value = values.get(letter)?.(context)
    if (value === undefined) {
      throw new HolonError(
        'unavailable',
        `expand %${letter} in ${JSON.stringify(text)}: this machine has no value for it`,
      )
    }
    return value
  })
}

/** `text` with specifiers of the unit's name replaced; others differ from machine to machine. */
export function expandNameSpecifiers(text: string, unitName: string): Parsed<string> {
  const other = [...text.matchAll(specifier)].find(
    ([, letter = '']) => letter !== '%' && !Object.hasOwn(ofName, letter),
  )
  if (other !== undefined) return bad(`${other[0]} differs from machine to machine`)
  return ok(text.replace(specifier, (_, letter: string) => ofName[letter]?.(unitName) ?? '%'))
}

// A "%" before anything but a letter stands for itself, as in systemd ("100%", "%3A").
const specifier = /%([A-Za-z%])/g

function osField(context: SpecifierContext, name: string): string | undefined {
  // A field that the file does not have is empty; a file that nobody read is unknown.
  return context.osRelease === undefined ? undefined : (context.osRelease[name] ?? '')
}
