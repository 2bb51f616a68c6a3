/** What an agent may ask of its front, over a unix socket that only its own user may open. */
import type { CallOptions } from '../kernel/types.ts'
import { defineInterface } from '../rpc/interface.ts'
import type { UnitTraffic } from './stats.ts'
import type { FrontTable } from './table.ts'

export interface FrontState {
  /** Ports that it should listen on and cannot, with why: it tries again with each table. */
  readonly problems: readonly { readonly port: number; readonly why: string }[]
  /** Where other machines' fronts find this one; 0 while it does not listen for them. */
  readonly port: number
}

export interface FrontControl {
  /** From now on it works by this table. Idempotent. */
  apply(table: FrontTable, options: CallOptions): Promise<FrontState>
  /** Connections and requests under way to an instance here, from wherever. Idempotent. */
  underWay(instance: string, options: CallOptions): Promise<number>
  /** Idempotent. */
  traffic(options: CallOptions): Promise<readonly UnitTraffic[]>
}

export const frontInterface = defineInterface<FrontControl>('Front', {
  apply: { args: 1, idempotent: true },
  underWay: { args: 1, idempotent: true },
  traffic: { args: 0, idempotent: true },
})
