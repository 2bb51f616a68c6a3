import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { limits } from '../base/limits.ts'
import { directives } from './directives.ts'
import { formatUnitProblem } from './parse.ts'
import { defaultRules } from './placement-rules.ts'
import type { ServiceUnit } from './service-unit.ts'
import { judgeUnit, loadUnit, type UnitInput } from './unit.ts'

function load(text: string, more: Partial<UnitInput> = {}): ServiceUnit {
  const result = loadUnit({ name: 'web.service', text, ...more })
  assert.equal(result.kind, 'loaded', JSON.stringify(result))
  assert.ok(result.kind === 'loaded')
  return result.unit
}

function service(...lines: readonly string[]): ServiceUnit {
  return load(`[Service]\nExecStart=/bin/web\n${lines.join('\n')}\n`)
}

function refusals(text: string, more: Partial<UnitInput> = {}): readonly string[] {
  const result = loadUnit({ name: 'web.service', text, ...more })
  assert.equal(result.kind, 'refused', text)
  return result.kind === 'refused' ? result.problems.map(formatUnitProblem) : []
}

function refusedService(...lines: readonly string[]): string {
  return refusals(`[Service]\nExecStart=/bin/web\n${lines.join('\n')}\n`).join('\n')
}

test('loadUnit() gives a unit of one line the defaults of systemd', () => {
  assert.deepEqual(load('[Service]\nExecStart=/bin/web -p 80\n'), {
    name: 'web.service',
    description: 'web.service',
    documentation: [],
    type: 'simple',
    commands: [
      {
        phase: 'start',
        ignoreFailure: false,
        fullPrivileges: false,
        expandVariables: true,
        path: '/bin/web',
        argv: ['/bin/web', '-p', '80'],
        place: { file: 'web.service', line: 2 },
      },
    ],
    remainAfterExit: false,
    restart: 'no',
    restartMs: 100,
    startLimitBurst: 5,
    startLimitMs: 10_000,
    timeoutStartMs: 90_000,
    timeoutStopMs: 90_000,
    runtimeMaxMs: 0,
    killMode: 'control-group',
    killSignal: 15,
    sendSigkill: true,
    notifyAccess: 'none',
    watchdogMs: 0,
    watchdogSignal: 6,
    umask: 0o022,
    environment: [],
    environmentFiles: [],
    credentials: [],
    placement: defaultRules,
    dependencies: [],
  })
})

test('loadUnit() reads a whole application unit', () => {
  const unit = load(`[Unit]
Description=My web app
Documentation=https://example.org/docs man:web(1)
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=1min
StartLimitBurst=3

[Service]
Type=exec
User=www-data
Group=www-data
WorkingDirectory=-/srv/%p
UMask=027
Environment=PORT=8080 "GREETING=hello there"
EnvironmentFile=/etc/web.env
EnvironmentFile=-/etc/web.local
LoadCredential=db:db-password
ExecStartPre=-/bin/mkdir -p /srv/web
ExecStart=/usr/bin/node server.js \\
  --port \${PORT}
ExecStop=/bin/sh -c 'echo bye'
ExecStopPost=+/bin/rm -f /run/web.lock
Restart=on-failure
RestartSec=2
TimeoutStartSec=1min 30s
TimeoutStopSec=infinity
RuntimeMaxSec=1h
KillMode=mixed
KillSignal=SIGINT
SendSIGKILL=no

[Install]
WantedBy=multi-user.target

[X-Holon]
Instances=3
`)
  assert.deepEqual(
    unit.commands.map(({ phase, ignoreFailure, fullPrivileges, argv }) => [
      phase,
      ignoreFailure,
      fullPrivileges,
      argv.length,
    ]),
    [
      ['start-pre', true, false, 3],
      ['start', false, false, 4],
      ['stop', false, false, 3],
      ['stop-post', false, true, 3],
    ],
  )
  const { commands: _, environment, environmentFiles, credentials, ...rest } = unit
  assert.deepEqual(rest, {
    name: 'web.service',
    description: 'My web app',
    documentation: ['https://example.org/docs', 'man:web(1)'],
    type: 'exec',
    remainAfterExit: false,
    restart: 'on-failure',
    restartMs: 2000,
    startLimitBurst: 3,
    startLimitMs: 60_000,
    timeoutStartMs: 90_000,
    timeoutStopMs: 0,
    runtimeMaxMs: 3_600_000,
    killMode: 'mixed',
    killSignal: 2,
    sendSigkill: false,
    notifyAccess: 'none',
    watchdogMs: 0,
    watchdogSignal: 6,
    user: 'www-data',
    group: 'www-data',
    workingDirectory: { path: '/srv/%p', optional: true },
    umask: 0o027,
    placement: { ...defaultRules, instances: 3 },
    dependencies: [],
  })
  assert.deepEqual(
    environment.map(({ name, value }) => [name, value]),
    [
      ['PORT', '8080'],
      ['GREETING', 'hello there'],
    ],
  )
  assert.deepEqual(
    environmentFiles.map(({ path, optional, place }) => [path, optional, place.line]),
    [
      ['/etc/web.env', false, 16],
      ['/etc/web.local', true, 17],
    ],
  )
  assert.deepEqual(credentials, [
    { id: 'db', secret: 'db-password', place: { file: 'web.service', line: 18 } },
  ])
})

test('loadUnit() resets lists and single values that are empty', () => {
  const unit = service(
    'ExecStart=',
    'ExecStart=/bin/other',
    'Environment=A=1',
    'Environment=',
    'Environment=B=2',
    'EnvironmentFile=/etc/x',
    'EnvironmentFile=',
    'User=x',
    'User=',
  )
  assert.deepEqual(
    unit.commands.map(({ path }) => path),
    ['/bin/other'],
  )
  assert.deepEqual(
    unit.environment.map(({ name }) => name),
    ['B'],
  )
  assert.deepEqual(unit.environmentFiles, [])
  assert.equal(unit.user, undefined)
})

test('loadUnit() lets the main process speak where type or watchdog need it, as systemd does', () => {
  assert.equal(service('Type=notify').notifyAccess, 'main')
  assert.equal(service('Type=notify', 'NotifyAccess=none').notifyAccess, 'main')
  assert.equal(service('Type=notify-reload', 'NotifyAccess=all').notifyAccess, 'all')
  assert.equal(service('NotifyAccess=exec').notifyAccess, 'exec')
  const watched = service('WatchdogSec=1500ms', 'WatchdogSignal=TERM')
  assert.deepEqual(
    [watched.notifyAccess, watched.watchdogMs, watched.watchdogSignal],
    ['main', 1500, 15],
  )
  assert.equal(service('WatchdogSec=infinity').notifyAccess, 'none')
  assert.equal(service('Type=oneshot', 'WatchdogSec=1').watchdogMs, 0)
})

test('loadUnit() refuses to leave processes behind where only one may run', () => {
  const exclusive = (line: string) =>
    refusals(`[Service]\nExecStart=/bin/web\n${line}\n[X-Holon]\nPartition=at-most\n`).join()
  assert.match(exclusive('KillMode=process'), /:3: KillMode=: Partition=at-most needs/)
  assert.match(exclusive('SendSIGKILL=no'), /:3: SendSIGKILL=: Partition=at-most needs/)
  load('[Service]\nExecStart=/bin/web\nKillMode=mixed\n[X-Holon]\nPartition=at-most\n')
})

test('loadUnit() applies drop-ins after the file, and names them in problems', () => {
  const text = '[Service]\nExecStart=/bin/web\nRestart=no\n'
  const dropIn = { file: 'web.service.d/a.conf', text: '[Service]\nRestart=always\n' }
  assert.equal(load(text, { dropIns: [dropIn] }).restart, 'always')
  const wrong = { file: 'web.service.d/b.conf', text: '[Service]\n\nRestart=often\n' }
  assert.match(refusals(text, { dropIns: [wrong] }).join(), /^web\.service\.d\/b\.conf:3: Restart=/)
})

test('loadUnit() takes the older places and spellings of the start limit', () => {
  const unit = service('StartLimitInterval=30', 'StartLimitBurst=2')
  assert.deepEqual([unit.startLimitBurst, unit.startLimitMs], [2, 30_000])
  const off = load('[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=/bin/web\n')
  assert.deepEqual([off.startLimitBurst, off.startLimitMs], [0, 0])
})

test('loadUnit() gives a oneshot no start timeout unless the file does', () => {
  assert.equal(service('Type=oneshot').timeoutStartMs, 0)
  assert.equal(service('Type=oneshot', 'TimeoutSec=5').timeoutStartMs, 5000)
  assert.equal(service('TimeoutStartSec=0').timeoutStartMs, 0)
})

test('loadUnit() refuses combinations that cannot work, as systemd does', () => {
  assert.match(refusedService('ExecStart=/bin/b'), /:3: ExecStart=: 2 commands need Type=oneshot/)
  assert.match(refusedService('Type=oneshot', 'Restart=always'), /:4: Restart=: always is not/)
  assert.match(refusals('[Service]\nType=simple\n').join(), /ExecStart=: a service of Type=simple/)
  assert.match(refusals('[Service]\nExecStop=/bin/x\n').join(), /needs RemainAfterExit=yes/)
  assert.match(refusals('[Service]\nRemainAfterExit=yes\n').join(), /neither ExecStart= nor/)
  assert.match(refusals('[Unit]\nDescription=x\n').join(), /there is no \[Service\] section/)
  const stopOnly = load('[Service]\nRemainAfterExit=yes\nExecStop=/bin/x\n')
  assert.equal(stopOnly.type, 'oneshot')
})

test('loadUnit() refuses values it cannot read, with file and line', () => {
  const wrong: readonly (readonly [string, RegExp])[] = [
    ['Type=dbus', /web\.service:3: Type=: Type=dbus is not supported yet/],
    ['NotifyAccess=some', /not one of none, main, exec, all/],
    ['Type=sipmle', /not one of simple, exec, oneshot/],
    ['Restart=sometimes', /not one of no, on-success/],
    ['RestartSec=soon', /no time span/],
    ['RestartSec=infinity', /infinity makes no sense/],
    ['RestartSec=101y', /more than 100 years/],
    ['RuntimeMaxSec=0', /write infinity/],
    ['TimeoutStopSec=', /the value is empty/],
    ['KillSignal=SIGFOO', /no signal/],
    ['KillMode=all', /not one of control-group/],
    ['UMask=0988', /no octal mode/],
    ['RemainAfterExit=perhaps', /neither yes nor no/],
    ['User=-x', /no name of a user/],
    ['User=4294967295', /no name of a user/],
    ['WorkingDirectory=srv', /no absolute path/],
    ['EnvironmentFile=etc/x', /no absolute path/],
    ['EnvironmentFile=/etc/*.env', /patterns/],
    ['Environment=A', /no assignment/],
    ['ExecStop=/bin/kill $MAINPID', /the variable \$MAINPID is not supported yet/],
    ["ExecStop=/bin/sh -c 'kill $MAINPID'", /the variable \$MAINPID/],
    ['ExecStartPre=/bin/date +%Y', /unknown specifier %Y/],
    ['ExecStartPre=/bin/echo "a', /not closed/],
    ['StartLimitBurst=-1', /no whole number/],
    ['ExecStartPre=@bindir@/x', /@bindir@ is a marker that a build should have replaced/],
    ['LimitNOFILE=5', /come later/],
    ['Frobnicate=1', /unknown directive/],
    ['RestartSecs=1', /did you mean RestartSec=\?/],
    ['[Socket]', /unknown section \[Socket\]/],
    ['[Timer]\nOnCalendar=daily', /:4: OnCalendar=: \[Timer\] belongs into .timer files/],
    ['[X-Holon]\nInstances=0', /to run none, stop the unit/],
    [`[X-Holon]\nInstances=${limits.unitInstancesMax + 1}`, /no whole number from 1 to/],
    ['[X-Holon]\nExecutor=systemd', /comes later/],
  ]
  for (const [lines, message] of wrong) assert.match(refusedService(lines), message, lines)
  assert.match(
    refusals('[Service]', { name: 'web@.service' }).join(),
    /web@\.service:1: .*template/,
  )
})

test('loadUnit() reports every problem of a file, in order', () => {
  const text = '[Service]\nnonsense\nType=forking\nExecStart=x/y\nPrivateTmp=yes\n'
  assert.deepEqual(
    refusals(text).map((problem) => problem.split(':')[1]),
    ['2', '3', '4', '5'],
  )
})

test('loadUnit() reads dependencies on services, and refuses those on what is not there', () => {
  const withLines = (lines: string) => `[Unit]\n${lines}\n[Service]\nExecStart=/bin/web\n`
  const text = withLines(
    'After=network.target db.service cache.service\nRequires=db.service web.service\nAfter=',
  )
  const place = { file: 'web.service', line: 2 }
  assert.deepEqual(load(text).dependencies, [
    { directive: 'After', unit: 'db.service', place },
    { directive: 'After', unit: 'cache.service', place },
    { directive: 'Requires', unit: 'db.service', place: { ...place, line: 3 } },
  ])
  const wrong: readonly (readonly [string, RegExp])[] = [
    ['After=db.socket', /web\.service:2: After=: ordering against db\.socket is not supported/],
    ['Wants=reboot.target', /depending on reboot\.target is not supported/],
    ['Requires=systemd-resolved.service', /depending on systemd-resolved\.service/],
    ['BindsTo=db@1.service', /depending on db@1\.service/],
    ['PartOf=%N-app.service', /depending on %N-app\.service/],
    ['Conflicts=foo', /conflicting with foo/],
  ]
  for (const [lines, message] of wrong) {
    assert.match(refusals(withLines(lines)).join(), message, lines)
  }
})

test('loadUnit() notes what it accepts without effect', () => {
  const text = `[Unit]
After=network.target
[Service]
Type=oneshot
ExecStart=/bin/grep \\.conf x
RuntimeMaxSec=5
SyslogIdentifier=web
X-Mine=1
[X-Other]
Anything=1
`
  const result = loadUnit({ name: 'web.service', text })
  assert.ok(result.kind === 'loaded')
  assert.deepEqual(result.notes.map(({ line, directive }) => `${line} ${directive}`).sort(), [
    '10 Anything',
    '2 After',
    '5 ExecStart',
    '6 RuntimeMaxSec',
    '7 SyslogIdentifier',
    '8 X-Mine',
  ])
  assert.equal(result.unit.runtimeMaxMs, 0)
})

test('judgeUnit() has a verdict for every line', () => {
  const { lines } = judgeUnit({
    name: 'web.service',
    text: '[Unit]\nAfter=network.target\n[Service]\nExecStart=/bin/a\nType=forking\nNice=1\n',
  })
  assert.deepEqual(
    lines.map(({ verdict }) => verdict.status),
    ['harmless', 'honoured', 'refused', 'refused'],
  )
})

test('loadUnit() has a handler for every honoured directive', () => {
  for (const { section, name, status } of directives) {
    if (status !== 'honoured') continue
    const { lines } = judgeUnit({ name: 'x.service', text: `[${section}]\n${name}=%Y\n` })
    assert.doesNotMatch(lines[0]?.verdict.message ?? '', /no handler/, name)
  }
})

test('loadUnit() takes any file without throwing', () => {
  const names = directives.map(({ name }) => name)
  const value = fc.oneof(
    fc.string(),
    fc.constantFrom(
      '',
      'yes',
      '1',
      '5min',
      '/bin/x',
      '~',
      '-',
      '%n',
      '$A',
      'A=1',
      'simple',
      'always',
    ),
  )
  const line = fc.oneof(
    fc.constantFrom('[Unit]', '[Service]', '[Install]', '[X-Holon]', '[X-Fleet]', '', '# c'),
    fc.tuple(fc.constantFrom(...names), value).map(([name, text]) => `${name}=${text}`),
    fc.string(),
  )
  fc.assert(
    fc.property(fc.array(line, { maxLength: 20 }), (lines) => {
      const result = loadUnit({ name: 'web.service', text: lines.join('\n') })
      if (result.kind === 'refused')
        assert.ok(result.problems.every((problem) => problem.line >= 1))
    }),
  )
})
