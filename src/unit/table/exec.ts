/** How a service's processes run, in [Service], see systemd.exec(5); sandboxing is apart. */
import { type Directive, harmless, honoured, type Row, refused } from './row.ts'
import { choiceRefusal } from './well-known.ts'

const rlimits: readonly (readonly [name: string, meaning: string])[] = [
  ['CPU', 'CPU time'],
  ['FSIZE', 'size of a file'],
  ['DATA', 'data segment'],
  ['STACK', 'stack'],
  ['CORE', 'core dump'],
  ['RSS', 'resident memory (the kernel ignores it)'],
  ['NOFILE', 'number of open files'],
  ['AS', 'address space'],
  ['NPROC', 'number of processes of the user'],
  ['MEMLOCK', 'locked memory'],
  ['LOCKS', 'file locks (the kernel ignores it)'],
  ['SIGPENDING', 'queued signals'],
  ['MSGQUEUE', 'message queues'],
  ['NICE', 'nice level'],
  ['RTPRIO', 'realtime priority'],
  ['RTTIME', 'realtime CPU time'],
]
const limitRows: readonly Row[] = rlimits.map(
  ([name, meaning]): Row => [
    `Limit${name}`,
    'size',
    `The resource limit of a process: ${meaning}.`,
  ],
)

const directoryKinds: readonly (readonly [name: string, where: string])[] = [
  ['Runtime', '/run'],
  ['State', '/var/lib'],
  ['Cache', '/var/cache'],
  ['Logs', '/var/log'],
  ['Configuration', '/etc'],
]
const directoryRows: readonly Row[] = directoryKinds.flatMap(([name, where]): readonly Row[] => [
  [`${name}Directory`, 'paths', `Directories under ${where} that are made for it.`],
  [`${name}DirectoryMode`, 'mode', `The mode of ${name}Directory=.`],
])

export const execDirectives: readonly Directive[] = [
  ...honoured('Service', [
    ['User', 'account', 'The user it runs as, by name or number. Only root may name another.'],
    ['Group', 'account', "The group it runs as; the user's own if not given."],
    [
      'WorkingDirectory',
      'path',
      'Where it starts: a path, or ~ for the home; with - a missing one does not matter.',
    ],
    ['UMask', 'mode', 'The file mode creation mask, 0022 if not given.'],
    ['Environment', 'assignments', 'Variables: `A=1 "B=two words"`. No variable is expanded here.'],
    [
      'EnvironmentFile',
      'paths',
      'A file of variables, read when Holon starts an instance; with - it may be missing.',
    ],
    [
      'LoadCredential',
      'credentials',
      'A file in $CREDENTIALS_DIRECTORY: `ID:/PATH` of the machine, `ID:NAME` or `ID` a secret.',
    ],
    ['SetCredential', 'credentials', 'The same with its text; used where there is no other.'],
  ]),
  ...harmless(
    'Service',
    'it goes to the log of the instance, which this asks for',
    [['StandardOutput', 'choice', 'Where standard output goes.']],
    choiceRefusal(['journal', 'syslog']),
  ),
  ...harmless(
    'Service',
    'it goes to the log of the instance, which this asks for',
    [['StandardError', 'choice', 'Where standard error goes.']],
    choiceRefusal(['journal', 'syslog', 'inherit']),
  ),
  ...harmless(
    'Service',
    'it is what standard input always is',
    [['StandardInput', 'choice', 'Where standard input comes from.']],
    choiceRefusal(['null']),
  ),
  ...harmless('Service', 'log lines carry the unit and the instance, and no such tag', [
    ['SyslogIdentifier', 'text', 'The tag of its log lines.'],
    ['SyslogFacility', 'choice', 'The syslog facility of its log lines.'],
    ['UtmpIdentifier', 'text', 'The identifier in utmp of a service on a terminal.'],
    ['UtmpMode', 'choice', 'The kind of record in utmp of a service on a terminal.'],
  ]),
  ...refused('Service', 'resource limits of processes come later', limitRows),
  ...refused('Service', 'directories made for the unit come later', [
    ...directoryRows,
    ['RuntimeDirectoryPreserve', 'choice', 'Whether RuntimeDirectory= outlives the unit.'],
    ['TimeoutCleanSec', 'time span', 'How long removing its directories may take.'],
  ]),
  ...refused('Service', 'scheduling and priorities come later', [
    ['Nice', 'number', 'The nice level, -20 to 19.'],
    ['OOMScoreAdjust', 'number', 'How readily the kernel kills it for memory, -1000 to 1000.'],
    ['CPUSchedulingPolicy', 'choice', 'The CPU scheduling policy.'],
    ['CPUSchedulingPriority', 'number', 'The CPU scheduling priority.'],
    ['CPUSchedulingResetOnFork', 'boolean', 'Children do not get the CPU scheduling.'],
    ['IOSchedulingClass', 'choice', 'The IO scheduling class.'],
    ['IOSchedulingPriority', 'number', 'The IO scheduling priority.'],
    ['CPUAffinity', 'words', 'The CPUs it may run on.'],
    ['NUMAPolicy', 'choice', 'The memory policy over NUMA nodes.'],
    ['NUMAMask', 'words', 'The NUMA nodes of that policy.'],
    ['TimerSlackNSec', 'time span', 'How inexact its timers may be.'],
    ['CoredumpFilter', 'words', 'Which mappings a core dump holds.'],
    ['CoredumpReceive', 'boolean', 'Core dumps of its containers go to it.'],
    ['MemoryKSM', 'boolean', 'Merges equal pages of its memory.'],
    ['IgnoreSIGPIPE', 'boolean', 'Whether SIGPIPE is ignored.'],
  ]),
  ...refused('Service', 'not supported yet', [
    ['SupplementaryGroups', 'words', 'More groups it is in.'],
    ['DynamicUser', 'boolean', 'A user made for the time it runs.'],
    ['RemoveIPC', 'boolean', "Removes the user's IPC objects when it ends."],
    ['SetLoginEnvironment', 'boolean', 'Whether HOME, USER, LOGNAME and SHELL are set.'],
    ['PassEnvironment', 'words', "Variables of the manager's own environment to pass on."],
    ['UnsetEnvironment', 'words', 'Variables to leave out.'],
    ['ExecSearchPath', 'paths', 'Where programs without a path are looked up.'],
    ['PAMName', 'text', 'The PAM service to open a session with.'],
    ['Personality', 'choice', 'The architecture that uname reports.'],
    ['KeyringMode', 'choice', 'The kernel keyring it gets.'],
    ['SetCredentialEncrypted', 'text', 'A credential with its encrypted value.'],
    ['LoadCredentialEncrypted', 'text', 'A credential from an encrypted file.'],
    ['ImportCredential', 'text', "The system's credentials that match a pattern."],
  ]),
  ...refused('Service', 'output elsewhere than to the log, and terminals, come later', [
    ['StandardInputText', 'text', 'Text for standard input.'],
    ['StandardInputData', 'text', 'Base64 bytes for standard input.'],
    ['TTYPath', 'path', 'The terminal to use.'],
    ['TTYReset', 'boolean', 'Resets the terminal before and after.'],
    ['TTYVHangup', 'boolean', 'Disconnects everyone from the terminal before and after.'],
    ['TTYVTDisallocate', 'boolean', 'Clears the virtual console before and after.'],
    ['TTYRows', 'number', 'The rows of the terminal.'],
    ['TTYColumns', 'number', 'The columns of the terminal.'],
    ['SyslogLevel', 'choice', 'The level of its log lines.'],
    ['SyslogLevelPrefix', 'boolean', 'Whether a prefix <N> of a line gives its level.'],
    ['LogLevelMax', 'choice', 'Drops log lines below this level.'],
    ['LogExtraFields', 'assignments', 'More fields of its log lines.'],
    ['LogRateLimitIntervalSec', 'time span', 'The window in which log lines are counted.'],
    ['LogRateLimitBurst', 'number', 'How many log lines the window allows.'],
    ['LogFilterPatterns', 'text', 'Keeps or drops log lines by pattern.'],
    ['LogNamespace', 'text', 'The journal to log to.'],
  ]),
]
