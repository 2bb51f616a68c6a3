/** The machines of the fleet as a machine that decides sees them: records, and who is heard. */
import type { MachineReport } from '../../kernel/types.ts'
import type { Liveness } from '../liveness.ts'
import type { MachineRecord } from '../members.ts'
import type { Presence } from './unit-view.ts'

/** A machine of the fleet, as the leader sees it. */
export interface ControlledMachine {
  readonly machineId: string
  readonly name: string
  readonly zone: string
  readonly labels: Readonly<Record<string, string>>
  readonly presence: Presence
  /** How long it has been so. */
  readonly forMs: number
  /** It was not heard when it should have been: it may be silent soon. */
  readonly doubted: boolean
  readonly report: MachineReport | undefined
}

export function controlledMachines(
  records: readonly MachineRecord[],
  liveness: Liveness,
  self: string,
  ownReport: () => MachineReport | undefined,
): readonly ControlledMachine[] {
  return records.map(({ machineId, name, zone, labels }) => {
    const { up, forMs, doubted } = liveness.presence(machineId)
    const presence = up ? 'up' : 'silent'
    const report = machineId === self ? ownReport() : liveness.reportOf(machineId)
    return { machineId, name, zone, labels, presence, forMs, doubted, report }
  })
}
