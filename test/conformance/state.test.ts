/** Runs the suite on every engine there is. */
import { wildChaos } from '../../src/state/chaos.ts'
import { embedded, simulated } from './engines.ts'
import { stateSuite } from './state.ts'

stateSuite('embedded', embedded)
stateSuite('simulated', simulated({}))
stateSuite('simulated, slow', simulated({ latencyMsMax: 2 }))
stateSuite('simulated, chaos', simulated(wildChaos), { chaos: true })
