/** The formats of /proc/PID/stat, status and cmdline, parsed. Pure; see proc(5). */

/** What /proc/PID/stat tells, in the kernel's units. */
export interface ProcStat {
  readonly pid: number
  readonly comm: string
  readonly state: string
  readonly ppid: number
  readonly pgid: number
  readonly sid: number
  readonly ttyNumber: number
  readonly tpgid: number
  readonly userTicks: number
  readonly systemTicks: number
  readonly priority: number
  readonly nice: number
  readonly nlwp: number
  readonly startTicks: number
  readonly vszBytes: number
}

const open = 0x28
const close = 0x29
const space = 0x20
const minus = 0x2d
const zero = 0x30

/**
 * One line of /proc/PID/stat. The name stands in parentheses and may hold anything, parentheses,
 * spaces and newlines included, so it ends at the last `)`: nothing after it can hold one.
 * Undefined when the text is not such a line.
 */
export function parseStat(line: Buffer): ProcStat | undefined {
  const begin = line.indexOf(open)
  const end = line.lastIndexOf(close)
  if (begin < 0 || end < begin) return undefined
  // Fields after the name: [0] state, [1] ppid, … [20] vsize; the number in proc(5) is 3 more.
  const field = numbersAfter(line, end + 4, 20)
  if (field === undefined) return undefined
  const at = (index: number): number => field[index - 1] ?? 0
  return {
    pid: Number.parseInt(line.toString('latin1', 0, begin), 10),
    comm: line.toString('utf8', begin + 1, end),
    state: String.fromCharCode(line[end + 2] ?? 0x3f),
    ppid: at(1),
    pgid: at(2),
    sid: at(3),
    ttyNumber: at(4),
    tpgid: at(5),
    userTicks: at(11),
    systemTicks: at(12),
    priority: at(15),
    nice: at(16),
    nlwp: at(17),
    startTicks: at(19),
    vszBytes: at(20),
  }
}

/** `count` decimal numbers separated by spaces, from `offset`. Exact up to 2^53. */
function numbersAfter(line: Buffer, offset: number, count: number): number[] | undefined {
  const numbers: number[] = []
  let position = offset
  while (numbers.length < count) {
    if (line[position] === space) position += 1
    const negative = line[position] === minus
    if (negative) position += 1
    let value = 0
    const first = position
    for (;;) {
      const digit = (line[position] ?? space) - zero
      if (digit < 0 || digit > 9) break
      value = value * 10 + digit
      position += 1
    }
    if (position === first) return undefined
    numbers.push(negative ? -value : value)
  }
  return numbers
}

/** The second field of /proc/PID/statm. */
export function parseResidentPages(line: Buffer): number | undefined {
  return numbersAfter(line, 0, 2)?.[1]
}

/** The four user ids of a process, from the `Uid:` line of /proc/PID/status. */
export interface ProcUids {
  readonly real: number
  readonly effective: number
  readonly saved: number
}

export function parseUids(status: Buffer): ProcUids | undefined {
  // The name comes first in the file with its newlines escaped, so a line start is a line start.
  const match = /^Uid:\t(\d+)\t(\d+)\t(\d+)/m.exec(status.toString('latin1'))
  if (match === null) return undefined
  return { real: Number(match[1]), effective: Number(match[2]), saved: Number(match[3]) }
}

/**
 * The argument vector of /proc/PID/cmdline: strings each ended by a NUL. A process that wrote a
 * title over its arguments ("nginx: master process" padded with NULs) has the title as its only
 * one.
 */
export function parseCmdline(bytes: Buffer): readonly string[] {
  if (bytes.length === 0) return []
  const end = bytes[bytes.length - 1] === 0 ? bytes.length - 1 : bytes.length
  const args = bytes.toString('utf8', 0, end).split('\0')
  const title = args[0] ?? ''
  if (args.length > 1 && title.includes(' ') && args.every((arg, i) => i === 0 || arg === '')) {
    return [title.trimEnd()]
  }
  return args
}
