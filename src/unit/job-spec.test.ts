// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables of unit files, not of ours
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ErrorCode, HolonError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import {
  accountsOf,
  type CompiledJob,
  compileJob,
  environmentFilesOf,
  type JobContext,
  searchPath,
  unitDescription,
} from './job-spec.ts'
import type { ServiceUnit } from './service-unit.ts'
import { loadUnit } from './unit.ts'

const base: JobContext = {
  id: 'web.service.2',
  dir: '/run/holon/jobs/web.service.2',
  logDir: '/var/lib/holon/logs/web.service.2',
  ownerUid: 0,
  instance: 2,
  machine: 'n1',
  invocationId: '0'.repeat(32),
  cgroups: ['/sys/fs/cgroup/holon/web.service.2'],
  reason: 'someone said so',
  specifiers: {
    unitName: 'web.service',
    hostName: 'n1.example.org',
    user: { name: 'root', uid: 0, group: 'root', gid: 0, home: '/root', shell: '/bin/sh' },
    directories: {
      runtime: '/run',
      state: '/var/lib',
      cache: '/var/cache',
      logs: '/var/log',
      configuration: '/etc',
    },
  },
  environmentFileText: () => undefined,
  resolveExecutable: (name) => (name === 'missing' ? undefined : `/usr/bin/${name}`),
}

function unitOf(lines: readonly string[]): ServiceUnit {
  const text = `[Service]\n${lines.join('\n')}\n`
  const result = loadUnit({ name: 'web.service', text })
  assert.ok(result.kind === 'loaded', JSON.stringify(result))
  return result.unit
}

function compile(lines: readonly string[], more: Partial<JobContext> = {}): CompiledJob {
  return compileJob(unitOf(lines), { ...base, ...more })
}

function envOf(compiled: CompiledJob): Readonly<Record<string, string>> {
  const names = compiled.spec.env.map(([name]) => name)
  assert.equal(new Set(names).size, names.length, 'each name once')
  return Object.fromEntries(compiled.spec.env)
}

function fails(code: ErrorCode, message: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof HolonError)
    assert.equal(error.code, code)
    assert.match(error.message, message)
    return true
  }
}

test('compileJob() gives the whole spec of the keeper', () => {
  const { spec, warnings } = compile(['ExecStart=-+sleep 5', 'Restart=always', 'UMask=077'])
  const { env: _, ...rest } = spec
  assert.deepEqual(rest, {
    id: 'web.service.2',
    dir: '/run/holon/jobs/web.service.2',
    ownerUid: 0,
    output: 'log',
    stdin: 'null',
    logDir: '/var/lib/holon/logs/web.service.2',
    type: 'simple',
    remainAfterExit: false,
    commands: [
      {
        phase: 'start',
        ignoreFailure: true,
        fullPrivileges: true,
        path: '/usr/bin/sleep',
        argv: ['sleep', '5'],
      },
    ],
    cwd: '/',
    loginEnv: false,
    umask: 0o077,
    restart: 'always',
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
    cgroups: ['/sys/fs/cgroup/holon/web.service.2'],
    reason: 'someone said so',
  })
  assert.deepEqual(warnings, [])
})

test('compileJob() builds the environment in the order of systemd', () => {
  const compiled = compile(
    [
      'ExecStart=/bin/web',
      'Environment=A=unit B=unit PATH=/opt/bin HOLON_JOB=forged N=%n',
      'EnvironmentFile=/etc/one',
      'EnvironmentFile=-/etc/missing',
      'EnvironmentFile=/etc/%p.two',
    ],
    {
      lang: 'C.UTF-8',
      environmentFileText: (path) =>
        ({ '/etc/one': 'B=one\nC=one\n', '/etc/web.two': 'C=two\nexport D=4\n' })[path],
    },
  )
  assert.deepEqual(envOf(compiled), {
    PATH: '/opt/bin',
    LANG: 'C.UTF-8',
    INVOCATION_ID: '0'.repeat(32),
    HOLON_UNIT: 'web.service',
    HOLON_INSTANCE: '2',
    HOLON_MACHINE: 'n1',
    A: 'unit',
    B: 'one',
    N: 'web.service',
    C: 'two',
    HOLON_JOB: '/run/holon/jobs/web.service.2',
  })
  assert.deepEqual(
    compiled.warnings.map(({ file, line }) => [file, line]),
    [['/etc/web.two', 2]],
  )
  assert.equal(envOf(compile(['ExecStart=/bin/web']))['PATH'], searchPath)
})

test('compileJob() passes on what the fleet adds: fence and lease', () => {
  const lease = { until: { bootMs: 5, wallMs: 7 }, graceMs: 2 }
  const compiled = compile(['ExecStart=/bin/web', 'Environment=HOLON_FENCE=99'], {
    fence: 3,
    lease,
  })
  assert.equal(envOf(compiled)['HOLON_FENCE'], '3')
  assert.deepEqual(compiled.spec.lease, lease)
  assert.equal(envOf(compile(['ExecStart=/bin/web']))['HOLON_FENCE'], undefined)
})

test('compileJob() sets the login variables with User=, and for the units of a user', () => {
  const login = { name: 'ada', home: '/home/ada', shell: '/bin/zsh' }
  const withUser = compile(['ExecStart=/bin/web ${HOME} $USER', 'User=ada'], { login })
  assert.deepEqual(withUser.spec.commands[0]?.argv, ['/bin/web', '/home/ada', 'ada'])
  assert.equal(withUser.spec.loginEnv, true)
  assert.equal(withUser.spec.user, 'ada')
  const ofUser = compile(['ExecStart=/bin/web'], { login, ownerUid: 1000 })
  assert.equal(envOf(ofUser)['SHELL'], '/bin/zsh')
  assert.equal(ofUser.spec.cwd, '~')
  const ofSystem = compile(['ExecStart=/bin/web'], { login })
  assert.equal(envOf(ofSystem)['HOME'], undefined)
})

test('compileJob() expands specifiers, then variables, by the rules of systemd', () => {
  const { spec, warnings } = compile([
    'Environment="TWO=a  \'b c\'" EMPTY= PERCENT=%%n',
    'ExecStart=/bin/%p $TWO ${TWO}x $$TWO ${PERCENT} $EMPTY ${EMPTY} $NONE %H',
    'ExecStartPre=:/bin/echo $TWO ${TWO} %n',
    'ExecStop=@/bin/echo $EMPTY',
  ])
  assert.deepEqual(
    spec.commands.map(({ path, argv }) => [path, ...argv]),
    [
      ['/bin/echo', '/bin/echo', '$TWO', '${TWO}', 'web.service'],
      ['/bin/web', '/bin/web', 'a', 'b c', "a  'b c'x", '$TWO', '%n', '', 'n1.example.org'],
      ['/bin/echo', '/bin/echo'],
    ],
  )
  assert.deepEqual(
    warnings.map(({ line, message }) => `${line} ${message}`),
    ['3 the variable $NONE has no value and is taken as empty'],
  )
})

test('compileJob() places the working directory as the keeper reads it', () => {
  const cwd = (value: string) => compile(['ExecStart=/bin/a', `WorkingDirectory=${value}`]).spec.cwd
  assert.equal(cwd('/srv/%p'), '/srv/web')
  assert.equal(cwd('-/srv'), '-/srv')
  assert.equal(cwd('~'), '~')
  assert.equal(cwd('-~'), '-~')
  assert.equal(cwd('%S/x'), '/var/lib/x')
})

test('compileJob() fails with file and line for what this machine lacks', () => {
  const file = ['ExecStart=/bin/a', 'EnvironmentFile=/etc/none']
  assert.throws(
    () => compile(file),
    fails('not_found', /^web\.service:3: EnvironmentFile=: .*-\/etc\/none/),
  )
  const program = ['ExecStart=missing x']
  assert.throws(
    () => compile(program),
    fails('not_found', /^web\.service:2: ExecStart=: there is no/),
  )
  const bootId = ['ExecStart=/bin/a %b']
  assert.throws(
    () => compile(bootId),
    fails('unavailable', /^web\.service:2: ExecStart=: expand %b/),
  )
  const relative = ['ExecStart=%H/x']
  assert.throws(() => compile(relative), fails('invalid_argument', /neither an absolute path/))
  const user = ['ExecStart=/bin/a', 'User=%h']
  assert.throws(() => compile(user), fails('invalid_argument', /no name of a user/))
})

test('compileJob() lets a missing program fail at its start where failure does not matter', () => {
  const { spec } = compile(['ExecStartPre=-missing', 'ExecStart=/bin/a'])
  assert.equal(spec.commands[0]?.path, '/usr/bin/missing')
})

test('compileJob() refuses a spec over its bound', () => {
  const text = `BIG='${'x'.repeat(limits.jobSpecBytesMax)}'`
  const big = ['ExecStart=/bin/a', 'EnvironmentFile=/etc/big']
  assert.throws(
    () => compile(big, { environmentFileText: () => text }),
    fails('exhausted', /bytes/),
  )
})

test('environmentFilesOf(), accountsOf() and unitDescription() expand specifiers', () => {
  const unit = unitOf(['ExecStart=/bin/a', 'EnvironmentFile=-%E/%p', 'User=%u', 'Group=adm'])
  assert.deepEqual(
    environmentFilesOf(unit, base.specifiers).map(({ path, optional }) => [path, optional]),
    [['/etc/web', true]],
  )
  assert.deepEqual(accountsOf(unit, base.specifiers), { user: 'root', group: 'adm' })
  assert.equal(
    unitDescription({ ...unit, description: '%p at 100%' }, base.specifiers),
    'web at 100%',
  )
  assert.equal(unitDescription({ ...unit, description: 'is %b' }, base.specifiers), 'is %b')
})

test('compileJob() says where credentials are, where there are some', () => {
  const specifiers = { ...base.specifiers, credentialsDirectory: '/run/c/web/1' }
  const files = (path: string) => (path === '/run/c/web/1/web.env' ? 'TOKEN=t\nodd secret\n' : '')
  const lines = ['ExecStart=/bin/a %d/db', 'LoadCredential=web.env', 'EnvironmentFile=%d/web.env']
  const compiled = compile(lines, { specifiers, environmentFileText: files })
  const { CREDENTIALS_DIRECTORY, TOKEN } = envOf(compiled)
  assert.deepEqual([CREDENTIALS_DIRECTORY, TOKEN], ['/run/c/web/1', 't'])
  assert.deepEqual(compiled.spec.commands[0]?.argv, ['/bin/a', '/run/c/web/1/db'])
  assert.equal(compiled.warnings.length, 1)
  assert.doesNotMatch(JSON.stringify(compiled.warnings), /odd/, 'what a line holds is not told')
  const without = envOf(compile(['ExecStart=/bin/a'], { specifiers }))
  assert.equal('CREDENTIALS_DIRECTORY' in without, false)
})
