/** The listing of the fleet's units, over the simulated engine and a leader that answers or not. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deadline } from '../base/clock.ts'
import { seededRandom } from '../base/random.ts'
import { realClock } from '../io/clock.ts'
import type { UnitListing } from '../kernel/types.ts'
import type { SignalOptions } from '../state/port.ts'
import { SimulatedState, SimulatedStore } from '../state/simulated.ts'
import { CallersFleetUnits } from './callers-fleet-units.ts'
import type { FleetCaller, FleetSystemDeps } from './fleet-system.ts'
import type { FleetUnits } from './fleet-units.ts'
import type { Peer } from './peer.ts'
import type { HeldBack, HeldBackQuery } from './reconcile/held-back.ts'
import { SpecTexts } from './reconcile/spec-texts.ts'
import { UnitVerbs } from './reconcile/verbs.ts'

const clock = realClock
const service = '[Service]\nExecStart=/usr/bin/program\n[X-Holon]\nInstances=3\n'
const timer = '[Timer]\nOnCalendar=hourly\n'
const waits = { unit: 'web.service', slot: 2, why: 'no machine fits' }
const pause = '4 of 12 machines in zone z1 are silent at once'

interface FixtureOptions {
  /** Read instead of what was loaded; `gone`: it is unloaded in this moment. */
  readonly texts?: Readonly<Record<string, string>>
  readonly gone?: readonly string[]
  readonly isAway?: boolean
  /** What each machine that keeps the state answers. */
  readonly peers?: readonly Peer['heldBack'][]
}

class Fixture implements Disposable {
  readonly limit = deadline(clock, 20_000)
  readonly #store = new SimulatedStore({})
  readonly #verbs = this.#verbsOver({})
  readonly asked: HeldBackQuery[] = []

  async load(...names: readonly string[]): Promise<void> {
    for (const unit of names) {
      const text = unit.endsWith('.timer') ? timer : service
      await this.#verbs.load({ unit, text }, 'uid 0', this.limit)
    }
  }

  async list(options: FixtureOptions = {}): Promise<Omit<UnitListing, 'missing'>> {
    const fleet = this.#fleet(options)
    return fleet.merge([], await fleet.known(this.limit.signal))
  }

  pauses(options: FixtureOptions): Promise<readonly string[]> {
    return this.#fleet(options).pauses(this.limit.signal)
  }

  #fleet({ texts = {}, gone = [], isAway = false, peers = [] }: FixtureOptions) {
    const state = this.#state(isAway ? { unavailable: 1 } : {})
    const memory = { read: (unit: string) => texts[unit], write: () => {} }
    const verbs = isAway ? this.#verbsOver({ unavailable: 1 }) : this.#verbs
    const units = {
      verbs: {
        units: (o: SignalOptions) => verbs.units(o),
        slots: (unit: string, o: SignalOptions) => verbs.slots(unit, o),
        spec: async (unit: string, o: SignalOptions) =>
          gone.includes(unit) ? undefined : verbs.spec(unit, o),
      },
      texts: new SpecTexts(state, memory, () => {}),
      seed: '',
      heldBack: () => undefined,
    }
    const deps = {
      clock,
      units: () => units as unknown as FleetUnits,
      machines: () => [],
      self: () => ({ machineId: 'here', name: 'here' }),
      stateKeepers: () => ['here', ...peers.map((_, i) => String(i))],
      links: {
        peer: async (id: string): Promise<Pick<Peer, 'heldBack'>> => ({
          heldBack: async (about, o) => {
            this.asked.push(about)
            return (peers[Number(id)] as Peer['heldBack'])(about, o)
          },
        }),
      },
    }
    return new CallersFleetUnits(deps as unknown as FleetSystemDeps, {} as FleetCaller, {
      holders: async () => ({ holders: [], missing: [] }),
      kept: () => async () => [],
    })
  }

  #state(chaos: { unavailable?: number }) {
    return new SimulatedState({ clock, random: seededRandom(1) }, this.#store, chaos)
  }

  #verbsOver(chaos: { unavailable?: number }) {
    return new UnitVerbs({ clock, random: seededRandom(1), state: this.#state(chaos) }, 'test')
  }

  [Symbol.dispose](): void {
    this.limit[Symbol.dispose]()
  }
}

const leader = async (): Promise<HeldBack> => ({ waiting: [waits], pauses: [pause] })
const standsBy = async (): Promise<HeldBack> => {
  throw new Error('this machine does not decide')
}
const silent = (_: unknown, { signal }: { signal: AbortSignal }) =>
  new Promise<HeldBack>((_, reject) =>
    signal.addEventListener('abort', () => reject(signal.reason), { once: true }),
  )

test('a listing has what waits of all units, and the leader is asked once', async () => {
  using fixture = new Fixture()
  await fixture.load('db.service', 'web.service')
  const { units, stateUnavailable } = await fixture.list({ peers: [leader] })
  assert.deepEqual(
    units.map(({ name, fleet }) => [name, fleet?.waiting]),
    [
      ['db.service', []],
      ['web.service', ['web.service/2: no machine fits']],
    ],
  )
  assert.equal(stateUnavailable, undefined)
  assert.deepEqual(fixture.asked, [{}])
  assert.deepEqual(await fixture.pauses({ peers: [standsBy, leader] }), [pause])
})

test('a leader that does not answer holds a listing up for a second, and nothing is said', async () => {
  using fixture = new Fixture()
  await fixture.load('web.service')
  const beganMs = clock.nowMs()
  const { units } = await fixture.list({ peers: [silent, standsBy] })
  assert.deepEqual(units[0]?.fleet?.waiting, [])
  assert.ok(clock.nowMs() - beganMs < 5_000)
  assert.deepEqual(await fixture.pauses({ peers: [] }), [])
})

test('one unit that is gone meanwhile or cannot be read leaves the others as they are', async () => {
  using fixture = new Fixture()
  await fixture.load('db.service', 'gone.service', 'tick.timer', 'web.service', 'odd.timer')
  const { units, stateUnavailable } = await fixture.list({
    gone: ['gone.service'],
    texts: { 'web.service': '[Service]\nOddity=1\n', 'odd.timer': '[Timer]\nOddity=1\n' },
  })
  const rows = units.map(({ name, load }) => [name, load]).sort()
  assert.deepEqual(rows, [
    ['db.service', 'loaded'],
    ['odd.timer', 'bad-setting'],
    ['tick.timer', 'loaded'],
    ['web.service', 'bad-setting'],
  ])
  const web = units.find(({ name }) => name === 'web.service')
  assert.match(web?.notes.join() ?? '', /^its text 1 cannot be read: /)
  assert.equal(stateUnavailable, undefined)
})

test('a listing says that the state does not answer, and what it lacks', async () => {
  using fixture = new Fixture()
  await fixture.load('web.service')
  const { units, stateUnavailable } = await fixture.list({ isAway: true })
  assert.deepEqual(units, [])
  assert.match(
    stateUnavailable ?? '',
    /^the fleet's state does not answer: units without an instance, and timers, are not listed \(/,
  )
})
