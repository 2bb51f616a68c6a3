/**
 * Processes seen from above their Linux namespaces: who carries a mark in the environment, and who
 * lives in somebody's pid namespace. Needs root. /proc is the only truth asked, so nothing here can
 * be out of date.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

/** Pids of all processes, our view. */
function pids(): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^[1-9]\d*$/.test(name))
    .map(Number)
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    // Gone meanwhile, or not ours to see.
    return undefined
  }
}

/** False for a process that has ended and only waits for its parent to ask. */
function lives(pid: number): boolean {
  const stat = read(`/proc/${pid}/stat`)
  return stat !== undefined && !/\) [ZX] /.test(stat)
}

export interface MarkedProcess {
  readonly pid: number
  /** The variable's value. */
  readonly mark: string
  /** It is the first process of its own pid namespace. */
  readonly isInit: boolean
}

/** Processes that live and whose environment has the variable `name`. */
export function markedProcesses(name: string): readonly MarkedProcess[] {
  const found: MarkedProcess[] = []
  for (const pid of pids()) {
    const environment = read(`/proc/${pid}/environ`)
    if (environment === undefined || !environment.includes(`${name}=`)) continue
    const entry = environment.split('\0').find((line) => line.startsWith(`${name}=`))
    if (entry === undefined || !lives(pid)) continue
    const ids = namespacePids(pid)
    found.push({
      pid,
      mark: entry.slice(name.length + 1),
      isInit: ids.length > 1 && ids.at(-1) === 1,
    })
  }
  return found
}

/** The process's pid in every pid namespace from ours to its own. */
export function namespacePids(pid: number): readonly number[] {
  const text = /^NSpid:\s+(.*)$/m.exec(read(`/proc/${pid}/status`) ?? '')?.[1]
  return text === undefined ? [] : text.split(/\s+/).map(Number)
}

export interface Inhabitant {
  readonly pid: number
  readonly insidePid: number
  readonly name: string
  /** A letter as in /proc/PID/stat. */
  readonly state: string
}

/** What lives in the pid namespace of `initPid` itself (not in those below it). */
export function inhabitants(initPid: number): readonly Inhabitant[] {
  const space = linkOf(`/proc/${initPid}/ns/pid`)
  if (space === undefined) return []
  const found: Inhabitant[] = []
  for (const pid of pids()) {
    if (linkOf(`/proc/${pid}/ns/pid`) !== space) continue
    const stat = /\((.*)\) (\S)/s.exec(read(`/proc/${pid}/stat`) ?? '')
    const insidePid = namespacePids(pid).at(-1)
    if (stat === null || insidePid === undefined) continue
    found.push({ pid, insidePid, name: stat[1] ?? '', state: stat[2] ?? '' })
  }
  return found
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path)
  } catch {
    return undefined
  }
}

/** Sends it; false when there is no such process any more. */
export function signalPid(pid: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(pid, signal)
    return true
  } catch {
    return false
  }
}

/** Children of `pid` in our view. */
export function childrenOf(pid: number): readonly number[] {
  return pids().filter((candidate) => {
    const stat = read(`/proc/${candidate}/stat`) ?? ''
    return Number(stat.slice(stat.lastIndexOf(')') + 4).split(' ')[0]) === pid
  })
}
