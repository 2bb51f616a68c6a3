/**
 * What follows for a unit from those that it depends on, pure; by systemd's meaning, carried over
 * to a fleet.
 *
 * A start, stop or restart that somebody asked for is carried on once, to the units that it
 * concerns (`spread`): each gets a wish of its own, which stands until somebody changes it. Order
 * is a matter of starting and stopping alone: an instance that is moved or replaced waits for
 * nobody, so that what is lost comes back as fast as alone.
 *
 * A unit is `up` from when all instances that are wanted were ready, until fewer are than may be
 * for longer than it takes to replace one. So a machine's death under a unit is no reason to stop
 * what is bound to it.
 */
import type { DependencyDirective } from '../../unit/service-unit.ts'
import type { DependencyGraph } from './dependency-graph.ts'
import { givenAnew, type SpecRecord, type Stored } from './records.ts'
import { started, stopped } from './rounds.ts'

/** What is known of the fleet's units. */
export interface DependencyView {
  readonly graph: DependencyGraph
  readonly wallMs: number
  spec(unit: string): Stored<SpecRecord> | undefined
  /** Whether something of it runs, or is to. */
  isPresent(unit: string): boolean
  /** Whether a text that was given anew is brought out: everywhere, or it was taken back. */
  isBroughtOut(unit: string): boolean
  /** All that it had to do is done: every instance ended by itself. */
  hasEnded(unit: string): boolean
  /** How far its start is: "1 of 2 instances are ready". */
  progress(unit: string): string
}

/** What other units mean for the instances of one. */
export interface UnitOrder {
  /** Why what has no place yet gets none now. */
  readonly startWaits?: string | undefined
  /** Why what is not wanted any more is not stopped yet. */
  readonly stopWaits?: string | undefined
  /** Why nothing of it is to run now. */
  readonly mayNotRun?: string | undefined
  /** Another unit asks whether it is up. */
  readonly isAwaited: boolean
}

export interface SpecChange {
  readonly before: Stored<SpecRecord>
  readonly after: SpecRecord
  /** "start", for those who read decisions; absent for what was asked itself. */
  readonly what?: string
  readonly reason: string
  /** The text is given again, under another number. */
  readonly again?: true
}

/** Each is to be carried out as a whole. */
export interface Spread {
  readonly kind: 'spread'
  readonly changes: readonly SpecChange[]
}

/** Units that are told in one txn; more are told by several. */
const toldAtOnce = 40

const pulls: readonly DependencyDirective[] = ['Requires', 'BindsTo', 'Wants']
const needs: readonly DependencyDirective[] = ['Requires', 'BindsTo', 'Requisite']
const follows: readonly DependencyDirective[] = [...needs, 'PartOf']

export function orderOf(unit: string, view: DependencyView): UnitOrder {
  const { graph } = view
  const isAwaited =
    graph.after(unit).length > 0 || graph.namedBy(unit, 'BindsTo', 'Requisite').length > 0
  if (view.spec(unit)?.record.wanted !== true) {
    return { isAwaited, stopWaits: whyNotStopped(unit, view) }
  }
  return {
    isAwaited,
    startWaits: whyNotStarted(unit, view),
    mayNotRun: whyNotRunning(unit, view),
  }
}

function whyNotStarted(unit: string, view: DependencyView): string | undefined {
  const { graph } = view
  const isUp = (other: string) => view.spec(other)?.record.up === true
  for (const other of graph.names(unit, ...needs)) {
    const line = `${graph.line(unit, other, ...needs)}${other}`
    const record = view.spec(other)?.record
    if (record === undefined) return `${line}: the fleet has no such unit; load its file first`
    if (!record.wanted) return `${line}: it is not started`
    if (graph.names(unit, 'Requisite').includes(other) && !record.up) {
      return `${line}: it is not up, ${view.progress(other)}`
    }
  }
  for (const other of graph.before(unit)) {
    const record = view.spec(other)?.record
    if (record === undefined || (record.wanted && record.up)) continue
    // As with systemd: of a stop and a start the stop comes first.
    if (!record.wanted && view.isPresent(other)) return `${other} is still being stopped`
    if (!record.wanted) continue
    const circle = graph.cycle(
      unit,
      (each) => view.spec(each)?.record.wanted === true && !isUp(each),
    )
    if (circle !== undefined) return circleText(circle)
    return `it waits for ${other}: ${view.progress(other)}`
  }
  const enemies = [...graph.names(unit, 'Conflicts'), ...graph.namedBy(unit, 'Conflicts')]
  const there = enemies.find(
    (other) => view.spec(other)?.record.wanted === false && view.isPresent(other),
  )
  return there === undefined
    ? undefined
    : `${there} is in conflict with it, and still being stopped`
}

function whyNotStopped(unit: string, view: DependencyView): string | undefined {
  const last = view.graph
    .after(unit)
    .find((other) => view.spec(other)?.record.wanted === false && view.isPresent(other))
  // In a circle nobody could go first.
  if (last === undefined || view.graph.cycle(unit) !== undefined) return undefined
  return `${last}, which was started after it, is stopped first`
}

function whyNotRunning(unit: string, view: DependencyView): string | undefined {
  for (const other of view.graph.names(unit, 'BindsTo')) {
    const record = view.spec(other)?.record
    if (record?.wanted && record.up && !view.hasEnded(other)) continue
    const why = record?.wanted ? view.progress(other) : 'it is not started'
    return `it is bound to ${other}, which is not up: ${why}`
  }
  return undefined
}

/** "a.service → b.service → a.service wait for each other…". */
export function circleText(circle: readonly string[]): string {
  const path = circle.join(' → ')
  return `${path}: each would start after the one before, in a circle; take out one of the lines`
}

/** What was asked of the unit, carried on to others; undefined when there is nothing to do now. */
export function spread(unit: string, view: DependencyView): Spread | undefined {
  const stored = view.spec(unit)
  const asked = stored?.record.asked
  if (stored === undefined || asked === undefined) return undefined
  if (asked === 'restart' && !view.isBroughtOut(unit)) return undefined
  const changes = concerned(unit, asked, view)
  const some = changes.slice(0, toldAtOnce)
  if (some.length < changes.length) return { kind: 'spread', changes: some }
  const { asked: _, ...after } = stored.record
  const reason = `it was asked to ${asked}`
  return { kind: 'spread', changes: [...some, { before: stored, after, reason }] }
}

function concerned(
  unit: string,
  asked: NonNullable<SpecRecord['asked']>,
  view: DependencyView,
): readonly SpecChange[] {
  const { graph } = view
  if (asked === 'start') {
    const enemies = new Set([
      ...graph.names(unit, 'Conflicts'),
      ...graph.namedBy(unit, 'Conflicts'),
    ])
    return [
      ...graph.names(unit, ...pulls).flatMap((other) => {
        const line = graph.line(unit, other, ...pulls)
        return wish(other, true, `${unit} is started, and has ${line}${other}`, unit, view)
      }),
      ...[...enemies].flatMap((other) => {
        return wish(other, false, `${unit} is started, and they are in conflict`, unit, view)
      }),
    ]
  }
  if (asked === 'restart') return restarts(unit, view)
  return graph.namedBy(unit, ...follows).flatMap((other) => {
    const reason = `${unit} was stopped, and this has ${graph.line(other, unit, ...follows)}${unit}`
    return wish(other, false, reason, unit, view)
  })
}

/** Passed on in turn by the unit that it concerns; nothing where it is so already. */
function wish(
  unit: string,
  wanted: boolean,
  reason: string,
  by: string,
  view: DependencyView,
): readonly SpecChange[] {
  const before = view.spec(unit)
  if (before === undefined || before.record.wanted === wanted) return []
  const { wallMs: changedAtMs } = view
  const { record } = before
  const changed = wanted ? started(record, by, changedAtMs) : stopped(record, changedAtMs)
  const what = wanted ? 'start' : 'stop'
  return [{ before, after: { ...changed, by, changedAtMs }, what, reason }]
}

/**
 * All that follow it, those that follow them, too: each once, however they name each other. What
 * has it as the note of its newest text was told already.
 */
function restarts(unit: string, view: DependencyView): readonly SpecChange[] {
  const { graph } = view
  const origin = view.spec(unit)?.record
  // A text that was taken back has restarted nothing for good.
  if (origin === undefined || origin.rollout?.status === 'failed') return []
  const note = `restarted with ${unit}, text ${origin.spec}`
  const seen = new Set([unit])
  const changes: SpecChange[] = []
  for (const each of seen) {
    for (const other of graph.namedBy(each, ...follows)) {
      const before = view.spec(other)
      if (seen.has(other) || !before?.record.wanted) continue
      seen.add(other)
      if (before.record.history.at(-1)?.note === note) continue
      const said = `${graph.line(other, each, ...follows)}${each}`
      const reason = `${each} was restarted, and this has ${said}`
      const given = givenAnew(before.record.history, { atMs: view.wallMs, by: unit, note })
      changes.push({
        before,
        after: { ...before.record, ...given },
        what: 'restart',
        reason,
        again: true,
      })
    }
  }
  return changes
}
