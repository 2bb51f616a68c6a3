/**
 * Linux signals by name and number, as glibc numbers them on x86-64 and arm64. Names are accepted
 * as people type them: TERM, SIGTERM, term, 15, RTMIN+3, RTMAX-1.
 */

const byNumber = [
  ['HUP', 1],
  ['INT', 2],
  ['QUIT', 3],
  ['ILL', 4],
  ['TRAP', 5],
  ['ABRT', 6],
  ['BUS', 7],
  ['FPE', 8],
  ['KILL', 9],
  ['USR1', 10],
  ['SEGV', 11],
  ['USR2', 12],
  ['PIPE', 13],
  ['ALRM', 14],
  ['TERM', 15],
  ['STKFLT', 16],
  ['CHLD', 17],
  ['CONT', 18],
  ['STOP', 19],
  ['TSTP', 20],
  ['TTIN', 21],
  ['TTOU', 22],
  ['URG', 23],
  ['XCPU', 24],
  ['XFSZ', 25],
  ['VTALRM', 26],
  ['PROF', 27],
  ['WINCH', 28],
  ['IO', 29],
  ['PWR', 30],
  ['SYS', 31],
] as const

/** The first realtime signal that the C library leaves to programs. */
export const signalRtMin = 34
export const signalRtMax = 64

const numberOf: ReadonlyMap<string, number> = new Map<string, number>([
  ...byNumber,
  ['IOT', 6],
  ['CLD', 17],
  ['POLL', 29],
])
const nameOf: ReadonlyMap<number, string> = new Map(
  byNumber.map(([name, number]) => [number, name]),
)

/** "SIGTERM" for 15, "SIGRTMIN+3" for 37; undefined for what is no signal. */
export function signalName(number: number): string | undefined {
  const name = nameOf.get(number)
  if (name !== undefined) return `SIG${name}`
  if (!Number.isInteger(number) || number < signalRtMin || number > signalRtMax) return undefined
  return number === signalRtMin ? 'SIGRTMIN' : `SIGRTMIN+${number - signalRtMin}`
}

/** The number of a signal given by name or number, in any of the usual spellings. */
export function signalNumber(signal: string | number): number | undefined {
  const text = String(signal).trim().toUpperCase()
  if (/^[0-9]{1,2}$/.test(text)) {
    const number = Number(text)
    return signalName(number) === undefined ? undefined : number
  }
  const name = text.startsWith('SIG') ? text.slice(3) : text
  const plain = numberOf.get(name)
  if (plain !== undefined) return plain
  const realtime = /^RT(MIN|MAX)(?:([+-])([0-9]{1,2}))?$/.exec(name)
  if (realtime === null) return undefined
  const [, base, sign, distance = '0'] = realtime
  // RTMIN counts upwards, RTMAX downwards, as the shell's `kill -l` lists them.
  if (sign !== undefined && sign !== (base === 'MIN' ? '+' : '-')) return undefined
  const number = base === 'MIN' ? signalRtMin + Number(distance) : signalRtMax - Number(distance)
  return number >= signalRtMin && number <= signalRtMax ? number : undefined
}

/** Every signal with its number, in order, for `kill -l`. */
export function signalList(): readonly { readonly name: string; readonly number: number }[] {
  const numbers = [...nameOf.keys()]
  for (let number = signalRtMin; number <= signalRtMax; number++) numbers.push(number)
  return numbers.map((number) => ({ name: signalName(number) ?? '', number }))
}
