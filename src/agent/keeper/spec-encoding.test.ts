import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'
import type { JobSpec } from '../../unit/job-spec.ts'
import { encodeShellSpec, encodeSpec, shellQuote } from './spec-encoding.ts'

const spec: JobSpec = {
  id: 'unit/a.service/1',
  dir: '/run/a',
  ownerUid: 5,
  output: 'log',
  stdin: 'null',
  logDir: '/var/a',
  type: 'simple',
  remainAfterExit: true,
  commands: [
    {
      phase: 'start',
      ignoreFailure: true,
      fullPrivileges: true,
      path: '/bin/a b',
      argv: ['a', '', 'x=y'],
    },
  ],
  env: [['A', '1 2']],
  cwd: '-/tmp',
  user: 'nobody',
  loginEnv: true,
  umask: 0o27,
  nice: -3,
  restart: 'on-failure',
  restartMs: 100,
  startLimitBurst: 5,
  startLimitMs: 10_000,
  timeoutStartMs: 0,
  timeoutStopMs: 90_000,
  runtimeMaxMs: 0,
  killMode: 'mixed',
  killSignal: 15,
  sendSigkill: false,
  notifyAccess: 'all',
  watchdogMs: 0,
  watchdogSignal: 6,
  cgroups: ['/sys/fs/cgroup/a'],
  reason: 'two\nlines',
}

test('encodeSpec() writes every key of docs/keeper.md in its form', () => {
  const lease = { until: { bootMs: 12.9, wallMs: 1000 }, graceMs: 5 }
  const strings = encodeSpec({ ...spec, tty: { rows: 24, columns: 80 }, lease })
    .toString()
    .split('\0')
  assert.equal(strings.pop(), '')
  assert.deepEqual(strings, [
    'id=unit/a.service/1',
    'dir=/run/a',
    'owner=5',
    'output=log',
    'stdin=null',
    'tty=24 80',
    'log-dir=/var/a',
    'type=simple',
    'remain=1',
    'exec=start ip /bin/a b',
    'arg=a',
    'arg=',
    'arg=x=y',
    'env=A=1 2',
    'cwd=-/tmp',
    'user=nobody',
    'login-env=1',
    'umask=027',
    'nice=-3',
    'restart=on-failure',
    'restart-ms=100',
    'start-limit=5',
    'start-limit-ms=10000',
    'timeout-start-ms=0',
    'timeout-stop-ms=90000',
    'runtime-max-ms=0',
    'kill-mode=mixed',
    'kill-signal=15',
    'send-sigkill=0',
    'notify=all',
    'watchdog-ms=0',
    'watchdog-signal=6',
    // Rounded down: sooner is safe.
    'lease=12 1000 5',
    'cgroup=/sys/fs/cgroup/a',
    'reason=two lines',
  ])
})

test('a NUL in a value is refused by both encodings', () => {
  const bad = { ...spec, env: [['A', 'x\0cgroup=/etc']] as const }
  assert.throws(() => encodeSpec(bad), { code: 'invalid_argument' })
  assert.throws(() => encodeShellSpec(bad), { code: 'invalid_argument' })
})

test('what is too long is exhausted', () => {
  const long = { ...spec, env: [['A', 'x'.repeat(5 * 1024 * 1024)]] as const }
  assert.throws(() => encodeSpec(long), { code: 'exhausted' })
  assert.throws(() => encodeShellSpec(long), { code: 'exhausted' })
})

test('encodeShellSpec() refuses what a shell cannot keep and says what to do', () => {
  const refused: readonly Partial<JobSpec>[] = [
    { tty: { rows: 1, columns: 1 } },
    { type: 'notify' },
    { watchdogMs: 1 },
    { lease: { until: { bootMs: 1, wallMs: 1 }, graceMs: 0 } },
  ]
  for (const more of refused) {
    const expected = { code: 'unsupported', message: /C compiler/ }
    assert.throws(() => encodeShellSpec({ ...spec, ...more }), expected)
  }
})

const shells = [['/bin/sh'], ['/usr/bin/busybox', 'sh'], ['/bin/bash']].filter(([path]) =>
  existsSync(path ?? ''),
)

/** Runs the encoded spec with a `become` that prints its arguments, each ended by a NUL. */
function readBack(shell: readonly string[], text: string): readonly string[] {
  const [program = '', ...args] = shell
  const script = `become() { printf '%s\\0' "$@"; }\n${text}\ncommand_1`
  const result = spawnSync(program, [...args, '-s'], { input: script })
  assert.equal(result.stderr.toString(), '')
  return result.stdout.toString().split('\0').slice(0, -1)
}

test('a shell reads back exactly what encodeShellSpec() wrote, whatever is in it', () => {
  const value = fc
    .string({ unit: 'binary-ascii' })
    .map((text) => text.replaceAll('\0', ''))
    .filter((text) => !text.includes('\r'))
  const anything = fc.oneof(value, fc.constantFrom("'", "''\\'", '$(id)', '`id`', '\\', '\n', '"'))
  for (const shell of shells) {
    fc.assert(
      fc.property(fc.array(anything), anything, (argv, setting) => {
        const command = { ...spec.commands[0], argv: ['x', ...argv] }
        const text = encodeShellSpec({
          ...spec,
          env: [['A', setting]],
          commands: [command as JobSpec['commands'][number]],
        })
        assert.deepEqual(readBack(shell, text), [`A=${setting}`, '/bin/a b', ...argv])
      }),
      { numRuns: 60 },
    )
  }
})

test('shellQuote() keeps a path with an = from being taken for a variable by env(1)', () => {
  const command = { ...spec.commands[0], path: '/opt/a=b', argv: ['a', 'c'] }
  const text = encodeShellSpec({ ...spec, commands: [command as JobSpec['commands'][number]] })
  const words = readBack(['/bin/sh'], text)
  assert.deepEqual(words.slice(1), ['/bin/sh', '-c', 'exec "$0" "$@"', '/opt/a=b', 'c'])
  assert.equal(shellQuote("it's"), `'it'\\''s'`)
})
