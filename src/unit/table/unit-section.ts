/** [Unit] and [Install], see systemd.unit(5). */
import { type Directive, harmless, honoured, honouredUnless, type Row, refused } from './row.ts'
import { conflictUnits, installRefusal, orderingUnits, requirementUnits } from './well-known.ts'

const notYetDependencies = 'dependencies of this kind come later'

const booted = 'Holon starts units on a booted host, where these targets have been reached'

const ending = 'it says that the unit ends when the host goes down, which is so'

/** Why a list of units changes nothing: none of them is a service of the fleet. */
function idleAmong(unitsOf: typeof orderingUnits, reason: string) {
  return (value: string): string | undefined => {
    const units = unitsOf(value)
    return units.kind === 'ok' && units.value.length === 0 ? reason : undefined
  }
}

// The same tests exist as Condition… (the unit is skipped) and Assert… (starting it fails).
type Test = readonly [name: string, meaning: string]

const tests: readonly Test[] = [
  ['PathExists', 'a path exists'],
  ['PathExistsGlob', 'a path matching a pattern exists'],
  ['PathIsDirectory', 'a path is a directory'],
  ['PathIsSymbolicLink', 'a path is a symbolic link'],
  ['PathIsMountPoint', 'a path is a mount point'],
  ['PathIsReadWrite', 'the file system of a path is writable'],
  ['PathIsSocket', 'a path is a socket'],
  ['DirectoryNotEmpty', 'a directory has entries'],
  ['FileNotEmpty', 'a file has content'],
  ['FileIsExecutable', 'a file is executable'],
  ['FirstBoot', 'this is the first boot of the system'],
  ['Architecture', 'the machine has an architecture'],
  ['Virtualization', 'the machine runs in a kind of virtualization'],
  ['Host', 'the machine has a host name or machine id'],
  ['KernelCommandLine', 'the kernel was booted with an option'],
  ['KernelVersion', 'the kernel has a version'],
  ['ACPower', 'the machine is on mains power'],
  ['Memory', 'the machine has an amount of memory'],
  ['CPUs', 'the machine has a number of CPUs'],
  ['Environment', "a variable is set in the agent's environment"],
  ['User', 'the agent runs as a user'],
  ['Group', 'the agent runs in a group'],
  ['ControlGroupController', 'a cgroup controller is available'],
  ['OSRelease', 'a field of os-release has a value'],
  ['MemoryPressure', 'memory pressure is below a level'],
  ['CPUPressure', 'CPU pressure is below a level'],
  ['IOPressure', 'IO pressure is below a level'],
]

const hardwareTests: readonly Test[] = [
  ['Firmware', 'the machine has a kind of firmware'],
  ['CPUFeature', 'the CPU has a feature'],
  ['KernelModuleLoaded', 'a kernel module is loaded'],
  ['PathIsEncrypted', 'the file system of a path is encrypted'],
  ['Security', 'a security technology is enabled'],
]

const systemdTests: readonly Test[] = [
  ['NeedsUpdate', '/etc or /var is older than /usr'],
  ['Version', 'systemd, the kernel or glibc has a version'],
  ['Credential', 'the system was given a credential'],
  ['Capability', 'a capability is in the bounding set'],
]

function rowsOf(some: readonly Test[]): readonly Row[] {
  const row = (name: string, meaning: string): Row => [name, 'conditions', meaning]
  return [
    ...some.map(([name, what]) => row(`Condition${name}`, `Skips the unit unless ${what}.`)),
    ...some.map(([name, what]) => row(`Assert${name}`, `Fails the start unless ${what}.`)),
  ]
}

export const unitSection: readonly Directive[] = [
  ...honoured('Unit', [
    ['Description', 'text', 'A name for people, shown by `status` and `list-units`.'],
    ['Documentation', 'words', 'Addresses of its documentation, shown by `show`.'],
    [
      'StartLimitIntervalSec',
      'time span',
      'The window in which starts are counted, 10 s if not given; 0 for no limit.',
    ],
    ['StartLimitInterval', 'time span', 'The older spelling of StartLimitIntervalSec=.'],
    ['StartLimitBurst', 'number', 'How many starts the window allows, 5 if not given.'],
  ]),
  ...honouredUnless('Unit', idleAmong(orderingUnits, booted), [
    ['After', 'units', 'Started after these services are up, stopped before them.'],
    ['Before', 'units', 'Started before these services, stopped after them.'],
  ]),
  ...honouredUnless('Unit', idleAmong(requirementUnits, booted), [
    ['Wants', 'units', 'Starts these services with it, if the fleet has them.'],
    ['Requires', 'units', 'Starts these services with it; stops and restarts with them.'],
    ['Requisite', 'units', 'As Requires=, but waits until these are up and starts none of them.'],
    ['BindsTo', 'units', 'As Requires=, and does not run while these are not up for any reason.'],
    ['PartOf', 'units', 'Stopped and restarted together with these services.'],
  ]),
  ...honouredUnless('Unit', idleAmong(conflictUnits, ending), [
    ['Conflicts', 'units', 'Stops these services when it starts, and the other way round.'],
  ]),
  ...harmless('Unit', "it orders the unit within the host's own boot and shutdown only", [
    ['DefaultDependencies', 'boolean', 'Adds the usual order against boot and shutdown targets.'],
  ]),
  ...harmless('Unit', 'there is no `isolate` here', [
    ['IgnoreOnIsolate', 'boolean', 'Keeps running when another target is isolated.'],
    ['AllowIsolate', 'boolean', 'May be the target of `isolate`.'],
  ]),
  ...refused('Unit', notYetDependencies, [
    ['Upholds', 'units', 'Starts these units again whenever they are not running.'],
    ['OnFailure', 'units', 'Starts these units when it fails.'],
    ['OnSuccess', 'units', 'Starts these units when it ends well.'],
    ['PropagatesReloadTo', 'units', 'Reloads these units with it.'],
    ['ReloadPropagatedFrom', 'units', 'Reloaded with these units.'],
    ['PropagatesStopTo', 'units', 'Stops these units with it.'],
    ['StopPropagatedFrom', 'units', 'Stopped with these units.'],
    ['JoinsNamespaceOf', 'units', 'Shares private /tmp and network with these units.'],
    ['RequiresMountsFor', 'paths', 'Requires the mounts that hold these paths.'],
    ['WantsMountsFor', 'paths', 'Wants the mounts that hold these paths.'],
    ['StopWhenUnneeded', 'boolean', 'Stopped when no other unit needs it any more.'],
    ['RefuseManualStart', 'boolean', 'Started only by other units.'],
    ['RefuseManualStop', 'boolean', 'Stopped only by other units.'],
    ['OnSuccessJobMode', 'choice', 'How the units of OnSuccess= are queued.'],
    ['OnFailureJobMode', 'choice', 'How the units of OnFailure= are queued.'],
    ['CollectMode', 'choice', 'When an ended unit is forgotten.'],
    ['SurviveFinalKillSignal', 'boolean', "Survives the host's last kill at shutdown."],
  ]),
  ...refused('Unit', 'timeouts of queued jobs come later', [
    ['JobTimeoutSec', 'time span', 'How long a queued start or stop may wait.'],
    ['JobRunningTimeoutSec', 'time span', 'How long a start or stop may run.'],
    ['JobTimeoutAction', 'choice', 'What to do to the host after JobTimeoutSec=.'],
    ['JobTimeoutRebootArgument', 'text', 'The argument of that reboot.'],
  ]),
  ...refused('Unit', 'a unit may not reboot or power off the machine through Holon', [
    ['FailureAction', 'choice', 'What to do to the host when the unit fails.'],
    ['SuccessAction', 'choice', 'What to do to the host when the unit ends well.'],
    ['StartLimitAction', 'choice', 'What to do to the host when the start limit is hit.'],
    ['FailureActionExitStatus', 'status', "The manager's exit status for FailureAction=exit."],
    ['SuccessActionExitStatus', 'status', "The manager's exit status for SuccessAction=exit."],
    ['RebootArgument', 'text', 'The argument of a reboot by one of these.'],
  ]),
  ...honoured('Unit', rowsOf(tests)),
  ...refused('Unit', 'it is not tested here: give such machines a label, and Require= it', [
    ...rowsOf(hardwareTests),
  ]),
  ...refused('Unit', "it asks about the host's own systemd", rowsOf(systemdTests)),
  ...refused('Unit', 'systemd writes it itself, for generated units', [
    ['SourcePath', 'path', 'The file that the unit was generated from.'],
  ]),
  ...refused('Unit', 'it is obsolete: use the present name', [
    ['BindTo', 'units', 'The old name of BindsTo=.'],
    ['PropagateReloadTo', 'units', 'The old name of PropagatesReloadTo=.'],
    ['PropagateReloadFrom', 'units', 'The old name of ReloadPropagatedFrom=.'],
    ['RequiresOverridable', 'units', 'A removed form of Requires=.'],
    ['RequisiteOverridable', 'units', 'A removed form of Requisite=.'],
    ['OnFailureIsolate', 'boolean', 'The old form of OnFailureJobMode=isolate.'],
  ]),
]

export const installSection: readonly Directive[] = [
  ...harmless(
    'Install',
    '`holon enable` starts the unit whenever the agent starts, whatever target is named',
    [
      ['WantedBy', 'units', 'Which units pull it in once it is enabled.'],
      ['RequiredBy', 'units', 'Which units require it once it is enabled.'],
      ['UpheldBy', 'units', 'Which units keep it running once it is enabled.'],
    ],
    installRefusal,
  ),
  ...refused('Install', 'other names and units of an enabled unit come later', [
    ['Alias', 'units', 'Other names that it gets once it is enabled.'],
    ['Also', 'units', 'Units that are enabled and disabled with it.'],
    ['DefaultInstance', 'text', 'The instance of a template that is enabled by default.'],
  ]),
]
