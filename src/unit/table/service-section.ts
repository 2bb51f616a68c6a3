/** [Service] itself, see systemd.service(5), and how processes end, see systemd.kill(5). */
import { type Directive, harmless, honoured, refused } from './row.ts'
import { choiceRefusal } from './well-known.ts'

export const serviceSection: readonly Directive[] = [
  ...honoured('Service', [
    [
      'Type',
      'choice',
      'When it is started: simple (at once), exec (the program runs), oneshot (it has ended), ' +
        'notify and notify-reload (it says READY=1).',
    ],
    ['ExecStart', 'commands', 'The program. Several, one after another, only with Type=oneshot.'],
    [
      'ExecStartPre',
      'commands',
      'Commands before ExecStart=; the first that fails ends the start.',
    ],
    ['ExecStartPost', 'commands', 'Commands after the unit counts as started.'],
    ['ExecStop', 'commands', 'Commands that ask it to stop, before KillSignal= does.'],
    ['ExecStopPost', 'commands', 'Commands after it has ended, in whatever way.'],
    [
      'Restart',
      'choice',
      'When again: no, on-success, on-failure, on-abnormal, on-watchdog, on-abort, always.',
    ],
    ['RestartSec', 'time span', 'The pause before it is started again, 100 ms if not given.'],
    ['RemainAfterExit', 'boolean', 'Stays active after its program has ended well.'],
    [
      'TimeoutStartSec',
      'time span',
      'How long a start may take, 90 s if not given (oneshot: no limit); 0 for no limit.',
    ],
    [
      'TimeoutStopSec',
      'time span',
      'How long a stop may take before SIGKILL, 90 s if not given; 0 for no limit.',
    ],
    ['TimeoutSec', 'time span', 'TimeoutStartSec= and TimeoutStopSec= in one.'],
    ['RuntimeMaxSec', 'time span', 'Stops it, as failed, when it has run this long.'],
    [
      'StartLimitInterval',
      'time span',
      'The older place and spelling of StartLimitIntervalSec= in [Unit].',
    ],
    ['StartLimitBurst', 'number', 'The older place of StartLimitBurst= in [Unit].'],
    [
      'KillMode',
      'choice',
      'Whom a stop reaches: control-group (all), mixed (SIGKILL all), process (main), none.',
    ],
    ['KillSignal', 'signal', 'The signal of a stop, SIGTERM if not given; SIGCONT follows it.'],
    ['SendSIGKILL', 'boolean', 'Whether SIGKILL follows after TimeoutStopSec=; yes if not given.'],
    [
      'NotifyAccess',
      'choice',
      'Who may send sd_notify messages: none, main (process), exec (every command), all; ' +
        'main if not given and Type= or WatchdogSec= need it.',
    ],
    ['WatchdogSec', 'time span', 'Fails unless it says WATCHDOG=1 this often; 0 for no watchdog.'],
    ['WatchdogSignal', 'signal', 'The signal when the watchdog fails, SIGABRT if not given.'],
  ]),
  ...harmless('Service', 'with the types supported so far the main process is always known', [
    ['GuessMainPID', 'boolean', 'Guesses the main process of Type=forking.'],
  ]),
  ...harmless(
    'Service',
    'it says no, which is so',
    [
      ['PermissionsStartOnly', 'boolean', 'User= applies to ExecStart= only.'],
      ['RootDirectoryStartOnly', 'boolean', 'RootDirectory= applies to ExecStart= only.'],
    ],
    choiceRefusal(['no', 'false', 'off', '0']),
  ),
  ...refused('Service', 'reloading comes later', [
    ['ExecReload', 'commands', 'Commands that make it read its configuration again.'],
    ['ReloadSignal', 'signal', 'The signal that makes it read its configuration again.'],
  ]),
  ...refused('Service', 'there is no D-Bus here', [
    ['BusName', 'text', 'The D-Bus name that tells that it is ready.'],
  ]),
  ...refused('Service', 'file descriptors are not kept yet', [
    [
      'FileDescriptorStoreMax',
      'number',
      'How many file descriptors it may leave with the manager.',
    ],
    ['FileDescriptorStorePreserve', 'choice', 'How long these are kept.'],
  ]),
  ...refused('Service', 'Type=forking comes later', [
    ['PIDFile', 'path', 'The file in which the program writes its process id.'],
  ]),
  ...refused('Service', 'deciding by exit status comes later', [
    ['SuccessExitStatus', 'status', 'More exit statuses and signals that count as success.'],
    ['RestartPreventExitStatus', 'status', 'Exit statuses after which it is not started again.'],
    ['RestartForceExitStatus', 'status', 'Exit statuses after which it always is started again.'],
  ]),
  ...refused('Service', 'not supported yet', [
    ['ExecCondition', 'commands', 'Commands that decide whether it is started at all.'],
    ['ExitType', 'choice', 'Whether it has ended with its main process or with all of them.'],
    ['RestartSteps', 'number', 'In how many steps the pause before a restart grows.'],
    ['RestartMaxDelaySec', 'time span', 'To what the pause before a restart grows.'],
    ['RestartMode', 'choice', 'Whether units depending on it notice a restart.'],
    ['TimeoutAbortSec', 'time span', 'How long an abort by the watchdog may take.'],
    ['TimeoutStartFailureMode', 'choice', 'How a start that takes too long is ended.'],
    ['TimeoutStopFailureMode', 'choice', 'How a stop that takes too long is ended.'],
    ['RuntimeRandomizedExtraSec', 'time span', 'A random time in addition to RuntimeMaxSec=.'],
    ['OOMPolicy', 'choice', 'What follows when the kernel kills one of its processes for memory.'],
    ['RestartKillSignal', 'signal', 'The signal of a stop that is part of a restart.'],
    ['FinalKillSignal', 'signal', 'The last signal instead of SIGKILL.'],
    ['SendSIGHUP', 'boolean', 'SIGHUP follows KillSignal= at once.'],
    ['OpenFile', 'path', 'Files opened before the start and passed on.'],
    ['NonBlocking', 'boolean', 'Passes file descriptors on as non-blocking.'],
    ['Sockets', 'units', 'Socket units that pass their sockets to it.'],
    ['USBFunctionDescriptors', 'path', 'USB gadget descriptors.'],
    ['USBFunctionStrings', 'path', 'USB gadget strings.'],
  ]),
  ...refused('Service', 'a unit may not reboot or power off the machine through Holon', [
    ['FailureAction', 'choice', 'The older place of FailureAction= in [Unit].'],
    ['StartLimitAction', 'choice', 'The older place of StartLimitAction= in [Unit].'],
    ['RebootArgument', 'text', 'The older place of RebootArgument= in [Unit].'],
  ]),
]
