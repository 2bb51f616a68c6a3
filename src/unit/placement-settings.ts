/**
 * The lines of [X-Holon], and of [X-Fleet] with the names that fleet gave them, read into what they
 * say, and that into the rules of placement. Specifiers of the unit's name are expanded here, since
 * where a unit belongs is decided before there is a machine.
 */
import { globMatches } from '../base/glob.ts'
import { limits } from '../base/limits.ts'
import type { DirectiveLine } from './parse.ts'
import {
  defaultRules,
  type MachineCondition,
  type PartitionRule,
  type PlacementRules,
  partitionRules,
  type RebalanceRule,
  type Reservation,
  type RolloutStep,
  rebalanceRules,
} from './placement-rules.ts'
import { quantityOf, readRequirements } from './requirement.ts'
import { expandNameSpecifiers } from './specifiers.ts'
import { fullUnitName, unitNameError } from './unit-name.ts'
import { bad, ok, type Parsed, parseBoolean, parseChoice, parseCount } from './values.ts'
import { splitWords } from './words.ts'

/** What the lines have said so far. What none has said is undefined. */
export interface PlacementSettings {
  readonly unitName: string
  instances?: number
  minInstances?: number
  maxInstances?: number
  nodes?: number
  perNode?: number
  global?: boolean
  require: string[]
  prefer: string[]
  with: string[]
  apart: string[]
  partition?: PartitionRule
  reserve: Reservation
  priority?: number
  rebalance?: RebalanceRule
  rollout?: RolloutStep
  machineId?: string
  /** Values by key: one of a key's values must hold. */
  metadata: Map<string, string[]>
}

export function emptyPlacement(unitName: string): PlacementSettings {
  return {
    unitName,
    require: [],
    prefer: [],
    with: [],
    apart: [],
    reserve: defaultRules.reserve,
    metadata: new Map(),
  }
}

/** Reads one honoured line of the section into `settings`. */
export function applyPlacement(
  settings: PlacementSettings,
  line: DirectiveLine,
): Parsed<readonly string[]> {
  const handler = handlers[line.name]
  if (handler === undefined) return bad('this directive has no handler')
  const value = expandNameSpecifiers(line.value, settings.unitName)
  if (value.kind === 'bad') return value
  const wrong = handler(settings, value.value)
  return wrong === undefined ? ok([]) : bad(wrong)
}

/** Why the value is refused, or undefined. */
type Handler = (settings: PlacementSettings, value: string) => string | undefined

const handlers: Readonly<Record<string, Handler>> = {
  Instances: (settings, value) => {
    const wrong = count(settings, value, 'instances', 1)
    return wrong && `${wrong} (to run none, stop the unit)`
  },
  MinInstances: (settings, value) => count(settings, value, 'minInstances', 0),
  MaxInstances: (settings, value) => count(settings, value, 'maxInstances', 1),
  Nodes: (settings, value) => count(settings, value, 'nodes', 1),
  PerNode: (settings, value) => count(settings, value, 'perNode', 0),
  Global: (settings, value) =>
    store(parseBoolean(value), (global) => {
      settings.global = global
    }),
  Require: (settings, value) => requirements(settings.require, value),
  Prefer: (settings, value) => requirements(settings.prefer, value),
  With: (settings, value) => units(settings.with, value, unitNameError),
  MachineOf: (settings, value) => units(settings.with, value, unitNameError),
  Apart: (settings, value) => units(settings.apart, value, patternError),
  Conflicts: (settings, value) => units(settings.apart, value, patternError),
  Partition: (settings, value) =>
    store(parseChoice(value, partitionRules), (partition) => {
      settings.partition = partition
    }),
  Reserve: (settings, value) =>
    store(parseReservation(value, settings.reserve), (reserve) => {
      settings.reserve = reserve
    }),
  Priority: (settings, value) =>
    store(parsePriority(value), (priority) => {
      settings.priority = priority
    }),
  Rebalance: (settings, value) =>
    store(parseChoice(value, rebalanceRules), (rebalance) => {
      settings.rebalance = rebalance
    }),
  Rollout: (settings, value) =>
    store(parseRollout(value), (rollout) => {
      settings.rollout = rollout
    }),
  MachineID: (settings, value) => {
    if (!/^[0-9a-f]{32}$/.test(value)) {
      const like = 'the 32 hexadecimal digits of /etc/machine-id (Require=name=… names a machine)'
      return `${JSON.stringify(value)} is no machine id, ${like}`
    }
    settings.machineId = value
    return undefined
  },
  MachineMetadata: metadata,
}

function store<T>(parsed: Parsed<T>, set: (value: T) => void): string | undefined {
  if (parsed.kind === 'bad') return parsed.message
  set(parsed.value)
  return undefined
}

function count(
  settings: PlacementSettings,
  value: string,
  name: 'instances' | 'minInstances' | 'maxInstances' | 'nodes' | 'perNode',
  min: number,
): string | undefined {
  return store(parseCount(value, min, limits.unitInstancesMax), (parsed) => {
    settings[name] = parsed
  })
}

function requirements(list: string[], value: string): string | undefined {
  if (value === '') list.length = 0
  const read = readRequirements(value)
  if (read.kind === 'bad') return read.message
  list.push(...read.value.map((each) => each.property + each.comparison + each.value))
  return undefined
}

function units(
  list: string[],
  value: string,
  errorOf: (name: string) => string | undefined,
): string | undefined {
  if (value === '') list.length = 0
  for (const word of value.split(/[ \t]+/).filter((each) => each !== '')) {
    const name = fullUnitName(word)
    const wrong = errorOf(name)
    if (wrong !== undefined) return wrong
    list.push(name)
  }
  return undefined
}

// What no name can hold can match none.
function patternError(name: string): string | undefined {
  if (/^[A-Za-z0-9:_.\\@*?[\]!^-]+$/.test(name)) return undefined
  return `${JSON.stringify(name)} is no unit's name nor a pattern of such names`
}

// As fleet documents it: values of one key are alternatives, wherever they stand; all keys count.
function metadata(settings: PlacementSettings, value: string): string | undefined {
  if (value === '') settings.metadata.clear()
  const split = splitWords(value)
  if (split.kind === 'bad') return split.message
  for (const word of split.words) {
    const [, key = '', wanted = ''] = /^([^=]+)=([^\s|]+)$/.exec(word) ?? []
    const values = [...(settings.metadata.get(key) ?? []), wanted]
    if (readRequirements(`${key}=${values.join('|')}`).kind === 'bad') {
      return `${JSON.stringify(word)} is not like "region=eu-west"`
    }
    settings.metadata.set(key, values)
  }
  return undefined
}

function parseReservation(value: string, before: Reservation): Parsed<Reservation> {
  if (value === '') return ok(defaultRules.reserve)
  let { cpus, memoryBytes } = before
  for (const word of value.split(/[ \t]+/)) {
    const [, name = '', text = ''] = /^(cpus|mem)=(.*)$/.exec(word) ?? []
    const quantity = quantityOf(name, text)
    if (name === '' || quantity === undefined) {
      return bad(`${JSON.stringify(word)} is not like cpus=0.5 or mem=256M`)
    }
    if (name === 'cpus') cpus = quantity
    else memoryBytes = Math.ceil(quantity)
  }
  return ok({ cpus, memoryBytes })
}

function parsePriority(value: string): Parsed<number> {
  const priority = /^[+-]?[0-9]{1,4}$/.test(value) ? Number(value) : Number.NaN
  if (Math.abs(priority) <= 1000) return ok(priority)
  return bad(`${JSON.stringify(value)} is no whole number from -1000 to 1000`)
}

function parseRollout(value: string): Parsed<RolloutStep> {
  const percent = /^([0-9]{1,3})%$/.exec(value)?.[1]
  if (percent === undefined) {
    const parsed = parseCount(value, 1, limits.unitInstancesMax)
    return parsed.kind === 'ok' ? ok({ kind: 'count', count: parsed.value }) : parsed
  }
  const parsed = parseCount(percent, 1, 100)
  return parsed.kind === 'ok' ? ok({ kind: 'percent', percent: parsed.value }) : parsed
}

/** Whether Apart= names it. */
export function isApart(settings: PlacementSettings, name: string): boolean {
  return settings.apart.some((pattern) => globMatches(pattern, name))
}

/** The rules that the lines make, those of [Unit] among them. */
export function makePlacement(
  settings: PlacementSettings,
  conditions: readonly MachineCondition[],
  serves: boolean,
): PlacementRules {
  const { machineId, minInstances, maxInstances, unitName } = settings
  const alternatives = [...settings.metadata].map(([key, values]) => `${key}=${values.join('|')}`)
  const own: readonly MachineCondition[] =
    machineId === undefined
      ? []
      : [{ name: 'MachineID', value: machineId, negated: false, triggering: false }]
  const onePerMachine = isApart(settings, unitName)
  return {
    instances: settings.instances ?? defaultRules.instances,
    ...(minInstances === undefined ? {} : { minInstances }),
    ...(maxInstances === undefined ? {} : { maxInstances }),
    nodes: settings.nodes ?? defaultRules.nodes,
    perNode: settings.perNode || (onePerMachine ? 1 : defaultRules.perNode),
    global: settings.global ?? defaultRules.global,
    require: [...settings.require, ...alternatives].join(' '),
    prefer: settings.prefer.join(' '),
    with: [...new Set(settings.with)],
    apart: [...new Set(settings.apart)],
    partition: settings.partition ?? defaultRules.partition,
    reserve: settings.reserve,
    priority: settings.priority ?? defaultRules.priority,
    rebalance: settings.rebalance ?? defaultRules.rebalance,
    rollout: settings.rollout ?? defaultRules.rollout,
    conditions: [...conditions, ...own],
    serves,
  }
}
