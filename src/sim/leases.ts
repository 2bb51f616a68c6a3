/**
 * Nothing but what must not run twice, and the faults that leases are there for: machines that are
 * cut off, stand still or lose their agent, best in the middle of a call to the state, while others
 * go on and may give their work away.
 */
import { everyFault, type FaultMix } from './faults.ts'
import { type SimResult, simulateSeed } from './run.ts'

const faults: FaultMix = {
  ...everyFault,
  crash: 1,
  midCall: 12,
  lateAnswer: 6,
  partition: 0,
  engineDown: 0,
  flap: 3,
  processExit: 0,
  slowDisk: 0,
  fullDisk: 0,
}

export function simulateLeases(seed: number): Promise<SimResult> {
  return simulateSeed(seed, { faults, units: ['db.service', 'one.service'] })
}
