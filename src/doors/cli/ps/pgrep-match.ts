/** Which processes a `pgrep` request means: here all criteria must hold, as procps has it. Pure. */
import type { ProcessInfo, ProcessListing } from '../../../kernel/types.ts'
import type { PgrepRequest } from './pgrep-options.ts'
import { type Caller, select } from './select.ts'

/** The matching rows, never the caller itself. */
export function pgrepMatch(
  listing: Pick<ProcessListing, 'processes' | 'machines'>,
  request: PgrepRequest,
  caller: Caller,
): readonly ProcessInfo[] {
  const uptimes = new Map(listing.machines.map((each) => [each.machine, each.uptimeMs]))
  const criteria = listCriteria(request)
  const found = listing.processes.filter((row) => {
    if (row.pid === caller.pid && row.startTicks === caller.startTicks) return false
    const named = criteria.every((criterion) => {
      const selection = { criteria: [criterion], negate: false, onlyRunning: false }
      return select([row], selection, caller).length === 1
    })
    const matches = named && ownCriteria(row, request, uptimes.get(row.machine) ?? 0)
    return matches !== request.invert
  })
  if (request.pick === 'all' || found.length === 0) return found
  const sign = request.pick === 'newest' ? -1 : 1
  const ordered = [...found].sort((a, b) => sign * (startedAt(a) - startedAt(b) || a.pid - b.pid))
  return ordered.slice(0, 1)
}

// Across machines by the wall clock; ticks within a machine are finer than its seconds.
const startedAt = (row: ProcessInfo): number => row.startedAtMs

function listCriteria(request: PgrepRequest): Parameters<typeof select>[1]['criteria'] {
  const { users, groups, parents, ttys, sids } = request
  return [
    ...(users === undefined ? [] : [{ kind: 'users', names: users } as const]),
    ...(groups === undefined ? [] : [{ kind: 'groups', names: groups } as const]),
    ...(parents === undefined ? [] : [{ kind: 'ppids', pids: parents } as const]),
    ...(ttys === undefined ? [] : [{ kind: 'ttys', names: ttys } as const]),
    ...(sids === undefined ? [] : [{ kind: 'sids', sids } as const]),
  ]
}

function ownCriteria(row: ProcessInfo, request: PgrepRequest, uptimeMs: number): boolean {
  const { pattern, full, pgids, states, olderThanSeconds } = request
  if (pgids !== undefined && !pgids.includes(row.pgid)) return false
  if (states !== undefined && !states.includes(row.state)) return false
  if (olderThanSeconds !== undefined) {
    const ageMs = uptimeMs - row.startTicks * 10
    if (ageMs < olderThanSeconds * 1000) return false
  }
  return pattern === undefined || pattern.test(matchedText(row, full))
}

// A process without a command line (a kernel thread) is known by its name.
function matchedText(row: ProcessInfo, full: boolean): string {
  return full && row.args.length > 0 ? row.args.join(' ') : row.comm
}
