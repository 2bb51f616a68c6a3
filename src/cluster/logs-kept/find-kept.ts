/**
 * Which logs of a unit are to be read, and from where: those of the machines that have it, and for
 * machines that do not answer, or are not in the fleet any more, the copies that others have. Of
 * several copies of a machine's logs the one that ends last counts: the others are of keepers that
 * it had before.
 */
import type { LogPage, LogQuery } from '../../kernel/log-types.ts'
import type { CallOptions, MissingMachine } from '../../kernel/types.ts'
import type { FanOutAnswer } from '../fan-out.ts'
import type { MachineRecord } from '../members.ts'
import { isSilence, type LogReading } from '../merged-logs.ts'
import type { UnitHolder } from '../unit-of-many.ts'
import type { KeptLog, KeptLogs } from './kept-log.ts'

/** A copy of one machine's logs of a unit. */
export interface KeptReading extends LogReading {
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
      const known = best.get(log.machineId)
      if (known === undefined || known.log.endsAtMs < log.endsAtMs) {
        best.set(log.machineId, { keeper, log })
      }
    }
  }
  const members = new Map(source.machines().map((each) => [each.machineId, each.name]))
  return [...best.values()].map(({ keeper, log: { machineId, machine, endsAtMs } }) => {
    const name = members.get(machineId)
    const read = async (query: LogQuery, options: CallOptions): Promise<LogPage> => {
      const part = await source.part(keeper, options.signal)
      return part.keptLogPage({ machineId, unit }, query, options)
    }
    // Another machine may have the name of one that left.
    const key = name ?? machineId
    return { machine: name ?? machine, key, isMember: name !== undefined, endsAtMs, read }
  })
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
  return {
    sources: [...own, ...copied, ...gone],
    missing: missing.filter((each) => !silent.includes(each)),
  }
}
