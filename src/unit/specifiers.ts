/**
 * Specifiers: `%n`, `%H` and the like, replaced by facts about the unit and its machine. Which
 * exist is known when a unit is loaded; their values only where an instance starts, so
 * `checkSpecifiers` and `expandSpecifiers` are apart. The instance number of Holon is not `%i`:
 * that belongs to templates, and stays empty.
 */
import { HolonError } from '../base/errors.ts'
import { unescapeUnitName, unitStem } from './unit-name.ts'

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

const stemOf = (context: SpecifierContext) => unitStem(context.unitName)
const lastPart = (stem: string) => stem.slice(stem.lastIndexOf('-') + 1)

const values: Readonly<Record<string, (context: SpecifierContext) => string | undefined>> = {
  a: (context) => context.architecture,
  A: (context) => osField(context, 'IMAGE_VERSION'),
  b: (context) => context.bootId,
  B: (context) => osField(context, 'BUILD_ID'),
  C: (context) => context.directories.cache,
  E: (context) => context.directories.configuration,
  f: (context) => `/${unescapeUnitName(stemOf(context)).replace(/^\/+/, '')}`,
  g: (context) => context.user.group,
  G: (context) => String(context.user.gid),
  h: (context) => context.user.home,
  H: (context) => context.hostName,
  i: () => '',
  I: () => '',
  j: (context) => lastPart(stemOf(context)),
  J: (context) => unescapeUnitName(lastPart(stemOf(context))),
  l: (context) => context.hostName.split('.')[0],
  L: (context) => context.directories.logs,
  m: (context) => context.machineId,
  M: (context) => osField(context, 'IMAGE_ID'),
  n: (context) => context.unitName,
  N: (context) => stemOf(context),
  o: (context) => osField(context, 'ID'),
  p: (context) => stemOf(context),
  P: (context) => unescapeUnitName(stemOf(context)),
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

/** Why `text` holds a specifier that is not known; undefined when all are. */
export function checkSpecifiers(text: string): string | undefined {
  for (const match of text.matchAll(specifier)) {
    const letter = match[1] ?? ''
    if (letter === '%' || Object.hasOwn(values, letter)) continue
    return `unknown specifier %${letter}; write %%${letter} for a literal one`
  }
  return undefined
}

/** `text` with its specifiers replaced. `unavailable` when the context lacks a value. */
export function expandSpecifiers(text: string, context: SpecifierContext): string {
  return text.replace(specifier, (_, letter: string) => {
    if (letter === '%') return '%'
    const value = Object.hasOwn(values, letter) ? values[letter]?.(context) : undefined
    if (value === undefined) {
      throw new HolonError(
        'unavailable',
        `expand %${letter} in ${JSON.stringify(text)}: this machine has no value for it`,
      )
    }
    return value
  })
}

// A "%" before anything but a letter stands for itself, as in systemd ("100%", "%3A").
const specifier = /%([A-Za-z%])/g

function osField(context: SpecifierContext, name: string): string | undefined {
  // A field that the file does not have is empty; a file that nobody read is unknown.
  return context.osRelease === undefined ? undefined : (context.osRelease[name] ?? '')
}
