/**
 * Bugs to be planted into the real code, each of which the simulation must find within its own
 * budget of seeds. One that is not found says that the simulation is too weak, or that a line of
 * the code is not needed.
 */
import type { Family } from '../src/sim/families.ts'

export interface PlantedBug {
  /** What is wrong with the code then. */
  readonly name: string
  readonly family: Family
  /** Found within so many seeds, from 1 on. */
  readonly seeds: number
  readonly changes: readonly PlantedChange[]
}

export interface PlantedChange {
  /** Below src/cluster, or src. */
  readonly file: string
  /** Stands there exactly once. */
  readonly from: string
  readonly to: string
}

const lease = 'cluster/lease'
const reconcile = 'cluster/reconcile'

function bug(
  name: string,
  family: Family,
  seeds: number,
  ...changes: readonly (readonly [file: string, from: string, to: string])[]
): PlantedBug {
  return { name, family, seeds, changes: changes.map(([file, from, to]) => ({ file, from, to })) }
}

export const plantedBugs: readonly PlantedBug[] = [
  bug('the keeper is not told when the lease ends', 'lease', 100, [
    `${reconcile}/assigned-work.ts`,
    'const lease = exclusive && held !== undefined ? { lease: held } : {}',
    'const lease = {}',
  ]),
  bug('the lease counts from the acknowledgement', 'lease', 300, [
    `${lease}/holder.ts`,
    `    this.#since = sentAt
    this.#arm()
    this.#deps.extended({ epoch: record.epoch, until: untilOf(sentAt) })`,
    `    this.#since = momentNow(this.#deps.clock)
    this.#arm()
    this.#deps.extended({ epoch: record.epoch, until: untilOf(this.#since) })`,
  ]),
  bug(
    'a machine registers anew before it has stopped what it ran',
    'lease',
    300,
    [
      `${lease}/holder.ts`,
      `    await this.#stopping
    if (!this.#wanted)`,
      '    if (!this.#wanted)',
    ],
    [
      `${lease}/holder.ts`,
      `    if (this.#since !== undefined && this.held === undefined) await this.#lose('its time is over')`,
      `    if (this.#since !== undefined && this.held === undefined) {
      void this.#lose('its time is over')
      this.#since = undefined
    }`,
    ],
  ),
  bug('a lease that was broken is taken up again under the same epoch', 'lease', 300, [
    `${lease}/holder.ts`,
    "const goesOn = last?.status === 'held' && this.#known === undefined",
    'const goesOn = last !== undefined',
  ]),
  bug('a lease is broken without comparing its revision', 'lease', 200, [
    `${reconcile}/execution.ts`,
    'await this.commit([{ key, revision: lease.revision }], [put])',
    'await this.commit([], [put])',
  ]),
  bug(
    'leases are observed for less than they are held',
    'lease',
    100,
    [`${lease}/times.ts`, 'observeMs: 9_000', 'observeMs: 4_000'],
    [
      `${lease}/times.ts`,
      "assert(isSafe(leaseTimes), 'leases: observe (1 - error) >= hold (1 + error) + stop')",
      '',
    ],
  ),
  bug(
    'clocks are believed to be right',
    'lease',
    400,
    [`${lease}/times.ts`, 'observeMs: 9_000', 'observeMs: 7_000'],
    [
      `${lease}/times.ts`,
      "assert(isSafe(leaseTimes), 'leases: observe (1 - error) >= hold (1 + error) + stop')",
      '',
    ],
  ),
  bug('a renewed lease is timed from when the first one was seen', 'lease', 100, [
    `${lease}/observer.ts`,
    '    this.#observed.set(machineId, { lease, revision, firstSeenMs: this.#clock.nowMs() })',
    `    const firstSeenMs = this.#observed.get(machineId)?.firstSeenMs ?? this.#clock.nowMs()
    this.#observed.set(machineId, { lease, revision, firstSeenMs })`,
  ]),
  bug('a claim does not compare the slot', 'lease', 400, [
    `${lease}/holder.ts`,
    'this.#commit([...conditions, lease], then, limit.signal)',
    'this.#commit([lease], then, limit.signal)',
  ]),
  bug('slots are written without comparing them', 'chaos', 200, [
    `${reconcile}/records.ts`,
    'return { if: [{ key, revision: before?.revision ?? 0 }], then }',
    'return { if: [], then }',
  ]),
  bug('what must not run twice is taken from whoever is silent', 'lease', 100, [
    `${reconcile}/plan-slot.ts`,
    `  const { slot, machineId } = seen.record
  if (view.isFree(seen)) return assign(view, slot, seen, { reason })`,
    `  const { slot, machineId } = seen.record
  return assign(view, slot, seen, { reason })`,
  ]),
  bug('a new place keeps the generation', 'chaos', 50, [
    `${reconcile}/plan-slot.ts`,
    'if (seen !== undefined) return seen.record.generation + 1',
    'if (seen !== undefined) return seen.record.generation',
  ]),
  bug('a claim keeps the generation', 'chaos', 50, [
    `${reconcile}/assigned-work.ts`,
    'generation: record.generation + 1, claim: epoch',
    'generation: record.generation, claim: epoch',
  ]),
  bug('a slot is given back before it is stopped', 'lease', 100, [
    `${reconcile}/plan-work.ts`,
    "    if (instance !== undefined) return { kind: 'stop', reason: 'it is not wanted any more' }",
    '    if (instance !== undefined && record.claim === undefined) return { kind: "stop" }',
  ]),
  bug('nobody looks at the lease again before a start', 'lease', 1_000, [
    `${reconcile}/assigned-work.ts`,
    'if (exclusive && (held === undefined || held.epoch !== record.claim)) return false',
    '',
  ]),
  bug('a machine keeps the work that was taken from it', 'chaos', 50, [
    `${reconcile}/records.ts`,
    "    if (!machines.has(machineId)) then.push({ kind: 'delete'",
    "    if (false) then.push({ kind: 'delete'",
  ]),
  bug('what does not belong to a machine goes on there', 'chaos', 50, [
    `${reconcile}/plan-work.ts`,
    '  for (const { unit, slot } of present.values()) {',
    '  for (const { unit, slot } of []) {',
  ]),
  bug('a failed instance that must not run twice stays where it failed', 'chaos', 200, [
    `${reconcile}/plan-slot.ts`,
    `  const failure = view.failureOf(seen)
  const leaves`,
    `  const failure = undefined
  const leaves`,
  ]),
  bug('a bad text is brought out to the end', 'chaos', 100, [
    `${reconcile}/plan-rollout.ts`,
    "const bad = rollout.status === 'going' ? firstBad(view, updated) : undefined",
    'const bad = undefined',
  ]),
  bug('the leader writes its plan over what people ask', 'chaos', 700, [
    `${reconcile}/execution.ts`,
    'const revision = await this.commit(conditions, puts)',
    'const revision = await this.commit([], puts)',
  ]),
  bug('what somebody else was faster with is told as done', 'chaos', 100, [
    'state/commit.ts',
    "    if (result.kind === 'done') return result.revision\n",
    '    return 0\n',
  ]),
  bug('a machine that is silent goes on serving the state to others', 'loss', 300, [
    'cluster/liveness.ts',
    'this.#deps.keeperSilent(keeper)',
    '',
  ]),
  bug('nobody takes over from a leader that is silent', 'loss', 30, [
    `${reconcile}/leadership.ts`,
    "if (!leaderIsUp) return 'the leader is silent'",
    'if (!leaderIsUp) return undefined',
  ]),
  bug('what was on a lost machine is not replaced', 'loss', 30, [
    `${reconcile}/plan-slot.ts`,
    "if (view.context.presence(record.machineId) !== 'up') return replaceLost(view, seen, onlyOn)",
    "if (view.context.presence(record.machineId) !== 'up') return undefined",
  ]),
  bug('an agent that starts forgets its work', 'outage', 3, [
    `${reconcile}/assigned-work.ts`,
    `      this.#take({ record, revision: 0 })
      if (record.ended`,
    '      if (record.ended',
  ]),
  bug('a drain does not count what it has asked to stop', 'drain', 60, [
    `${reconcile}/unit-view.ts`,
    '    this.#ended += 1\n',
    '',
  ]),
  bug('a machine is believed after what it says is old', 'drain', 360, [
    `${reconcile}/unit-view.ts`,
    'return hosted?.generation === generation && hosted.spec === spec ? hosted : undefined',
    'return hosted',
  ]),
  bug('a second place counts before it is ready', 'drain', 60, [
    `${reconcile}/plan-slot.ts`,
    'if (view.isSettled(seen, next.machineId)) {',
    'if (true) {',
  ]),
  bug('many that are silent at once are believed dead', 'silence', 20, [
    `${reconcile}/plan-slot.ts`,
    'if (paused !== undefined) return wait(slot, paused)',
    '',
  ]),
  bug('the first of many that are silent is believed dead', 'silence', 30, [
    `${reconcile}/eviction.ts`,
    "if (presence === 'silent' || doubted) counts.silent += 1",
    "if (presence === 'silent') counts.silent += 1",
  ]),
  bug('instances are placed before what their unit comes after is up', 'order', 10, [
    `${reconcile}/plan-slot.ts`,
    'if (startWaits !== undefined) return wait(slot, startWaits)',
    '',
  ]),
  bug('a unit is up when one of its instances is ready', 'order', 30, [
    `${reconcile}/plan-unit.ts`,
    'const isUp = wanted.every((slot) => {',
    'const isUp = wanted.some((slot) => {',
  ]),
  bug(
    'a unit that was stopped still counts as up',
    'order',
    100,
    [
      `${reconcile}/rounds.ts`,
      "wanted: false, asked: 'stop', up: false }",
      "wanted: false, asked: 'stop' }",
    ],
    [
      `${reconcile}/rounds.ts`,
      "wanted: true, asked: 'start', up: false, round }",
      "wanted: true, asked: 'start', round }",
    ],
  ),
  bug('a timer fires without comparing what it was decided from', 'timers', 30, [
    `${reconcile}/timers.ts`,
    '[condition(own), condition(target)],',
    '[],',
  ]),
  bug(
    'a firing is recorded before its unit is started',
    'timers',
    60,
    [
      `${reconcile}/timers.ts`,
      `    const revision = await commit(
      [condition(own), condition(target)],
      [putSpec(after), putSpec(begun)],
    )`,
      `    const first = await commit([condition(own)], [putSpec(after)])
    const revision = await commit([condition(target)], [putSpec(begun)])`,
    ],
    [
      `${reconcile}/timers.ts`,
      'view.wroteSpec({ record: after, revision })',
      'if (first !== undefined) view.wroteSpec({ record: after, revision: first })',
    ],
  ),
  bug(
    'a unit is started before the firing is recorded',
    'timers',
    60,
    [
      `${reconcile}/timers.ts`,
      `    const revision = await commit(
      [condition(own), condition(target)],
      [putSpec(after), putSpec(begun)],
    )`,
      `    const first = await commit([condition(target)], [putSpec(begun)])
    const revision = await commit([condition(own)], [putSpec(after)])`,
    ],
    [
      `${reconcile}/timers.ts`,
      'view.wroteSpec({ record: begun, revision })',
      'if (first !== undefined) view.wroteSpec({ record: begun, revision: first })',
    ],
  ),
  bug('what was there before in a slot is taken for what is', 'timers', 30, [
    `${reconcile}/plan-slot.ts`,
    "return input.rules?.partition === 'at-most' ? 1 : Math.floor(context.wallMs)",
    'return 1',
  ]),
  bug('what has ended is run again when its machine is lost', 'timers', 30, [
    `${reconcile}/plan-slot.ts`,
    'if (hasEnded(record, view.input.spec?.record)) return undefined',
    '',
  ]),
  bug(
    'a machine that comes back does not know what has ended there',
    'chaos',
    300,
    [
      `${reconcile}/assigned-work.ts`,
      'if (record.ended !== undefined) this.#ended.set(workName(record.unit, record.slot), record)',
      '',
    ],
    [
      `${reconcile}/assigned-work.ts`,
      'this.#take({ record, revision: 0 })',
      'this.#take({ record: { ...record, ended: undefined }, revision: 0 })',
    ],
  ),
  bug('what must not run twice moves to a better place', 'return', 40, [
    `${reconcile}/plan-moves.ts`,
    " && rules.partition !== 'at-most'",
    '',
  ]),
  bug('what must not run twice is taken at once from a machine that left', 'leave', 100, [
    `${reconcile}/unit-view.ts`,
    'if (record.claim === undefined) return true',
    "if (record.claim === undefined || this.context.presence(record.machineId) === 'gone') return true",
  ]),
]
