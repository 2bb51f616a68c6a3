/** What a machine tells those that keep the state, twice a second. */
import type { MachineReport } from '../kernel/types.ts'
import type { Fitness } from './reconcile/leadership.ts'

export interface Beat {
  readonly report: MachineReport
  /** Changes whenever what it runs for the fleet does: then it is worth asking. */
  readonly sequence: number
  /** Of a machine that keeps the state. */
  readonly fitness?: Fitness
}
