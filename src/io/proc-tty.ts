/**
 * Names of terminals from their device numbers: /proc/PID/stat gives only the number, and
 * /proc/tty/drivers which driver has it.
 */

interface Driver {
  readonly name: string
  readonly major: number
  readonly minorFirst: number
  readonly minorLast: number
  /** `one`: the name is the device. Otherwise a number follows, counted from this. */
  readonly numbered: { readonly from: number; readonly separator: string } | 'one'
}

/** Turns the `tty_nr` of /proc/PID/stat into "pts/3", "tty1", "ttyS0"; "" for none. */
export class TtyNames {
  readonly #drivers: readonly Driver[]
  readonly #names = new Map<number, string>()

  /** `driversText` is /proc/tty/drivers; where it cannot be read, "" leaves the well-known ones. */
  constructor(driversText: string) {
    this.#drivers = parseDrivers(driversText)
  }

  name(ttyNumber: number): string {
    if (ttyNumber === 0) return ''
    let name = this.#names.get(ttyNumber)
    if (name === undefined) {
      name = this.#find(ttyNumber)
      this.#names.set(ttyNumber, name)
    }
    return name
  }

  #find(ttyNumber: number): string {
    const major = (ttyNumber >>> 8) & 0xfff
    const minor = (ttyNumber & 0xff) | ((ttyNumber >>> 12) & 0xfff00)
    // 136 to 143 are all pts: the old encoding gave each 256 of them a major number of its own.
    if (major >= 136 && major <= 143) return `pts/${minor + (major - 136) * 256}`
    for (const driver of this.#drivers) {
      if (driver.major !== major) continue
      if (minor < driver.minorFirst || minor > driver.minorLast) continue
      if (driver.numbered === 'one') return driver.name
      const number = minor - driver.minorFirst + driver.numbered.from
      return `${driver.name}${driver.numbered.separator}${number}`
    }
    if (major === 4) return minor < 64 ? `tty${minor}` : `ttyS${minor - 64}`
    return `${major}:${minor}`
  }
}

/** Lines such as `serial  /dev/ttyS  4  64-95  serial`; a minor may be single. */
function parseDrivers(text: string): Driver[] {
  const drivers: Driver[] = []
  for (const line of text.split('\n')) {
    const match = /^\S+\s+\/dev\/(\S+)\s+(\d+)\s+(\d+)(?:-(\d+))?\s+(\S+)/.exec(line)
    if (match === null) continue
    const [, name = '', major, first, last, type = ''] = match
    const single = last === undefined
    drivers.push({
      name,
      major: Number(major),
      minorFirst: Number(first),
      minorLast: Number(last ?? first),
      numbered: numbering(name, type, single, Number(first)),
    })
  }
  return drivers
}

function numbering(name: string, type: string, single: boolean, first: number): Driver['numbered'] {
  if (type.startsWith('system')) return 'one'
  // Virtual consoles are named by their minor: tty1 has minor 1.
  if (type === 'console') return single ? 'one' : { from: first, separator: '' }
  return { from: 0, separator: type === 'pty:slave' && name === 'pts' ? '/' : '' }
}
