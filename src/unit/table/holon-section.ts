/** [X-Holon], with [X-Fleet] as another name for it: what a system of many machines adds. */
import { type Directive, honoured, refused } from './row.ts'

const obsolete = 'it is obsolete: use the present name'

export const holonSection: readonly Directive[] = [
  ...honoured('X-Holon', [
    [
      'Instances',
      'number',
      'How many instances run: web.service/1, web.service/2, … 1 if not given.',
    ],
    [
      'MinInstances',
      'number',
      'A drain or a rollout leaves at least so many ready; one fewer than Instances= if not given.',
    ],
    ['MaxInstances', 'number', '`scale` never goes above.'],
    ['Nodes', 'number', 'Spread over at least so many machines, while there are as many.'],
    ['PerNode', 'number', 'At most so many on one machine; 0 for any number.'],
    [
      'Global',
      'boolean',
      'PerNode= instances, one if not given, on every machine that fits; Instances= is refused.',
    ],
    [
      'Require',
      'words',
      'Only on machines for which all words hold: `arch=x86_64 mem>=2G zone=eu/paris disk=ssd`. A bar parts several values of which one must hold. Properties are those of `holon run --require`, all others are labels.',
    ],
    ['Prefer', 'words', 'As Require=, but machines for which it does not hold come last.'],
    ['With', 'units', 'Only on a machine that has an instance of each of these units.'],
    [
      'Apart',
      'units',
      'Not on a machine that has an instance of one of these units; patterns like `db-*`. A unit that names itself has one instance on a machine at most.',
    ],
    [
      'Partition',
      'choice',
      '`at-least` (if not given): where machines cannot see each other, both sides may run an instance. `at-most`: it runs once or not at all.',
    ],
    [
      'Reserve',
      'words',
      'What an instance counts for on its machine, used or not: `cpus=0.5 mem=256M`.',
    ],
    [
      'Priority',
      'number',
      'From -1000 to 1000, 0 if not given: higher ones are placed first, or instead of lower ones.',
    ],
    [
      'Rebalance',
      'choice',
      'Whether instances move by themselves to a better machine: `no`; `return` (if not given), when a machine is new or back; `load`, also when machines differ much in load.',
    ],
    [
      'Rollout',
      'text',
      'How many instances at a time get a changed unit: `2`, or a share as `25%`. 1 if not given.',
    ],
    [
      'Bundle',
      'words',
      'The files of the program, by hash, as `holon deploy` writes it: unpacked on each machine that gets an instance, which runs there unless `WorkingDirectory=` says otherwise; `x64=HASH`: modules for machines of that kind.',
    ],
    [
      'Port',
      'number',
      'A public port on every machine, balanced over the instances that are ready, near ones first. Each instance listens on a port of its own, `$PORT`.',
    ],
    [
      'Protocol',
      'choice',
      'What is balanced: connections (`tcp`, if not given), connections that begin with a line of the PROXY protocol (`proxy`), or requests (`http`).',
    ],
    [
      'Host',
      'words',
      'Only requests for these names, like `app.example.com` or `*.example.com`, so that several units share a port. `Protocol=http` follows.',
    ],
    [
      'TLS',
      'words',
      'The public port speaks TLS, with the certificate (and its issuers) and the key in these two PEM files, which lie on every machine. `Protocol=http` follows.',
    ],
    [
      'Health',
      'text',
      'An instance is ready while a GET of this path, like `/healthz`, is answered with a status below 400; if not given, once it accepts connections, or says so with `Type=notify`.',
    ],
    [
      'Drain',
      'time span',
      'Time for what is under way to an instance that is to stop; 10 s if not given.',
    ],
    [
      'MachineID',
      'text',
      "Fleet's: only on the machine with this /etc/machine-id; or else Require=name=….",
    ],
    ['MachineOf', 'units', "Fleet's name of With=."],
    [
      'MachineMetadata',
      'words',
      "Fleet's form of Require=: `region=eu-west` and so on; of several values of one name, one must hold.",
    ],
    ['Conflicts', 'units', "Fleet's name of Apart=."],
  ]),
  ...refused('X-Holon', 'handing units to systemd comes later', [
    ['Executor', 'choice', 'Whether Holon or systemd runs it.'],
  ]),
  ...refused('X-Holon', 'no unit can send others away: Apart= and Priority= come nearest', [
    ['Replaces', 'units', "Fleet's: moves these units to other machines."],
  ]),
  ...refused('X-Holon', obsolete, [
    ['X-ConditionMachineID', 'text', 'The old name of MachineID=.'],
    ['X-ConditionMachineOf', 'units', 'The old name of MachineOf=.'],
    ['X-ConditionMachineMetadata', 'words', 'The old name of MachineMetadata=.'],
    ['X-Conflicts', 'units', 'The old name of Conflicts=.'],
  ]),
]
