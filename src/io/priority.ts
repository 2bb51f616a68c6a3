/** This process before others in the queue for a processor: a busy machine is no silent one. */
import { readdirSync, writeFileSync } from 'node:fs'
import { getPriority, setPriority } from 'node:os'

/** Between the least nice of Linux, -20, and 0, which is usual. */
export const raisedNice = -10

/**
 * Raises all threads of this process. Gives the nice value there was before, for what is started
 * from here and must not inherit ours; undefined when this user may not raise it: nothing changed.
 */
export function raisePriority(): number | undefined {
  const before = getPriority()
  if (before <= raisedNice) return undefined
  try {
    for (const thread of readdirSync('/proc/self/task')) setPriority(Number(thread), raisedNice)
  } catch {
    return undefined
  }
  // Where the kernel groups processes by session, nice counts within a group; this is the group's.
  try {
    writeFileSync('/proc/self/autogroup', String(raisedNice))
  } catch {
    // It does not group them.
  }
  return before
}

/** For a process that was just started. One that has ended, or that we may not touch: no error. */
export function setNice(pid: number, nice: number): void {
  try {
    setPriority(pid, nice)
  } catch {
    // It is gone.
  }
}
