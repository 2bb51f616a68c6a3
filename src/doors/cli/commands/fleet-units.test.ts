/**
 * The commands for the fleet's units, over a System that says what the fleet would: what they ask
 * for, what they print, and with which status they exit. The lab's tests have the real fleet.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Command } from 'commander'
import { HolonError } from '../../../base/errors.ts'
import type { EventPage, EventQuery, FleetEvent } from '../../../kernel/decisions.ts'
import type { System, Unit } from '../../../kernel/kernel.ts'
import type {
  FleetPart,
  InstanceStatus,
  MissingMachine,
  UnitStatus,
} from '../../../kernel/types.ts'
import type { CliContext } from '../context.ts'
import { testContext, testState } from '../ps/test-system.ts'
import { command as drain, intentVerb } from './drain.ts'
import { command as events } from './events.ts'
import { command as rollout } from './rollout.ts'
import { parseWish, command as scale } from './scale.ts'
import { command as show } from './show.ts'
import { command as status } from './status.ts'
import { unitVerb } from './unit-verbs.ts'
import { command as why } from './why.ts'

type Slot = FleetPart['slots'][number]

function instanceOn(number: number, machine: string): InstanceStatus {
  const name = `web.service/${number}`
  const times = { sinceMs: 0, startedAtMs: 0, restarts: 0 }
  const facts = { active: 'active', sub: 'running', pid: 7, result: 'success', pids: [7] } as const
  return { name, number, machine, ...times, ...facts }
}

/** A unit of the fleet whose instances are on these machines, in order. */
function web(machines: readonly string[], part: Partial<FleetPart> = {}): UnitStatus {
  const slots = machines.map(
    (machine, i): Slot => ({ slot: i + 1, machine, spec: 2, generation: 1, why: 'it has room' }),
  )
  const fleet: FleetPart = { spec: 2, history: [], slots, waiting: [], ...part }
  return {
    name: 'web.service',
    machines,
    description: 'web',
    load: 'loaded',
    active: 'active',
    sub: 'running',
    enabled: true,
    wanted: true,
    instances: machines.map((machine, i) => instanceOn(i + 1, machine)),
    instancesWanted: 3,
    loadedAtMs: 0,
    notes: [],
    scope: 'fleet',
    fleet,
  }
}

/** `steps`: what the unit is at each look; the last one stays. */
class Fleet {
  readonly asked: string[] = []
  readonly #steps: UnitStatus[]
  readonly missing: MissingMachine[] = []
  next: readonly string[] = []
  pages: readonly EventPage[] = []
  readonly queries: EventQuery[] = []

  constructor(...steps: readonly UnitStatus[]) {
    this.#steps = [...steps]
  }

  #look(): UnitStatus {
    const step = this.#steps.length > 1 ? this.#steps.shift() : this.#steps[0]
    assert.ok(step !== undefined)
    return step
  }

  #unit(): Partial<Unit> {
    const asked = (what: string) => {
      this.asked.push(what)
      return this.#look()
    }
    return {
      status: async () => this.#look(),
      scale: async (count) => asked(`scale ${count}`),
      start: async () => asked('start'),
      stop: async () => asked('stop'),
      restart: async ({ instance }) => asked(`restart ${instance}`),
      enable: async () => asked('enable'),
      disable: async () => asked('disable'),
      unload: async () => {
        this.asked.push('unload')
      },
      undo: async ({ to }) => asked(`undo ${to}`),
      why: async () => ({
        unit: 'web.service',
        status: this.#look(),
        decisions: [{ atMs: 1, machine: 'n1', what: 'place on n2', why: 'it has room' }],
        next: this.next,
        fitting: {
          ...{ machines: 9, fitting: 3 },
          refusals: [
            { why: 'not disk=ssd', count: 5, examples: ['a', 'b'].map((machine) => ({ machine })) },
            { why: 'cordoned', count: 1, examples: [{ machine: 'c', detail: 'so' }] },
          ],
        },
      }),
      logs: async () => ({ entries: [], cursor: '', atEnd: true, missing: [] }),
    }
  }

  /** Runs a command, and has what it printed. */
  async run(make: (context: CliContext) => Command, ...args: readonly string[]) {
    const intent = { wish: 'draining', sinceMs: 1_000, by: 'uid 0' } as const
    const system = {
      unit: async (name: string) => {
        if (name === 'web') return this.#unit()
        throw new HolonError('not_found', `there is no unit "${name}"`)
      },
      units: async () => ({ units: [this.#look()], missing: this.missing }),
      intend: async (machine: string, wish: string) => {
        this.asked.push(`${machine} ${wish}`)
      },
      machines: async () => ({
        machines: [{ name: 'n2', status: 'up', intent }],
        state: testState,
      }),
      events: async (query: EventQuery) => {
        this.queries.push(query)
        const page = this.pages[this.queries.length - 1]
        if (page === undefined) throw new HolonError('permission_denied', 'no more pages')
        return page
      },
    }
    const { context, printed } = testContext(system as unknown as System)
    await make(context)
      .exitOverride()
      .parseAsync([...args], { from: 'user' })
    return printed
  }
}

test('scale tells how many are up, and what the others wait for', async () => {
  const fleet = new Fleet(web(['n1', 'n2', 'n3']))
  const printed = await fleet.run(scale, 'web=3')
  assert.deepEqual(fleet.asked, ['scale 3'])
  assert.deepEqual(printed, { out: 'web.service: 3 of 3 up\n', err: '', status: 0 })
  const waiting = ['web.service/4: no machine fits']
  const short = await new Fleet(web(['n1', 'n2', 'n3'], { waiting })).run(scale, 'web=4')
  assert.equal(short.out, 'web.service: 3 of 4 up\n')
  assert.equal(short.err, 'holon: web.service/4: no machine fits\n')
  assert.equal(short.status, 1)
})

test('scale --no-wait returns once it is written down', async () => {
  const fleet = new Fleet(web(['n1']), web(['n1'], { scale: 2 }), web(['n1'], { scale: 5 }))
  const { out, status } = await fleet.run(scale, '--no-wait', 'web=5')
  assert.match(out, /^web\.service: 1 of 5 up\n$/)
  assert.equal(status, 0)
})

test('parseWish() takes a unit and a count', () => {
  assert.deepEqual(parseWish('web.service=12'), { name: 'web.service', count: 12 })
  for (const bad of ['web', 'web=', '=3', 'web=-1', 'web=1.5', 'web=x', 'a=b=3']) {
    assert.throws(() => parseWish(bad), { code: 'invalid_argument' }, bad)
  }
})

test('drain tells each change and ends when nothing is left', async () => {
  const waiting = ['web.service/2: it is being started on n1']
  const fleet = new Fleet(web(['n2', 'n2']), web(['n1', 'n2'], { waiting }), web(['n1', 'n1']))
  const { out, err, status } = await fleet.run(drain, 'n2')
  assert.deepEqual(fleet.asked, ['n2 draining'])
  assert.deepEqual(err.split('\n'), [
    "n2: 2 of the fleet's instances left: web.service/1, web.service/2",
    "n2: 1 of the fleet's instances left: web.service/2",
    '  web.service/2: it is being started on n1',
    '',
  ])
  assert.match(out, /^n2 is drained/)
  assert.equal(status, 0)
})

test('drain does not call a machine drained that does not answer', async () => {
  const fleet = new Fleet(web(['n1']))
  fleet.missing.push({ machine: 'n2', code: 'unavailable' })
  const { out, err, status } = await fleet.run(drain, 'n2')
  assert.equal(out, '')
  assert.match(err, /n2 does not answer/)
  assert.equal(status, 4)
})

test('drain does not wait for what has ended there for good', async () => {
  const ended = web(['n2'])
  const [slot] = ended.fleet?.slots ?? []
  assert.ok(slot !== undefined && ended.fleet !== undefined)
  const failed = { ...instanceOn(1, 'n2'), active: 'failed', sub: 'failed' } as const
  const slots = [{ ...slot, endedAtMs: 5 }]
  const fleet = new Fleet({ ...ended, instances: [failed], fleet: { ...ended.fleet, slots } })
  assert.match((await fleet.run(drain, 'n2')).out, /^n2 is drained/)
})

test('cordon, uncordon, undrain and drain --no-wait write down what is wanted', async () => {
  const fleet = new Fleet(web(['n2']))
  for (const name of ['cordon', 'uncordon', 'undrain'] as const) {
    assert.match((await fleet.run((context) => intentVerb(name, context), 'n2')).out, /^n2: /)
  }
  assert.equal((await fleet.run(drain, '--no-wait', 'n2')).out, 'n2 is being drained.\n')
  assert.deepEqual(fleet.asked, ['n2 cordoned', 'n2 none', 'n2 none', 'n2 draining'])
})

const going = { from: 1, to: 2, status: 'going', sinceMs: 0 } as const

test('rollout status follows a change until it is out', async () => {
  const [first, second] = web(['n1', 'n2']).fleet?.slots ?? []
  assert.ok(first !== undefined && second !== undefined)
  const half = [first, { ...second, spec: 1 }]
  const fleet = new Fleet(
    web(['n1', 'n2'], { rollout: going, slots: half }),
    web(['n1', 'n2'], { rollout: { ...going, status: 'done' } }),
  )
  const { out, err, status } = await fleet.run(rollout, 'status', 'web')
  assert.equal(err, 'web.service: 1 of 2 instances have text 2, which is being brought out\n')
  assert.equal(out, 'web.service: 2 of 2 instances have text 2\n')
  assert.equal(status, 0)
})

test('rollout status exits 1 with the reason when the change was taken back', async () => {
  const failed = { from: 3, to: 2, status: 'failed', sinceMs: 0, why: 'exit-code' } as const
  const { out, status } = await new Fleet(web(['n1'], { rollout: failed })).run(
    rollout,
    ...['status', 'web'],
  )
  assert.match(out, /1 of 1 instances have text 2; text 3 was taken back .* ago: exit-code\n$/)
  assert.equal(status, 1)
  // Of what came after it that says nothing any more.
  const later = web(['n1'], { rollout: { ...failed, to: 1 } })
  assert.equal((await new Fleet(later).run(rollout, 'status', 'web')).status, 0)
})

test('rollout history lists the texts, undo names one', async () => {
  const history = [
    { spec: 1, atMs: 1_000, by: 'uid 0' },
    { spec: 2, atMs: 2_000, by: 'holon', note: 'rolled back from 3' },
  ]
  const fleet = new Fleet(web(['n1'], { history }))
  const rows = (await fleet.run(rollout, 'history', 'web')).out.split('\n')
  assert.match(rows[0] ?? '', /^NUMBER +WHEN +BY +NOTE$/)
  assert.match(rows[2] ?? '', /^2 +\S+ \S+ +holon +rolled back from 3$/)
  const { out } = await fleet.run(rollout, 'history', 'web', '-o', 'json')
  assert.deepEqual(JSON.parse(out), history)
  await fleet.run(rollout, 'undo', 'web')
  await fleet.run(rollout, 'undo', 'web', '--to', '1')
  assert.deepEqual(fleet.asked, ['undo undefined', 'undo 1'])
})

test('a unit of one machine has no rollout', async () => {
  const { fleet: _, ...own } = web(['n1'])
  const ofOne = new Fleet({ ...own, scope: 'machine' })
  await assert.rejects(ofOne.run(rollout, 'status', 'web'), { code: 'unsupported' })
  const { fleet: __, ...timer } = web([])
  const part = { unit: 'backup.service', machines: [], waits: 'it is stopped' }
  await assert.rejects(
    new Fleet({ ...timer, name: 'backup.timer', timer: part }).run(rollout, 'status', 'web'),
    /backup\.timer is a timer: it has no rollout; `holon rollout status backup\.service`/,
  )
})

const verb = (name: string) => (context: CliContext) => unitVerb(name, context)

test('what takes whole units refuses one instance, and says what to do', async () => {
  const fleet = new Fleet(web(['n1', 'n2']))
  for (const name of ['start', 'stop', 'enable', 'disable', 'unload'] as const) {
    const refused = { code: 'invalid_argument', message: /^\w+ web\/2: .* whole units; `holon / }
    await assert.rejects(fleet.run(verb(name), 'web/2'), refused, name)
  }
  const asking = { code: 'invalid_argument', message: /`holon why web\/2` explains one instance/ }
  for (const make of [verb('is-active'), verb('is-failed'), status, show]) {
    await assert.rejects(fleet.run(make, 'web/2'), asking)
  }
  for (const what of ['status', 'history', 'undo']) {
    await assert.rejects(fleet.run(rollout, what, 'web/2'), asking, what)
  }
  await assert.rejects(fleet.run(scale, 'web/2=3'), { code: 'invalid_argument' })
  assert.deepEqual(fleet.asked, [])
  assert.equal((await fleet.run(verb('restart'), 'web/2')).err, '')
  assert.deepEqual(fleet.asked, ['restart 2'])
})

test('start, restart and enable --now tell what waits, and exit 1', async () => {
  const waiting = ['web.service/3: no machine fits']
  const short = new Fleet(web(['n1', 'n2'], { waiting }))
  for (const [name, ...args] of [['start'], ['restart'], ['enable', '--now']] as const) {
    const { err, status } = await short.run(verb(name), ...args, 'web')
    assert.deepEqual([err, status], ['holon: web.service/3: no machine fits\n', 1], name)
  }
  // All are up: one is only not ready yet, for those that wait for it.
  const notReady = ['web.service/3: it is not ready yet on n3']
  const up = new Fleet(web(['n1', 'n2', 'n3'], { waiting: notReady }))
  assert.deepEqual(await up.run(verb('start'), 'web'), { out: '', err: '', status: 0 })
})

test('enable says how a unit of the fleet is started, unless it is', async () => {
  const idle = new Fleet({ ...web([]), wanted: false })
  const { out } = await idle.run(verb('enable'), 'web')
  assert.equal(out, 'web.service is enabled; `holon start web.service` starts it.\n')
  const started = await new Fleet(web(['n1'])).run(verb('enable'), 'web')
  assert.equal(started.out, 'web.service is enabled.\n')
})

test('start tells that its change was taken back, but not an earlier one', async () => {
  const back = { from: 3, to: 2, status: 'failed', sinceMs: 9, why: 'exit-code' } as const
  const three = ['n1', 'n2', 'n3']
  const bad = new Fleet(web(three, { spec: 3 }), web(three, { rollout: back }))
  const { err, status } = await bad.run(verb('start'), 'web')
  assert.match(err, /^holon: web\.service: text 3 was taken back: exit-code; see `holon why web/)
  assert.equal(status, 1)
  const earlier = new Fleet(web(three, { rollout: back }))
  assert.deepEqual(await earlier.run(verb('start'), 'web'), { out: '', err: '', status: 0 })
})

test('start of what runs once and has ended well is no failure', async () => {
  const once = web(['n1'])
  const done = { ...instanceOn(1, 'n1'), active: 'inactive', sub: 'dead', pid: 0 } as const
  const fleet = new Fleet({ ...once, active: 'inactive', instances: [done], instancesWanted: 1 })
  assert.deepEqual(await fleet.run(verb('start'), 'web'), { out: '', err: '', status: 0 })
})

test('stop tells which machines did not answer, and exits 4', async () => {
  const notes = ['no answer from n3: it may be there, too']
  const silent = new Fleet({ ...web([]), wanted: false, notes })
  for (const [name, ...args] of [['stop'], ['disable', '--now'], ['unload', '--now']] as const) {
    const { err, status } = await silent.run(verb(name), ...args, 'web')
    assert.equal(err, 'holon: web.service: no answer from n3: it may be there, too\n', name)
    assert.equal(status, 4, name)
  }
  assert.deepEqual(silent.asked, ['stop', 'disable', 'stop', 'stop', 'unload'])
  // What a machine notes of a unit of its own is not that.
  const { fleet: _, ...own } = web(['n1'])
  const noted = new Fleet({ ...own, scope: 'machine', notes: ['its file was changed'] })
  assert.deepEqual(await noted.run(verb('stop'), 'web'), { out: '', err: '', status: 0 })
})

test('status shows the change of a unit of the fleet and what waits', async () => {
  const waiting = ['web.service/2: no machine fits']
  const { out } = await new Fleet(web(['n1'], { rollout: going, waiting })).run(status, 'web')
  assert.match(out, /\n {4}Rollout: 1 of 1 instances have text 2, which is being brought out\n/)
  assert.match(out, /\n {3}web\.service\/1 on n1: active \(running\)/)
  assert.match(out, /\n {3}web\.service\/2: no machine fits\n/)
})

test('why tells where each instance is, and why there', async () => {
  const unit = web(['n2', 'n2'])
  const { out } = await new Fleet(unit).run(why, 'web')
  assert.match(out, /\n {2}web\.service\/2 on n2: here because it has room\n/)
  assert.match(out, /place on n2: it has room/)
  assert.match(out, /\nWhere one more could be: on 3 of 9 machines\n/)
  assert.match(out, /\n {2}not on 5, not disk=ssd \(a, b, …\)\n {2}not on 1, cordoned \(c: so\)\n/)
  const one = await new Fleet(unit).run(why, 'web/2')
  assert.doesNotMatch(one.out, /web\.service\/1/)
})

test('why of an instance is about that one, and says when nothing is recorded of it', async () => {
  const fleet = new Fleet(web(['n1']))
  fleet.next = ['web.service/1 is starting', 'web.service/10: no machine fits']
  const one = await fleet.run(why, 'web/1')
  assert.match(one.out, /What comes next:\n {2}web\.service\/1 is starting\n$/)
  assert.equal(one.err, '')
  assert.equal((await fleet.run(why, 'web/10')).err, '', 'it waits')
  const none = await fleet.run(why, 'web/99')
  assert.match(none.err, /^holon: nothing is recorded of web\.service\/99; `holon status /)
})

test('why of a machine tells what is wanted of it and what of the fleet is there', async () => {
  const told = (about: string) => {
    const seen = { atMs: 0, machine: 'n1', about, what: 'silent', why: 'it is not heard of' }
    return [{ events: [seen], cursor: 'c' }]
  }
  const fleet = new Fleet(web(['n1', 'n2']))
  fleet.pages = told('n2')
  const { out, status } = await fleet.run(why, 'n2')
  assert.match(out, /\nWhat led here:\n {2}\S+ \S+ n1 n2: silent: it is not heard of\n/)
  assert.deepEqual(fleet.queries, [{ about: 'n2' }])
  assert.match(out, /^n2 is up\n {2}draining since .*, asked by uid 0\n/)
  assert.match(out, /\n {2}web\.service\/2: here because it has room\n/)
  assert.doesNotMatch(out, /web\.service\/1/)
  assert.equal(status, 0)
  const other = new Fleet(web(['n2']))
  other.pages = told('n2')
  const { instances, decisions } = JSON.parse((await other.run(why, 'n2', '--json')).out)
  assert.deepEqual([instances.length, decisions.length], [1, 1])
  const gone = new Fleet(web([]))
  gone.pages = [...told('n6'), ...told('n6')]
  assert.match((await gone.run(why, 'n6')).out, /^n6 is not in the fleet\n(.*\n)*.*: silent: /)
  const unknown = new Fleet(web([]))
  unknown.pages = [{ events: [], cursor: 'c' }]
  await assert.rejects(unknown.run(why, 'n7'), {
    code: 'not_found',
    message: 'there is no unit "n7"; nor is there a machine "n7", see `holon machines`',
  })
})

const event: FleetEvent = {
  unit: 'web.service',
  atMs: 0,
  machine: 'n1',
  instance: 'web.service/1',
  what: 'place on n2',
  why: 'it has\x1b room',
}

test('events shows one page; its text can do nothing to a terminal', async () => {
  const fleet = new Fleet()
  fleet.pages = [{ events: [event, event], cursor: 'c' }]
  const { out } = await fleet.run(events, 'web', '-n', '2')
  assert.match(out, /^\S+ \S+ n1 web\.service\/1: place on n2: it has\? room\n/)
  assert.deepEqual(fleet.queries, [{ unit: 'web', tail: 2 }])
  fleet.pages = [...fleet.pages, { events: [event], cursor: 'c' }]
  assert.deepEqual(JSON.parse((await fleet.run(events, '-o', 'json')).out), event)
})

test('events says when nothing is recorded of a unit', async () => {
  const fleet = new Fleet()
  fleet.pages = [{ events: [], cursor: 'c' }]
  const { out, err } = await fleet.run(events, 'wbe')
  assert.equal(out, '')
  assert.match(err, /^holon: nothing is recorded of wbe; `holon list-units` shows /)
})

test('events -f goes on from where it was', async () => {
  const fleet = new Fleet()
  fleet.pages = ['a', 'b'].map((cursor) => ({ events: [event], cursor }))
  await assert.rejects(fleet.run(events, '-f'), { code: 'permission_denied' })
  const cursors = fleet.queries.map(({ cursor }) => cursor)
  assert.deepEqual(cursors, [undefined, 'a', 'b'])
  assert.deepEqual([fleet.queries[0]?.tail, fleet.queries[1]?.waitMs], [10, 20_000])
})
