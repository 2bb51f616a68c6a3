/** Every engine there is, fresh and empty, for tests. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { seededRandom } from '../../src/base/random.ts'
import { realClock } from '../../src/io/clock.ts'
import { realRandom } from '../../src/io/random.ts'
import type { wildChaos } from '../../src/state/chaos.ts'
import { openEmbedded } from '../../src/state/open.ts'
import type { State } from '../../src/state/port.ts'
import { SimulatedState, SimulatedStore } from '../../src/state/simulated.ts'
import type { Engine } from './state.ts'

export async function embedded(): Promise<Engine> {
  const dir = mkdtempSync(join(tmpdir(), 'holon-state-'))
  const path = join(dir, 'state.db')
  let state: State = await openEmbedded({ path })
  return {
    state,
    clock: realClock,
    random: realRandom,
    reopen: async () => {
      await state.close()
      state = await openEmbedded({ path })
      return state
    },
    [Symbol.asyncDispose]: async () => {
      await state.close()
      rmSync(dir, { recursive: true })
    },
  }
}

let seed = 1

export function simulated(chaos: Partial<typeof wildChaos>): () => Promise<Engine> {
  return async () => {
    const store = new SimulatedStore()
    const random = seededRandom(seed++)
    const deps = { clock: realClock, random }
    let state = new SimulatedState(deps, store, chaos)
    return {
      ...deps,
      state,
      reopen: async () => {
        await state.close()
        state = new SimulatedState(deps, store, chaos)
        return state
      },
      [Symbol.asyncDispose]: () => state.close(),
    }
  }
}
