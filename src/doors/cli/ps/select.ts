/** Which processes `ps` shows. Each criterion adds processes, as procps has it. Pure. */
import type { ProcessInfo, ProcessQuery } from '../../../kernel/types.ts'

/** A process as typed: `4242`, or on a certain machine `n1:4242`. */
export interface PidRef {
  readonly pid: number
  readonly machine?: string
}

export type Criterion =
  | { readonly kind: 'all' }
  /** -d: all but session leaders; -a: those of them that have a terminal. */
  | { readonly kind: 'followers'; readonly withTty: boolean }
  /** No option: the caller's own on its terminal. */
  | { readonly kind: 'own-terminal' }
  /** BSD's a and x, each lifting one restriction; without both: own, with a terminal. */
  | { readonly kind: 'bsd'; readonly anyUser: boolean; readonly anyTty: boolean }
  | { readonly kind: 'pids' | 'ppids'; readonly pids: readonly PidRef[] }
  | { readonly kind: 'sids'; readonly sids: readonly number[] }
  | { readonly kind: 'users' | 'groups' | 'comms' | 'ttys'; readonly names: readonly string[] }

/** Who asks; `pid` and `startTicks` find its own row, and with it its machine. */
export interface Caller {
  readonly uid: number
  readonly pid: number
  readonly startTicks: number
  readonly tty: string
}

export interface Selection {
  readonly criteria: readonly Criterion[]
  /** -N: everything else. */
  readonly negate: boolean
  /** BSD r: only what runs. */
  readonly onlyRunning: boolean
}

/** The rows that `selection` names, in their order. */
export function select(
  rows: readonly ProcessInfo[],
  selection: Selection,
  caller: Caller,
): readonly ProcessInfo[] {
  const own = rows.find((row) => row.pid === caller.pid && row.startTicks === caller.startTicks)
  const matchers = selection.criteria.map((each) => matcher(each, caller, own?.machine))
  return rows.filter((row) => {
    const named = matchers.some((matches) => matches(row))
    if (named === selection.negate) return false
    return !selection.onlyRunning || row.state === 'R' || row.state === 'D'
  })
}

type Matcher = (row: ProcessInfo) => boolean

function matcher(criterion: Criterion, caller: Caller, ownMachine: string | undefined): Matcher {
  switch (criterion.kind) {
    case 'all':
      return () => true
    case 'followers':
      return (row) => row.sid !== row.pid && (!criterion.withTty || row.tty !== '')
    case 'own-terminal':
      // The same name on another machine is another terminal.
      return (row) =>
        row.uid === caller.uid &&
        row.tty === caller.tty &&
        row.machine === (ownMachine ?? row.machine)
    case 'bsd':
      return (row) =>
        (criterion.anyUser || row.uid === caller.uid) && (criterion.anyTty || row.tty !== '')
    case 'pids':
      return byPid(criterion.pids, (row) => row.pid)
    case 'ppids':
      return byPid(criterion.pids, (row) => row.ppid)
    case 'sids':
      return (row) => criterion.sids.includes(row.sid)
    case 'users':
      return byName(criterion.names, (row) => [row.user, String(row.uid)])
    case 'groups':
      return byName(criterion.names, (row) => [row.group, String(row.gid)])
    case 'comms':
      // The kernel keeps 15 bytes of a program's name, so all of it typed must match as well.
      return byName([...criterion.names, ...criterion.names.map(cutName)], (row) => [row.comm])
    case 'ttys':
      return byName(criterion.names, (row) => ttyNames(row.tty))
  }
}

function byPid(pids: readonly PidRef[], pidOf: (row: ProcessInfo) => number): Matcher {
  const machinesOf = new Map<number, (string | undefined)[]>()
  for (const { pid, machine } of pids) {
    machinesOf.set(pid, [...(machinesOf.get(pid) ?? []), machine])
  }
  return (row) =>
    machinesOf.get(pidOf(row))?.some((each) => each === undefined || each === row.machine) === true
}

function byName(
  names: readonly string[],
  namesOf: (row: ProcessInfo) => readonly string[],
): Matcher {
  const wanted = new Set(names)
  return (row) => namesOf(row).some((name) => wanted.has(name))
}

function cutName(name: string): string {
  return Buffer.from(name).toString('utf8', 0, 15)
}

/** The spellings that -t takes: /dev/pts/3, pts/3, 3; /dev/tty1, tty1, 1; "-" for none. */
function ttyNames(tty: string): readonly string[] {
  if (tty === '') return ['-', '?']
  const short = tty.replace(/^(?:pts\/|tty(?=\d))/, '')
  return [tty, `/dev/${tty}`, short]
}

/** As much of the selection as the machines themselves can apply, so that less is read and sent. */
export function narrow(selection: Selection, caller: Caller): Pick<ProcessQuery, 'pids' | 'uids'> {
  if (selection.negate || selection.criteria.length === 0) return {}
  const pids: number[] = []
  const uids: number[] = []
  for (const criterion of selection.criteria) {
    if (criterion.kind === 'pids') pids.push(...criterion.pids.map((each) => each.pid))
    else if (criterion.kind === 'own-terminal') uids.push(caller.uid)
    else if (criterion.kind === 'bsd' && !criterion.anyUser) uids.push(caller.uid)
    else if (criterion.kind === 'users' && criterion.names.every((name) => /^\d+$/.test(name))) {
      uids.push(...criterion.names.map(Number))
    } else return {}
  }
  // A query's parts narrow each other, where criteria add: only one kind can be handed on.
  if (uids.length === 0) return { pids }
  return pids.length === 0 ? { uids } : {}
}
