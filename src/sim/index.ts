/** The public surface of the simulation: `import { simulate } from 'holon/sim'`. */
export { type ErrorCode, HolonError } from '../base/errors.ts'
export type { Violation } from './checks.ts'
export type { MachineModel } from './fleet.ts'
export {
  type MachineFaults,
  type SimulatedInstance,
  type SimulateOptions,
  type Simulation,
  simulate,
} from './simulation.ts'
export type { Note } from './world.ts'
