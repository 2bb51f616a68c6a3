/** [X-Holon], with [X-Fleet] as another name for it: what a system of many machines adds. */
import { type Directive, honoured, refused } from './row.ts'

export const holonSection: readonly Directive[] = [
  ...honoured('X-Holon', [
    [
      'Instances',
      'number',
      'How many instances run: web.service/1, web.service/2, … 1 if not given.',
    ],
  ]),
  ...refused('X-Holon', 'placing instances over machines comes later', [
    ['MinInstances', 'number', 'Never fewer instances than this.'],
    ['MaxInstances', 'number', 'Never more instances than this.'],
    ['Nodes', 'number', 'Spread over at least this many machines.'],
    ['PerNode', 'number', 'Instances on each machine.'],
    ['Global', 'boolean', 'On every machine.'],
    ['Require', 'words', 'Only on machines for which this holds.'],
    ['Prefer', 'words', 'Rather on machines for which this holds.'],
    ['With', 'units', 'On the same machine as these units.'],
    ['Apart', 'units', 'On another machine than these units.'],
    ['Partition', 'choice', 'Whether both sides of a network partition run it, or only one.'],
    ['Port', 'number', 'A public port, balanced over the instances.'],
    ['Rollout', 'number', 'How many instances change at a time.'],
    ['Executor', 'choice', 'Whether Holon or systemd runs it.'],
    ['MachineID', 'text', 'Only on this machine.'],
    ['MachineOf', 'units', 'On the same machine as this unit.'],
    ['MachineMetadata', 'words', 'Only on machines with this metadata.'],
    ['Conflicts', 'units', 'On another machine than these units.'],
    ['Replaces', 'units', 'Takes the place of these units.'],
  ]),
]
