/**
 * LoadCredential= and SetCredential=: what a program is given as files that only it can read. An
 * absolute path is a file of the machine. Any other word is the name of a secret, of the fleet for
 * the fleet's units: where systemd looks for what its manager was passed, Holon looks there.
 *
 * Which secrets a unit names must be known from its text alone, wherever it is read: who hands out
 * a secret goes by that. So specifiers in names can only be those of the unit's name.
 */
import type { CredentialEntry, ServiceUnit } from './service-unit.ts'
import type { Settings } from './settings.ts'
import { expandNameSpecifiers } from './specifiers.ts'
import { bad, ok, type Parsed, parseAbsolutePath } from './values.ts'
import { unescapeBytes } from './words.ts'

/** Of secrets, too: names a file, and passes through any shell as it is. */
const namePattern = /^(?!\.{1,2}$)[A-Za-z0-9_.@+-]{1,128}$/

export function parseCredentialName(text: string): Parsed<string> {
  if (namePattern.test(text)) return ok(text)
  return bad(`${JSON.stringify(text)} is no name: letters, digits and "_.@+-", 128 at most`)
}

/** `ID:PATH`, `ID:NAME`, or `ID` alone: the secret of that name. */
export function loadCredential(
  { credentials, placement }: Settings,
  value: string,
  place: CredentialEntry['place'],
): Parsed<readonly string[]> {
  const colon = value.indexOf(':')
  const id = nameOf(colon < 0 ? value : value.slice(0, colon), placement.unitName)
  if (id.kind === 'bad') return id
  const rest = colon < 0 ? '' : value.slice(colon + 1)
  const from = rest === '' ? ok({ secret: id.value }) : sourceOf(rest, placement.unitName)
  if (from.kind === 'bad') return from
  const before = credentials.get(id.value)
  const text = before?.text === undefined ? {} : { text: before.text }
  credentials.set(id.value, { id: id.value, place, ...from.value, ...text })
  return ok([])
}

/** `ID:TEXT`, with the escapes of C. */
export function setCredential(
  { credentials, placement }: Settings,
  value: string,
  place: CredentialEntry['place'],
): Parsed<readonly string[]> {
  const colon = value.indexOf(':')
  if (colon < 0) return bad('it needs ID:TEXT')
  const id = nameOf(value.slice(0, colon), placement.unitName)
  if (id.kind === 'bad') return id
  const text = unescapeBytes(value.slice(colon + 1))
  if (text === undefined) return bad('the text holds an unknown escape: write \\\\ for a backslash')
  credentials.set(id.value, { place, ...credentials.get(id.value), id: id.value, text })
  return ok([])
}

/** An empty value takes back what lines of that directive said. */
export function resetCredentials({ credentials }: Settings, directive: 'load' | 'set'): void {
  for (const [id, { path, secret, text, place }] of credentials) {
    const isLoaded = path !== undefined || secret !== undefined
    const left = directive === 'load' ? text !== undefined : isLoaded
    if (!left) credentials.delete(id)
    else if (directive === 'load' && text !== undefined) credentials.set(id, { id, place, text })
    else if (directive === 'set') {
      const from = { ...(path && { path }), ...(secret && { secret }) }
      credentials.set(id, { id, place, ...from })
    }
  }
}

/** The names of the secrets that a unit is given, each once. */
export function secretsOf(unit: ServiceUnit): readonly string[] {
  const names = unit.credentials.flatMap(({ secret }) => (secret === undefined ? [] : [secret]))
  return [...new Set(names)]
}

function sourceOf(text: string, unitName: string): Parsed<{ path: string } | { secret: string }> {
  const isPath = text.startsWith('/') || (text.startsWith('%') && text.includes('/'))
  if (isPath) {
    const path = parseAbsolutePath(text)
    return path.kind === 'bad' ? path : ok({ path: path.value })
  }
  const name = nameOf(text, unitName)
  return name.kind === 'bad' ? name : ok({ secret: name.value })
}

function nameOf(text: string, unitName: string): Parsed<string> {
  const expanded = expandNameSpecifiers(text, unitName)
  return expanded.kind === 'bad' ? expanded : parseCredentialName(expanded.value)
}
