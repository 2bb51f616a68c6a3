/**
 * The process table of one machine: /proc itself, every process in it, each with the unit it
 * belongs to.
 *
 * A keeper is a subreaper, so whatever its job forks and detaches stays below it: a process belongs
 * to a unit exactly when that unit's keeper is among its ancestors, the nearest one counting. The
 * keeper is not part of its unit.
 *
 * Reading is synchronous and in slices, so that the agent's event loop is never held for long; the
 * table is therefore not one instant's. A process that ends while it is read is left out.
 */
import { abortError } from '../base/clock.ts'
import { limits } from '../base/limits.ts'
import type { PageWish } from '../cluster/peer.ts'
import { writeTextPage } from '../cluster/text-page.ts'
import type { ProcFs } from '../io/proc.ts'
import type { ProcStat } from '../io/proc-stat.ts'
import type { Users } from '../io/users.ts'
import type { CallOptions, ProcessInfo, ProcessListing, ProcessQuery } from '../kernel/types.ts'

export interface ProcessTableDeps {
  readonly proc: ProcFs
  readonly users: Users
}

export interface ProcessTableOptions {
  /** This machine's name. */
  readonly machine: string
  /** Keepers that run now, by pid: "web.service/2", "run/ID". Asked once for each page. */
  readonly unitsByKeeper: () => ReadonlyMap<number, string>
}

/** Processes between two pauses: about 3 ms. */
const sliceProcesses = 64

export class ProcessTable {
  readonly #deps: ProcessTableDeps
  readonly #options: ProcessTableOptions

  constructor(deps: ProcessTableDeps, options: ProcessTableOptions) {
    this.#deps = deps
    this.#options = options
  }

  /** Ascending by pid. Arguments past the limit end with "…". */
  async list(query: ProcessQuery, options: CallOptions): Promise<ProcessListing> {
    const processes: ProcessInfo[] = []
    await this.#read(query).upTo((row) => processes.push(row) > 0, options)
    return { processes, missing: [], machines: [this.#facts()] }
  }

  /** A page of the same, see text-page.ts. Its cursor is the last pid that was looked at. */
  async page(query: ProcessQuery, wish: PageWish, options: CallOptions): Promise<string> {
    const reading = this.#read(query, Number(wish.cursor ?? 0))
    const rows: string[] = []
    let bytes = 0
    await reading.upTo((row) => {
      const text = JSON.stringify(row)
      rows.push(text)
      bytes += text.length
      return bytes < wish.bytes
    }, options)
    const processes = rows.join(',')
    if (reading.more) {
      return writeTextPage({ lists: [processes, ''], cursor: String(reading.lastPid) })
    }
    return writeTextPage({ lists: [processes, JSON.stringify(this.#facts())] })
  }

  /** From the first process after `afterPid` on. */
  #read(query: ProcessQuery, afterPid = 0): Reading {
    this.#deps.users.refresh()
    return new Reading(this.#deps, this.#options, query, afterPid)
  }

  #facts(): ProcessListing['machines'][number] {
    return { machine: this.#options.machine, ...this.#deps.proc.machineFacts() }
  }
}

// 0 and less are no processes, and a query from outside may hold anything and anything twice.
function asPids(pids: readonly number[]): number[] {
  const valid = pids.filter((pid) => Number.isInteger(pid) && pid > 0)
  return [...new Set(valid)].sort((a, b) => a - b)
}

/** One pass over the table or a piece of it. */
class Reading {
  readonly #proc: ProcFs
  readonly #users: Users
  readonly #options: ProcessTableOptions
  readonly #withArgs: boolean
  readonly #uids: ReadonlySet<number> | undefined
  readonly #parents = new Map<number, number>()
  readonly #msPerTick: number
  readonly #pids: readonly number[]
  #at = 0

  constructor(
    deps: ProcessTableDeps,
    options: ProcessTableOptions,
    query: ProcessQuery,
    afterPid: number,
  ) {
    this.#proc = deps.proc
    this.#users = deps.users
    this.#options = options
    this.#withArgs = query.args !== false
    this.#uids = query.uids === undefined ? undefined : new Set(query.uids)
    const pids = query.pids === undefined ? this.#proc.pids() : asPids(query.pids)
    this.#pids = pids.filter((pid) => pid > afterPid)
    this.#msPerTick = 1000 / this.#proc.ticksPerSecond
  }

  /** Whether processes are left to look at. */
  get more(): boolean {
    return this.#at < this.#pids.length
  }

  /** The last one that was looked at, or 0. */
  get lastPid(): number {
    return this.#pids[this.#at - 1] ?? 0
  }

  /** Gives rows to `take` while that wants more. */
  async upTo(take: (row: ProcessInfo) => boolean, { signal }: CallOptions): Promise<void> {
    const unitOf = this.#unitFinder()
    for (let wanted = true; wanted; ) {
      if (signal.aborted) throw abortError(signal)
      const pid = this.#pids[this.#at]
      if (pid === undefined) return
      this.#at += 1
      const row = this.#one(pid, unitOf)
      if (row !== undefined) wanted = take(row)
      if (this.#at % sliceProcesses === 0) await this.#proc.pause()
    }
  }

  #one(pid: number, unitOf: (ppid: number) => string): ProcessInfo | undefined {
    const owner = this.#proc.owner(pid)
    if (owner === undefined || this.#uids?.has(owner.uid) === false) return undefined
    const stat = this.#proc.stat(pid)
    if (stat === undefined) return undefined
    // Without memory of its own (a kernel thread, a zombie) it has no arguments either.
    const hasMemory = stat.vszBytes > 0
    const pages = hasMemory ? this.#proc.residentPages(pid) : 0
    const args = hasMemory && this.#withArgs ? this.#args(pid) : []
    // Gone after its line was read, or its id is another's already: either way it is no more.
    if (pages === undefined || args === undefined) return undefined
    this.#parents.set(pid, stat.ppid)
    return { ...this.#row(stat, owner, pages, args), unit: unitOf(stat.ppid) }
  }

  #row(
    stat: ProcStat,
    owner: { readonly uid: number; readonly gid: number },
    pages: number,
    args: readonly string[],
  ): Omit<ProcessInfo, 'unit'> {
    const ms = this.#msPerTick
    return {
      machine: this.#options.machine,
      pid: stat.pid,
      ppid: stat.ppid,
      pgid: stat.pgid,
      sid: stat.sid,
      nlwp: stat.nlwp,
      state: stat.state,
      uid: owner.uid,
      gid: owner.gid,
      user: this.#users.userName(owner.uid),
      group: this.#users.groupName(owner.gid),
      tty: this.#proc.ttyName(stat.ttyNumber),
      tpgid: stat.tpgid,
      comm: stat.comm,
      args,
      startTicks: stat.startTicks,
      startedAtMs: this.#proc.bootedAtMs + stat.startTicks * ms,
      userMs: stat.userTicks * ms,
      systemMs: stat.systemTicks * ms,
      nice: stat.nice,
      priority: stat.priority,
      vszBytes: stat.vszBytes,
      rssBytes: pages * this.#proc.pageBytes,
    }
  }

  #args(pid: number): readonly string[] | undefined {
    const read = this.#proc.args(pid, limits.processArgsBytesMax)
    if (read === undefined) return undefined
    return read.cut ? [...read.args.slice(0, -1), `${read.args.at(-1) ?? ''}…`] : read.args
  }

  /**
   * Tells the unit of a process by its parent. Each step upward is remembered, so that a whole page
   * costs one step per process.
   */
  #unitFinder(): (ppid: number) => string {
    const unitsByKeeper = this.#options.unitsByKeeper()
    if (unitsByKeeper.size === 0) return () => ''
    const units = new Map<number, string>()
    return (ppid) => {
      const path: number[] = []
      let unit: string | undefined
      for (let pid = ppid; unit === undefined; pid = this.#parentOf(pid)) {
        // A reused pid could make a ring; the mark that is set here ends the second round.
        unit = unitsByKeeper.get(pid) ?? units.get(pid) ?? (pid <= 1 ? '' : undefined)
        if (unit !== undefined) break
        units.set(pid, '')
        path.push(pid)
      }
      for (const pid of path) units.set(pid, unit)
      return unit
    }
  }

  // Those that were not read yet, or are outside the query, are read by themselves.
  #parentOf(pid: number): number {
    const known = this.#parents.get(pid) ?? this.#proc.stat(pid)?.ppid ?? 0
    this.#parents.set(pid, known)
    return known
  }
}
