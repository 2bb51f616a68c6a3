/** The kinds of simulations, by name: each makes a whole one of nothing but a seed. */
import { simulateDrain } from './drain.ts'
import { simulateLeases } from './leases.ts'
import { simulateLeave } from './leave.ts'
import { simulateLoss } from './loss.ts'
import { simulateOrder } from './order.ts'
import { simulateOutage } from './outage.ts'
import { simulateReturn } from './return.ts'
import { type SimResult, simulateSeed } from './run.ts'
import { simulateSilence } from './silence.ts'
import { simulateTimers } from './timers.ts'

export const families = {
  chaos: (seed: number) => simulateSeed(seed),
  links: (seed: number) => simulateSeed(seed, { wired: true }),
  lease: simulateLeases,
  leave: simulateLeave,
  loss: simulateLoss,
  drain: simulateDrain,
  outage: simulateOutage,
  silence: simulateSilence,
  order: simulateOrder,
  timers: simulateTimers,
  return: simulateReturn,
} as const satisfies Record<string, (seed: number) => Promise<SimResult>>

export type Family = keyof typeof families

export function isFamily(name: string): name is Family {
  return Object.hasOwn(families, name)
}
