/** Names of units: "web.service". Also the parts of a name that specifiers ask for. */

// As systemd: letters, digits and these; 255 characters in all.
const allowed = /^[A-Za-z0-9:_.\\-]+$/
const nameCharactersMax = 255
const otherTypes =
  /\.(socket|timer|path|target|slice|mount|automount|swap|scope|device|busname|snapshot)$/

/** "web" means "web.service"; a name with a known type stays. */
export function fullUnitName(name: string): string {
  return name.endsWith('.service') || otherTypes.test(name) ? name : `${name}.service`
}

/** Why `name` (with its ".service") cannot name such a unit here; undefined when it can. */
export function unitNameError(
  name: string,
  type: 'service' | 'timer' = 'service',
): string | undefined {
  const shown = JSON.stringify(name)
  const ending = `.${type}`
  if (!name.endsWith(ending)) {
    const other = otherTypes.exec(name)?.[1]
    if (other === undefined) return `${shown} does not end in "${ending}"`
    return `${shown} is a ${other} unit: only ${ending} units are supported here`
  }
  if (name.length > nameCharactersMax)
    return `${shown} is longer than ${nameCharactersMax} characters`
  const stem = unitStem(name)
  if (stem === '') return `${shown} has no name before "${ending}"`
  if (stem.includes('@'))
    return `${shown} is a template or an instance of one: not supported so far`
  if (!allowed.test(stem)) {
    return `${shown} holds other characters than letters, digits, ":", "_", ".", "-" and "\\"`
  }
  return undefined
}

/** "web" of "web.service" and of "web.timer". */
export function unitStem(name: string): string {
  return name.replace(/\.(service|timer)$/, '')
}

/** Undoes systemd's escaping: "-" is "/", "\x2d" a byte. */
export function unescapeUnitName(text: string): string {
  const bytes: number[] = []
  const encoder = new TextEncoder()
  for (const match of text.matchAll(/\\x([0-9a-fA-F]{2})|./gsu)) {
    if (match[1] !== undefined) bytes.push(Number.parseInt(match[1], 16))
    else bytes.push(...encoder.encode(match[0] === '-' ? '/' : match[0]))
  }
  return new TextDecoder().decode(Uint8Array.from(bytes))
}
