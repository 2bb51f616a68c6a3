/** Lines of [X-Holon] that do not go together. */
import { isApart, type PlacementSettings } from './placement-settings.ts'

/** The directive that is wrong given the others, and why. */
export interface PlacementContradiction {
  /** Its names: one of them is in the file. */
  readonly directives: readonly string[]
  readonly message: string
}

export function placementContradictions(
  settings: PlacementSettings,
): readonly PlacementContradiction[] {
  return [...(settings.global ? whenGlobal(settings) : ofCounts(settings)), ...ofUnits(settings)]
}

function whenGlobal(settings: PlacementSettings): readonly PlacementContradiction[] {
  const counts = {
    Instances: settings.instances,
    MinInstances: settings.minInstances,
    MaxInstances: settings.maxInstances,
    Nodes: settings.nodes,
  }
  const message = 'with Global=yes, PerNode= says how many there are, on every machine'
  const found = Object.entries(counts)
    .filter(([, value]) => value !== undefined)
    .map(([directive]) => ({ directives: [directive], message }))
  if (settings.partition !== 'at-most') return found
  const own = 'with Global=yes, a machine has its own instance, which no other takes over'
  return [...found, { directives: ['Partition'], message: own }]
}

function ofCounts(settings: PlacementSettings): readonly PlacementContradiction[] {
  const { instances = 1, minInstances, maxInstances, nodes } = settings
  const found: PlacementContradiction[] = []
  const refuse = (directive: string, message: string) =>
    found.push({ directives: [directive], message })
  if (minInstances !== undefined && minInstances > instances) {
    refuse('MinInstances', `${minInstances} is more than Instances=${instances}`)
  } else if (minInstances === instances && settings.partition === 'at-most') {
    const why = 'one that must not run twice is stopped before it starts elsewhere'
    refuse('MinInstances', `with Partition=at-most it must be less than Instances=: ${why}`)
  }
  if (maxInstances !== undefined && maxInstances < instances) {
    refuse('MaxInstances', `${maxInstances} is less than Instances=${instances}`)
  }
  if (nodes !== undefined && nodes > instances) {
    refuse('Nodes', `Instances=${instances} cannot be on ${nodes} machines`)
  }
  return found
}

function ofUnits(settings: PlacementSettings): readonly PlacementContradiction[] {
  const { unitName, perNode = 0 } = settings
  const found: PlacementContradiction[] = []
  const together = ['With', 'MachineOf']
  if (settings.with.includes(unitName)) {
    found.push({ directives: together, message: 'a unit is always with itself' })
  }
  const torn = settings.with.find((name) => isApart(settings, name))
  if (torn !== undefined) {
    found.push({ directives: together, message: `${torn} is among those it must be apart from` })
  }
  if (perNode > 1 && isApart(settings, unitName)) {
    const message = 'Apart= names the unit itself, so that a machine has one instance at most'
    found.push({ directives: ['PerNode'], message })
  }
  return found
}
