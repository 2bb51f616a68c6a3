import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { DependencyDirective } from '../../unit/service-unit.ts'
import { DependencyGraph } from './dependency-graph.ts'
import { type DependencyView, orderOf, type Spread, spread } from './plan-dependencies.ts'
import type { SpecRecord, Stored } from './records.ts'

/** "web: Requires=db" for web.service and db.service. */
type Line = `${string}: ${DependencyDirective}=${string}`

class Fleet implements DependencyView {
  readonly graph = new DependencyGraph()
  readonly wallMs = 1_000
  readonly specs = new Map<string, SpecRecord>()
  readonly present = new Set<string>()
  readonly ended = new Set<string>()
  broughtOut = true

  constructor(units: string, ...lines: readonly Line[]) {
    for (const name of units.split(' ')) this.specs.set(name, recordOf(name))
    const said = new Map<string, { directive: DependencyDirective; unit: string }[]>()
    for (const line of lines) {
      const [, unit = '', directive, other = ''] = /^(.*): (.*)=(.*)$/.exec(line) ?? []
      const list = said.get(unit) ?? []
      said.set(unit, [...list, { directive: directive as DependencyDirective, unit: other }])
    }
    for (const [unit, list] of said) this.graph.set(unit, list)
  }

  spec(unit: string): Stored<SpecRecord> | undefined {
    const record = this.specs.get(unit)
    return record && { record, revision: 1 }
  }

  isPresent(unit: string): boolean {
    return this.present.has(unit)
  }

  isBroughtOut(): boolean {
    return this.broughtOut
  }

  hasEnded(unit: string): boolean {
    return this.ended.has(unit)
  }

  progress(): string {
    return 'it is being started'
  }

  change(unit: string, change: Partial<SpecRecord>): void {
    this.specs.set(unit, { ...(this.specs.get(unit) ?? recordOf(unit)), ...change })
  }

  /** As a leader does it: whatever is asked is carried on, until nothing is left to tell. */
  carryOn(): readonly string[] {
    const told: string[] = []
    for (let pass = 0; pass < 1_000; pass++) {
      const spreads = [...this.specs.keys()].flatMap((unit) => spread(unit, this) ?? [])
      if (spreads.length === 0) return told.sort()
      const [{ changes }] = spreads as [Spread]
      for (const { after, what } of changes) {
        this.specs.set(after.unit, after)
        if (what !== undefined) told.push(`${what} ${after.unit}`)
      }
    }
    throw new Error('it never ends')
  }

  ask(unit: string, asked: 'start' | 'stop' | 'restart'): readonly string[] {
    this.change(unit, { asked, ...(asked === 'restart' ? {} : { wanted: asked === 'start' }) })
    return this.carryOn()
  }
}

function recordOf(unit: string): SpecRecord {
  return { unit, spec: 1, wanted: false, enabled: false, changedAtMs: 0, by: 'root', history: [] }
}

test('spread() a start takes along what is required and wanted, however far', () => {
  const fleet = new Fleet(
    'web db disk log other',
    'web: Requires=db',
    'web: Wants=log',
    'web: Wants=missing',
    'web: After=other',
    'web: Requisite=other',
    'db: BindsTo=disk',
  )
  assert.deepEqual(fleet.ask('web', 'start'), ['start db', 'start disk', 'start log'])
  assert.equal(fleet.specs.get('disk')?.by, 'db')
  assert.equal(fleet.specs.get('other')?.wanted, false)
  assert.deepEqual(fleet.ask('web', 'start'), [], 'all of them are')
})

test('spread() a stop takes along what cannot be without it, not what it wanted', () => {
  const fleet = new Fleet(
    'db web api job view own',
    'web: Requires=db',
    'api: BindsTo=web',
    'job: PartOf=db',
    'view: Wants=db',
    'db: Wants=own',
  )
  for (const unit of fleet.specs.keys()) fleet.change(unit, { wanted: true, up: true })
  assert.deepEqual(fleet.ask('db', 'stop'), ['stop api', 'stop job', 'stop web'])
  assert.equal(fleet.specs.get('web')?.up, false)
  assert.deepEqual(fleet.ask('db', 'start'), [], 'a start brings none of them back, as in systemd')
})

test('spread() a restart goes on once it is brought out, to each once, though they name each other', () => {
  const lines: readonly Line[] = ['web: PartOf=db', 'db: PartOf=web', 'api: Requires=web']
  const fleet = new Fleet('db web api off', ...lines, 'off: PartOf=db')
  for (const unit of ['db', 'web', 'api']) fleet.change(unit, { wanted: true })
  fleet.broughtOut = false
  assert.deepEqual(fleet.ask('db', 'restart'), [])
  assert.equal(fleet.specs.get('db')?.asked, 'restart', 'it waits')
  fleet.broughtOut = true
  assert.deepEqual(fleet.carryOn(), ['restart api', 'restart web'])
  assert.equal(fleet.specs.get('db')?.spec, 1)
  assert.equal(fleet.specs.get('web')?.history.at(-1)?.note, 'restarted with db, text 1')
})

test('spread() a restart that was taken back restarts nothing else', () => {
  const fleet = new Fleet('db web', 'web: PartOf=db')
  for (const unit of ['db', 'web']) fleet.change(unit, { wanted: true })
  fleet.change('db', { rollout: { from: 1, to: 2, status: 'failed', sinceMs: 0 } })
  assert.deepEqual(fleet.ask('db', 'restart'), [])
})

test('spread() tells hundreds of units in several txns, each of them bounded', () => {
  const names = Array.from({ length: 250 }, (_, i) => `web${i}`)
  const fleet = new Fleet(
    `db ${names.join(' ')}`,
    ...names.map((name) => `${name}: Requires=db` as const),
  )
  for (const unit of fleet.specs.keys()) fleet.change(unit, { wanted: true })
  fleet.change('db', { wanted: false, asked: 'stop' })
  const first = spread('db', fleet)
  assert.ok(first !== undefined && first.changes.length <= 42)
  assert.ok(
    first.changes.every(({ after }) => after.unit !== 'db'),
    'it is asked still',
  )
  assert.equal(fleet.carryOn().length, 250)
  for (const unit of fleet.specs.keys()) fleet.change(unit, { wanted: true })
  assert.equal(fleet.ask('db', 'restart').length, 250)
})

test('spread() of two in conflict the one that is started stays', () => {
  const fleet = new Fleet('a b c', 'a: Conflicts=b', 'c: Requires=b')
  assert.deepEqual(fleet.ask('a', 'start'), [])
  assert.deepEqual(fleet.ask('c', 'start'), ['start b', 'stop a'])
  fleet.present.add('a')
  assert.match(orderOf('b', fleet).startWaits ?? '', /a is in conflict with it/)
  fleet.present.delete('a')
  assert.equal(orderOf('b', fleet).startWaits, undefined)
})

test('orderOf() waits for what is to be up before, says for what, and for nobody else', () => {
  const fleet = new Fleet('web db first', 'web: After=db', 'first: Before=web', 'web: After=none')
  fleet.change('web', { wanted: true })
  assert.equal(orderOf('web', fleet).startWaits, undefined, 'what nobody wants is not waited for')
  fleet.change('db', { wanted: true })
  assert.match(orderOf('web', fleet).startWaits ?? '', /waits for db: it is being started/)
  fleet.change('db', { up: true })
  fleet.change('first', { wanted: true })
  assert.match(orderOf('web', fleet).startWaits ?? '', /waits for first/)
  fleet.change('first', { up: true })
  assert.equal(orderOf('web', fleet).startWaits, undefined)
  assert.equal(orderOf('db', fleet).isAwaited, true)
  assert.equal(orderOf('web', fleet).isAwaited, false)
})

test('orderOf() names what is required and missing, stopped or not up', () => {
  const missing = new Fleet('web', 'web: Requires=db')
  missing.change('web', { wanted: true })
  assert.match(orderOf('web', missing).startWaits ?? '', /Requires=db: the fleet has no such unit/)
  const stopped = new Fleet('web db', 'web: Requisite=db')
  stopped.change('web', { wanted: true })
  assert.match(orderOf('web', stopped).startWaits ?? '', /Requisite=db: it is not started/)
  stopped.change('db', { wanted: true })
  assert.match(orderOf('web', stopped).startWaits ?? '', /Requisite=db: it is not up/)
})

test('orderOf() what is bound to a unit runs only while that is up', () => {
  const fleet = new Fleet('web db', 'web: BindsTo=db')
  for (const unit of ['web', 'db']) fleet.change(unit, { wanted: true, up: true })
  assert.equal(orderOf('web', fleet).mayNotRun, undefined)
  fleet.change('db', { up: false })
  assert.match(orderOf('web', fleet).mayNotRun ?? '', /bound to db, which is not up/)
  fleet.change('db', { up: true })
  fleet.ended.add('db')
  assert.match(orderOf('web', fleet).mayNotRun ?? '', /bound to db/)
})

test('orderOf() tells units that wait for each other in a circle', () => {
  const fleet = new Fleet('a b c', 'a: After=b', 'b: After=c', 'a: Before=c')
  for (const unit of ['a', 'b', 'c']) fleet.change(unit, { wanted: true })
  for (const unit of ['a', 'b', 'c']) {
    assert.match(orderOf(unit, fleet).startWaits ?? '', / → . → .*circle/)
  }
  fleet.change('b', { up: true })
  assert.equal(orderOf('a', fleet).startWaits, undefined, 'nobody waits for what is up')
  for (const unit of ['a', 'b', 'c']) {
    fleet.change(unit, { wanted: false })
    fleet.present.add(unit)
  }
  assert.equal(orderOf('a', fleet).stopWaits, undefined, 'they can be stopped all the same')
})

const names = ['a', 'b', 'c', 'd', 'e', 'f']
const edges = fc.uniqueArray(
  fc.tuple(fc.nat(5), fc.nat(5), fc.boolean()).filter(([from, to]) => from !== to),
  { maxLength: 14, selector: ([from, to, after]) => `${from} ${to} ${after}` },
)

/** Each is to be up before the other. */
function pairsOf(said: readonly (readonly [number, number, boolean])[]) {
  const name = (i: number) => names[i] ?? ''
  return said.map(([from, to, isAfter]) =>
    isAfter ? [name(to), name(from)] : [name(from), name(to)],
  ) as readonly (readonly [string, string])[]
}

test('orderOf() starts all in an order that every line allows, and stops them in reverse', () => {
  fc.assert(
    fc.property(edges, fc.infiniteStream(fc.nat()), (said, chance) => {
      const lines = said.map(([from, to, isAfter]) => {
        return `${names[from]}: ${isAfter ? 'After' : 'Before'}=${names[to]}` as Line
      })
      const fleet = new Fleet(names.join(' '), ...lines)
      for (const unit of names) fleet.change(unit, { wanted: true })
      const pick = (units: readonly string[]) => units[chance.next().value % units.length] ?? ''
      const started: string[] = []
      while (true) {
        const ready = names.filter((unit) => {
          return !started.includes(unit) && orderOf(unit, fleet).startWaits === undefined
        })
        if (ready.length === 0) break
        const unit = pick(ready)
        fleet.change(unit, { up: true })
        started.push(unit)
      }
      for (const [first, second] of pairsOf(said)) {
        if (!started.includes(second)) continue
        assert.ok(started.indexOf(first) < started.indexOf(second), `${first} before ${second}`)
        assert.ok(started.includes(first))
      }
      const left = names.filter((unit) => !started.includes(unit))
      const circles = names.filter((unit) => fleet.graph.cycle(unit) !== undefined)
      assert.equal(left.length > 0, circles.length > 0, 'only a circle keeps anything from it')
      if (circles.length > 0) return
      for (const unit of names) {
        fleet.change(unit, { wanted: false, up: false })
        fleet.present.add(unit)
      }
      const stopped: string[] = []
      while (stopped.length < names.length) {
        const free = names.filter((unit) => {
          return fleet.present.has(unit) && orderOf(unit, fleet).stopWaits === undefined
        })
        assert.ok(free.length > 0, 'one can always be stopped')
        const unit = pick(free)
        fleet.present.delete(unit)
        stopped.push(unit)
      }
      for (const [first, second] of pairsOf(said)) {
        assert.ok(stopped.indexOf(second) < stopped.indexOf(first), `${second} stops first`)
      }
    }),
  )
})

test('cycle() tells a circle where there is one, and its units are one after the other in it', () => {
  fc.assert(
    fc.property(edges, (said) => {
      const graph = new DependencyGraph()
      names.forEach((unit, at) => {
        const own = said.filter(([from]) => from === at)
        graph.set(
          unit,
          own.map(([, to, isAfter]) => {
            return {
              directive: isAfter ? ('After' as const) : ('Before' as const),
              unit: names[to] ?? '',
            }
          }),
        )
      })
      const pairs = pairsOf(said)
      const reaches = (from: string, to: string, seen = new Set<string>()): boolean =>
        pairs.some(([first, second]) => {
          if (first !== from || seen.has(second)) return false
          return second === to || reaches(second, to, seen.add(second))
        })
      for (const unit of names) {
        const circle = graph.cycle(unit)
        assert.equal(circle !== undefined, reaches(unit, unit))
        if (circle === undefined) continue
        assert.deepEqual([circle[0], circle.at(-1)], [unit, unit])
        circle.slice(1).forEach((second, at) => {
          assert.ok(
            pairs.some(([a, b]) => a === circle[at] && b === second),
            circle.join(),
          )
        })
      }
    }),
  )
})
