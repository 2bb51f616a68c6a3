/** The units of a seeded simulation: one of each kind that the fleet treats differently. */
import type { World } from './world.ts'

/** `each.service` runs on every machine. */
export const unitNames = [
  'web.service',
  'db.service',
  'one.service',
  'job.service',
  'each.service',
  'pair.service',
  'task.service',
] as const
export type UnitName = (typeof unitNames)[number]

export const mustNotRunTwice: ReadonlySet<UnitName> = new Set(['db.service', 'one.service'])

/** Machines that a unit with PerNode=1 needs at most. */
export const scaleMax: Readonly<Record<UnitName, number>> = {
  'web.service': 6,
  'db.service': 3,
  'one.service': 1,
  'job.service': 4,
  'each.service': 0,
  'pair.service': 3,
  'task.service': 2,
}

/** `bad`: it fails, or is never ready in time. */
export function someText(world: World, unit: UnitName, bad?: 'fails' | 'hangs'): string {
  const readyMs = bad === 'hangs' ? 30_000 : world.between(5, world.chance(0.2) ? 3_000 : 400)
  const stopMs = world.between(1, world.chance(0.3) ? 4_000 : 1_500)
  return [
    '[Service]',
    'ExecStart=/usr/bin/program',
    ...serviceLines(world, unit, bad),
    '[X-Holon]',
    ...placementLines(world, unit),
    '[X-Sim]',
    `ReadySec=${Math.round(readyMs)}ms`,
    `StopSec=${Math.round(stopMs)}ms`,
    ...(bad === 'fails' ? ['Fails=yes'] : []),
    ...(unit === 'task.service' ? [`RunsSec=${Math.round(world.between(500, 20_000))}ms`] : []),
    '',
  ].join('\n')
}

function serviceLines(world: World, unit: UnitName, bad: string | undefined): readonly string[] {
  if (bad === 'hangs') return ['Type=notify', 'TimeoutStartSec=2s']
  return unit === 'web.service' || world.chance(0.5) ? ['Type=notify'] : []
}

function placementLines(world: World, unit: UnitName): readonly string[] {
  const count = (min: number, max: number) => Math.floor(world.between(min, max + 1))
  const rollout = `Rollout=${world.pick(['1', '2', '50%']) ?? '1'}`
  switch (unit) {
    case 'web.service': {
      const instances = count(3, 5)
      const min = world.chance(0.5) ? [`MinInstances=${count(1, instances)}`] : []
      return [`Instances=${instances}`, ...min, rollout, 'Nodes=2']
    }
    case 'db.service':
      return ['Instances=2', 'Partition=at-most']
    case 'one.service':
      return ['Instances=1', 'Partition=at-most']
    case 'job.service':
      return ['Instances=1']
    case 'each.service':
      return ['Global=yes', rollout]
    case 'pair.service':
      return ['Instances=2', 'PerNode=1']
    case 'task.service':
      return ['Instances=1']
  }
}
