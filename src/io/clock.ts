/**
 * The real clock: boot time for waits, wall time for people.
 *
 * `nowMs` is CLOCK_BOOTTIME, which keepers read by themselves: a lease's end is the same moment for
 * both. It may be behind by up to 20 ms and never ahead, which is the safe side.
 */
import { readFileSync } from 'node:fs'
import { uptime } from 'node:os'
import type { Clock } from '../base/clock.ts'

// hrtime() does not count suspend, os.uptime() does but has a grain of 10 ms: the larger of the two
// elapsed times is exact while awake and right after a sleep (DESIGN §6, rule 2). It is not
// performance.now(), which reads the same clock but has Node load a library of its own, for 2 ms.
const uptimeAtStartMs = uptime() * 1000
const bootAtStartMs = Math.max(uptimeAtStartMs, sinceOwnStartMs())
const monotonicAtStartMs = monotonicMs()
const grainMs = 20

// Containers may have an uptime of their own (lxcfs lays a file over /proc/uptime). When a process
// was started, field 22 in its stat, is told in boot time all the same, in hundredths of a second.
function sinceOwnStartMs(): number {
  try {
    const stat = readFileSync('/proc/self/stat', 'latin1')
    const ticks = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19])
    return ticks > 0 ? ticks * 10 + process.uptime() * 1000 : 0
  } catch {
    return 0
  }
}

function monotonicMs(): number {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1000 + nanoseconds / 1e6
}

function nowMs(): number {
  const awake = monotonicMs() - monotonicAtStartMs
  const withSuspend = suspendedMs()
  return bootAtStartMs + awake + withSuspend
}

// Asked at most once a second: os.uptime() is a system call and a file read on some kernels.
let suspended = 0
let askedAtMs = 0
function suspendedMs(): number {
  const monotonic = monotonicMs()
  if (monotonic - askedAtMs > 1000) {
    askedAtMs = monotonic
    const gap = uptime() * 1000 - uptimeAtStartMs - (monotonic - monotonicAtStartMs)
    if (gap > suspended + grainMs) suspended = gap
  }
  return suspended
}

export const realClock: Clock = {
  nowMs,
  wallMs: () => Date.now(),
  timer(delayMs, fire, options) {
    // setTimeout holds 2^31 - 1 ms; a longer wait is taken in steps.
    const stepMax = 2 ** 31 - 1
    let handle: NodeJS.Timeout
    const arm = (leftMs: number) => {
      handle = setTimeout(
        () => (leftMs > stepMax ? arm(leftMs - stepMax) : fire()),
        Math.min(leftMs, stepMax),
      )
      if (options?.background) handle.unref()
    }
    arm(Math.max(0, delayMs))
    return { [Symbol.dispose]: () => clearTimeout(handle) }
  },
}
