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
  /** Keepers that run now, by pid: "web.service/2", "run/ID". Asked once for each table. */
  readonly unitsByKeeper: () => ReadonlyMap<number, string>
}

/** Processes between two pauses: about 3 ms. */
const sliceProcesses = 64
/** What is shown of an argument vector once processArgsTotalBytesMax is spent. */
const argsBytesWhenSpent = 256

export class ProcessTable {
  readonly #proc: ProcFs
  readonly #users: Users
  readonly #options: ProcessTableOptions

  constructor(deps: ProcessTableDeps, options: ProcessTableOptions) {
    this.#proc = deps.proc
    this.#users = deps.users
    this.#options = options
  }

  /** Ascending by pid. Arguments past the limits end with "…". */
  async list(query: ProcessQuery, options: CallOptions): Promise<ProcessListing> {
    this.#users.refresh()
    const pids = query.pids === undefined ? this.#proc.pids() : asPids(query.pids)
    const uids = query.uids === undefined ? undefined : new Set(query.uids)
    const reading = new Reading(
      this.#proc,
      this.#users,
      this.#options.machine,
      query.args !== false,
    )
    for (let i = 0; i < pids.length; i += sliceProcesses) {
      if (i > 0) await this.#proc.pause()
      if (options.signal.aborted) throw abortError(options.signal)
      for (const pid of pids.slice(i, i + sliceProcesses)) reading.add(pid, uids)
    }
    return {
      processes: reading.rows(this.#options.unitsByKeeper()),
      missing: [],
      machines: [this.#facts()],
    }
  }

  #facts(): ProcessListing['machines'][number] {
    return { machine: this.#options.machine, ...this.#proc.machineFacts() }
  }
}

// 0 and less are no processes, and a query from outside may hold anything and anything twice.
function asPids(pids: readonly number[]): number[] {
  const valid = pids.filter((pid) => Number.isInteger(pid) && pid > 0)
  return [...new Set(valid)].sort((a, b) => a - b)
}

type RowWithoutUnit = Omit<ProcessInfo, 'unit'>

/** One pass over the table. */
class Reading {
  readonly #proc: ProcFs
  readonly #users: Users
  readonly #machine: string
  readonly #withArgs: boolean
  readonly #rows: RowWithoutUnit[] = []
  readonly #parents = new Map<number, number>()
  readonly #msPerTick: number
  #argsBytesLeft: number = limits.processArgsTotalBytesMax

  constructor(proc: ProcFs, users: Users, machine: string, withArgs: boolean) {
    this.#proc = proc
    this.#users = users
    this.#machine = machine
    this.#withArgs = withArgs
    this.#msPerTick = 1000 / proc.ticksPerSecond
  }

  add(pid: number, uids: ReadonlySet<number> | undefined): void {
    const owner = this.#proc.owner(pid)
    if (owner === undefined || (uids !== undefined && !uids.has(owner.uid))) return
    const stat = this.#proc.stat(pid)
    if (stat === undefined) return
    // Without memory of its own (a kernel thread, a zombie) it has no arguments either.
    const hasMemory = stat.vszBytes > 0
    const pages = hasMemory ? this.#proc.residentPages(pid) : 0
    const args = hasMemory && this.#withArgs ? this.#args(pid) : []
    // Gone after its line was read, or its id is another's already: either way it is no more.
    if (pages === undefined || args === undefined) return
    this.#parents.set(pid, stat.ppid)
    this.#rows.push(this.#row(stat, owner, pages, args))
  }

  rows(unitsByKeeper: ReadonlyMap<number, string>): ProcessInfo[] {
    const units = new Map<number, string>()
    return this.#rows.map((row) => ({ ...row, unit: this.#unitOf(row.ppid, unitsByKeeper, units) }))
  }

  #row(
    stat: ProcStat,
    owner: { readonly uid: number; readonly gid: number },
    pages: number,
    args: readonly string[],
  ): RowWithoutUnit {
    const ms = this.#msPerTick
    return {
      machine: this.#machine,
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
    const bytesMax = this.#argsBytesLeft > 0 ? limits.processArgsBytesMax : argsBytesWhenSpent
    const read = this.#proc.args(pid, bytesMax)
    if (read === undefined) return undefined
    this.#argsBytesLeft -= jsonCost(read.args)
    return read.cut ? [...read.args.slice(0, -1), `${read.args.at(-1) ?? ''}…`] : read.args
  }

  /**
   * The unit of a process whose parent is `ppid`. Each step upward is remembered in `units`, so a
   * whole table costs one step per process.
   */
  #unitOf(
    ppid: number,
    unitsByKeeper: ReadonlyMap<number, string>,
    units: Map<number, string>,
  ): string {
    if (unitsByKeeper.size === 0) return ''
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

  // Ancestors outside the query are read one by one.
  #parentOf(pid: number): number {
    return this.#parents.get(pid) ?? this.#proc.stat(pid)?.ppid ?? 0
  }
}

/** Bytes that the arguments take in a message, at most: an odd character there takes six. */
function jsonCost(args: readonly string[]): number {
  let cost = 0
  for (const arg of args) cost += /^[ !#-[\]-~]*$/.test(arg) ? arg.length + 3 : arg.length * 6 + 3
  return cost
}
