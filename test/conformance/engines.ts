/** Every engine there is, fresh and empty, for tests. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { seededRandom } from '../../src/base/random.ts'
import { RemoteState } from '../../src/cluster/state/remote-state.ts'
import {
  StateServer,
  type StateService,
  stateServiceInterface,
} from '../../src/cluster/state/state-service.ts'
import { realClock } from '../../src/io/clock.ts'
import { realRandom } from '../../src/io/random.ts'
import { connectRpc, type RpcClient } from '../../src/rpc/connect.ts'
import { listenRpc } from '../../src/rpc/listen.ts'
import type { wildChaos } from '../../src/state/chaos.ts'
import { openEtcd } from '../../src/state/etcd/etcd-state.ts'
import { openEmbedded } from '../../src/state/open.ts'
import type { State } from '../../src/state/port.ts'
import { SimulatedState, SimulatedStore } from '../../src/state/simulated.ts'
import type { EtcdMember } from '../support/etcd.ts'
import { temporaryDirectory } from '../support/rpc-toy.ts'
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

let prefixes = 0

/** A fresh prefix in an etcd that the caller runs. */
export function etcd(member: () => EtcdMember): () => Promise<Engine> {
  return async () => {
    const prefix = `test-${process.pid}-${prefixes++}/`
    const deps = { clock: realClock, random: realRandom }
    const open = () => openEtcd(deps, { endpoints: [member().endpoint], prefix })
    let state = open()
    return {
      ...deps,
      state,
      reopen: async () => {
        await state.close()
        state = open()
        return state
      },
      [Symbol.asyncDispose]: () => state.close(),
    }
  }
}

/** Another engine, over a link in this process. */
export function remote(inner: () => Promise<Engine>): () => Promise<Engine> {
  return async () => {
    const engine = await inner()
    const directory = temporaryDirectory()
    const path = join(directory.path, 'sock')
    const version = '1'
    const server = new StateServer(engine.clock, engine.state)
    const bugs: unknown[] = []
    const listener = await listenRpc(engine.clock, path, stateServiceInterface, () => server, {
      version,
      onInternalError: (error) => bugs.push(error),
    })
    const clients: RpcClient<StateService>[] = []
    const find = async (signal: AbortSignal) => {
      const options = { version, signal }
      const client = await connectRpc(engine.clock, path, stateServiceInterface, options)
      clients.push(client)
      return { at: 'm', service: client.main }
    }
    let state = new RemoteState(engine.clock, find)
    return {
      clock: engine.clock,
      random: engine.random,
      state,
      reopen: async () => {
        await state.close()
        state = new RemoteState(engine.clock, find)
        return state
      },
      [Symbol.asyncDispose]: async () => {
        await state.close()
        for (const client of clients) await client[Symbol.asyncDispose]()
        await listener[Symbol.asyncDispose]()
        await engine[Symbol.asyncDispose]()
        directory[Symbol.dispose]()
        // Giving back a link's main object ends the link, which its server calls an error.
        assert.deepEqual(
          bugs.filter((bug) => !/disposing the main stub/.test(String(bug))),
          [],
        )
      },
    }
  }
}
