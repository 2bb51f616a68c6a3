/** Links that this side ends: what their users hear, and that State goes on over another one. */
import assert from 'node:assert/strict'
import { duplexPair } from 'node:stream'
import { test } from 'node:test'
import { deadline } from '../base/clock.ts'
import { HolonError } from '../base/errors.ts'
import { seededRandom } from '../base/random.ts'
import { realClock } from '../io/clock.ts'
import { type RpcServerSession, rpcServerSession } from '../rpc/listen.ts'
import type { Remote } from '../rpc/remote.ts'
import { SimulatedState, SimulatedStore } from '../state/simulated.ts'
import { Links } from './links.ts'
import { type Peer, peerInterface } from './peer.ts'
import { RemoteState } from './state/remote-state.ts'
import { StateServer, type StateService } from './state/state-service.ts'

const clock = realClock
const version = '1'

/** Machines that serve one State, each behind a link. */
class Fleet implements AsyncDisposable {
  readonly state = new SimulatedState({ clock, random: seededRandom(1) }, new SimulatedStore())
  readonly removed = new Set<string>()
  readonly #sessions: RpcServerSession[] = []
  readonly links = new Links({
    clock,
    version,
    nameOf: (id) => id,
    dial: async (machineId) => {
      if (this.removed.has(machineId)) throw new HolonError('not_found', `no machine ${machineId}`)
      const [near, far] = duplexPair()
      const target = { state: async () => new StateServer(clock, this.state) } as unknown as Peer
      const options = { version, onInternalError: () => undefined }
      this.#sessions.push(rpcServerSession(clock, far, peerInterface, () => target, options))
      return near
    },
  })
  readonly remote = new RemoteState(clock, async (signal) => {
    const machineId = ['n1', 'n2'].find((each) => !this.removed.has(each)) ?? ''
    const peer = await this.links.peer(machineId, signal)
    return { at: machineId, service: (await peer.state({ signal })) as Remote<StateService> }
  })

  remove(machineId: string): void {
    this.removed.add(machineId)
    this.links.drop(machineId, `${machineId} is not in the fleet any more`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.remote.close()
    await this.links[Symbol.asyncDispose]()
    for (const session of this.#sessions) await session[Symbol.asyncDispose]()
    await this.state.close()
  }
}

test('Links.drop() ends calls under way and later ones as unavailable, saying why', async () => {
  await using fleet = new Fleet()
  using limit = deadline(clock, 10_000)
  const service = await (await fleet.links.peer('n1', limit.signal)).state(limit)
  const { revision } = await service.list('', limit)
  const watch = await service.watch('', revision, limit)
  await watch.next(limit)
  const underWay = assert.rejects(watch.next(limit), {
    code: 'unavailable',
    message: /n1 is not in the fleet any more/,
  })
  fleet.remove('n1')
  await underWay
  await assert.rejects(service.get('k', { stale: false }, limit), { code: 'unavailable' })
})

test('RemoteState() goes on when the machine that it asked leaves the fleet', async () => {
  await using fleet = new Fleet()
  using limit = deadline(clock, 10_000)
  const txn = (id: string) => ({
    if: [],
    then: [{ kind: 'put', key: 'k', value: id, schema: 1 } as const],
    operationId: id,
    writer: 'test',
  })
  assert.equal((await fleet.remote.txn(txn('a'), limit)).kind, 'done')
  const { revision } = await fleet.remote.list('', limit)
  const watch = fleet.remote.watch('', revision, limit)
  assert.equal((await watch.next()).value?.kind, 'synced')
  const coming = watch.next()
  fleet.remove('n1')
  assert.equal((await fleet.remote.get('k', limit))?.value, 'a')
  assert.equal((await fleet.remote.txn(txn('b'), limit)).kind, 'done')
  let event = (await coming).value
  while (event?.kind === 'synced') event = (await watch.next()).value
  assert.equal(event?.kind === 'put' && event.entry.value, 'b')
  await watch.return(undefined)
})
