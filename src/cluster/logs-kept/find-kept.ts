/**
 * Which logs of a unit are to be read, and from where: those of the machines that have it, or had
 * it; and for machines that do not answer, or are not in the fleet any more, the copies that others
 * have. Of several copies of a machine's logs the one that ends last counts: the others are of
 * keepers that it had before.
 */
import type { LogPage, LogQuery } from '../../kernel/log-types.ts'
import type { CallOptions, MissingMachine } from '../../kernel/types.ts'
import type { FanOutAnswer } from '../fan-out.ts'
import type { MachineRecord } from '../members.ts'
import { isSilence, type LogReading } from '../merged-logs.ts'
import type { UnitHolder } from '../unit-of-many.ts'
import type { KeptLog, KeptLogs } from './kept-log.ts'

/** A copy of one machine's logs of a unit, or the logs of one that has nothing of it any more. */
export interface KeptReading extends LogReading {
  readonly isOwn: boolean
  /** Whether the machine is still in the fleet. */
  readonly isMember: boolean
}

export type FindKept = (
  query: Pick<LogQuery, 'instances'>,
  signal: AbortSignal,
) => Promise<readonly KeptReading[]>

export interface KeptSource {
  /** All that may have a copy. */
  readonly machines: () => readonly MachineRecord[]
  readonly ask: <T>(
    ask: (part: KeptLogs, signal: AbortSignal) => Promise<T>,
    signal: AbortSignal,
  ) => Promise<FanOutAnswer<MachineRecord, T>>
  readonly part: (machine: MachineRecord, signal: AbortSignal) => Promise<KeptLogs>
}

export async function findKept(
  source: KeptSource,
  unit: string,
  { instances }: Pick<LogQuery, 'instances'>,
  signal: AbortSignal,
): Promise<readonly KeptReading[]> {
  const { answers } = await source.ask(
    (part, limit) => part.keptLogs({ unit, instances }, { signal: limit }),
    signal,
  )
  const best = new Map<string, { readonly keeper: MachineRecord; readonly log: KeptLog }>()
  for (const { machine: keeper, value } of answers) {
    for (const log of value) {
      const of = log.machineId ?? keeper.machineId
      const known = best.get(of)?.log
      if (known === undefined || isBetter(log, known)) best.set(of, { keeper, log })
    }
  }
  const members = new Map(source.machines().map((each) => [each.machineId, each.name]))
  return [...best].map(([of, { keeper, log }]) => {
    const { machineId, endsAtMs } = log
    const name = members.get(of)
    const read = async (query: LogQuery, options: CallOptions): Promise<LogPage> => {
      const part = await source.part(keeper, options.signal)
      const which = machineId === undefined ? { unit } : { machineId, unit }
      return part.keptLogPage(which, query, options)
    }
    const isOwn = machineId === undefined
    return {
      machine: name ?? log.machine,
      // Another machine may have the name of one that left.
      key: name ?? of,
      isOwn,
      isMember: name !== undefined,
      ...(isOwn ? {} : { endsAtMs }),
      read,
    }
  })
}

/** A machine's own log is whole. */
function isBetter(log: KeptLog, known: KeptLog): boolean {
  if (known.machineId === undefined) return false
  return log.machineId === undefined || known.endsAtMs < log.endsAtMs
}

/** What is read, and who is missing all the same. */
export function logReadings(
  holders: readonly UnitHolder[],
  missing: readonly MissingMachine[],
  kept: readonly KeptReading[],
): { readonly sources: readonly LogReading[]; readonly missing: readonly MissingMachine[] } {
  const byName = new Map(kept.filter(({ isMember }) => isMember).map((each) => [each.key, each]))
  const own = holders.map(({ machine, unit }) => ({
    machine,
    key: machine,
    read: (query: LogQuery, options: CallOptions) => unit.logs(query, options),
    copy: byName.get(machine),
  }))
  // One that refuses has answered.
  const silent = missing.filter(({ code, machine }) => isSilence(code) && byName.has(machine))
  const copied = silent.flatMap(({ machine }) => byName.get(machine) ?? [])
  const gone = kept.filter(({ isMember }) => !isMember)
  const has = new Set(holders.map(({ machine }) => machine))
  const earlier = kept.filter(({ isMember, isOwn, key }) => isMember && isOwn && !has.has(key))
  return {
    sources: [...own, ...earlier, ...copied, ...gone],
    missing: missing.filter((each) => !silent.includes(each)),
  }
}
