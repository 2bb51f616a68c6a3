import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { formatCalendar } from './calendar.ts'
import { directives } from './directives.ts'
import { formatUnitProblem } from './parse.ts'
import { judgeTimer, loadTimer, type TimerUnit } from './timer-unit.ts'

function load(text: string, name = 'backup.timer'): TimerUnit {
  const result = loadTimer({ name, text })
  assert.ok(result.kind === 'loaded', JSON.stringify(result))
  return result.unit
}

function refusals(text: string, name = 'backup.timer'): string {
  const result = loadTimer({ name, text })
  assert.equal(result.kind, 'refused', text)
  return result.kind === 'refused' ? result.problems.map(formatUnitProblem).join('\n') : ''
}

test('loadTimer() gives a timer of one line the defaults of systemd', () => {
  const { calendars, ...rest } = load('[Timer]\nOnCalendar=daily\n')
  assert.deepEqual(calendars.map(formatCalendar), ['*-*-* 00:00:00'])
  assert.deepEqual(rest, {
    name: 'backup.timer',
    description: 'backup.timer',
    documentation: [],
    unit: 'backup.service',
    spans: [],
    persistent: false,
    randomizedDelayMs: 0,
    fixedRandomDelay: false,
    accuracyMs: 60_000,
    remainAfterElapse: true,
    onMissed: 'skip',
    overlap: 'queue',
  })
})

test('loadTimer() reads a whole timer', () => {
  const { calendars, ...rest } = load(`[Unit]
Description=Backups
Documentation=man:backup(8) https://example.org

[Timer]
OnCalendar=Mon..Fri 02:30 Europe/Paris
OnCalendar=Sat 4:00
OnCalendar=Sat *-*-* 04:00:00
OnBootSec=15min
OnActiveSec=1h
OnStartupSec=2h
OnUnitActiveSec=1d
OnUnitInactiveSec=1w
Unit=other.service
Persistent=true
RandomizedDelaySec=10min
FixedRandomDelay=yes
AccuracySec=1us
RemainAfterElapse=no
WakeSystem=no

[Install]
WantedBy=timers.target

[X-Holon]
OnMissed=run-all
Overlap=allow
`)
  assert.deepEqual(calendars.map(formatCalendar), [
    'Mon..Fri *-*-* 02:30:00 Europe/Paris',
    'Sat *-*-* 04:00:00',
  ])
  assert.deepEqual(rest, {
    name: 'backup.timer',
    description: 'Backups',
    documentation: ['man:backup(8)', 'https://example.org'],
    unit: 'other.service',
    spans: [
      { base: 'timer', spanMs: 900_000 },
      { base: 'timer', spanMs: 3_600_000 },
      { base: 'timer', spanMs: 7_200_000 },
      { base: 'unit-active', spanMs: 86_400_000 },
      { base: 'unit-inactive', spanMs: 604_800_000 },
    ],
    persistent: true,
    randomizedDelayMs: 600_000,
    fixedRandomDelay: true,
    accuracyMs: 1,
    remainAfterElapse: false,
    onMissed: 'run-all',
    overlap: 'allow',
  })
})

test('loadTimer() makes up for missed elapses once with Persistent=', () => {
  assert.equal(load('[Timer]\nOnCalendar=daily\nPersistent=yes\n').onMissed, 'run-once')
})

test('loadTimer() takes DeferReactivation= for Overlap=skip', () => {
  const lines = '[Timer]\nOnCalendar=daily\nDeferReactivation=yes\n'
  assert.equal(load(lines).overlap, 'skip')
  assert.match(refusals(`${lines}[X-Holon]\nOverlap=queue\n`), /:5: Overlap=: queue contradicts/)
  assert.match(refusals(`${lines}[X-Holon]\nOnMissed=run-all\n`), /:5: OnMissed=: with Defer/)
})

test('loadTimer() resets all triggers with an empty one of any kind', () => {
  const { calendars, spans } = load(
    '[Timer]\nOnCalendar=daily\nOnBootSec=1\nOnActiveSec=\nOnUnitActiveSec=5\n',
  )
  assert.deepEqual([calendars, spans], [[], [{ base: 'unit-active', spanMs: 5000 }]])
})

test('loadTimer() refuses what it cannot do, with file and line', () => {
  const wrong: readonly (readonly [lines: string, message: RegExp])[] = [
    ['Persistent=yes', /:1: OnCalendar=: the timer needs one/],
    ['OnCalendar=dayly', /:2: OnCalendar=: "dayly": expected weekdays/],
    ['OnCalendar=daily\nAccuracySec=', /:3: AccuracySec=: the value is empty/],
    ['OnUnitActiveSec=0', /:2: OnUnitActiveSec=: 0 would start the unit again and again/],
    ['OnBootSec=infinity', /:2: OnBootSec=: infinity makes no sense/],
    ['OnCalender=daily', /:2: OnCalender=: .*did you mean OnCalendar=/],
    ['OnCalendar=daily\nUnit=other.timer', /:3: Unit=: "other.timer" is a timer unit/],
    ['OnCalendar=daily\nWakeSystem=yes', /:3: WakeSystem=: waking machines/],
    ['OnCalendar=daily\nOnClockChange=on', /:3: OnClockChange=: a fleet has no clock/],
    ['OnCalendar=daily\nOnClockChange=perhaps', /:3: OnClockChange=: .*neither yes nor no/],
    ['OnCalendar=daily\nRandomizedOffsetSec=1', /:3: RandomizedOffsetSec=: use Randomized/],
    ['OnCalendar=daily\n[Service]\nExecStart=/bin/x', /\[Service\] belongs into .service files/],
    ['OnCalendar=daily\n[X-Holon]\nOverlap=no', /:4: Overlap=: "no" is not one of queue, skip/],
    ['OnCalendar=daily\n[X-Holon]\nInstances=2', /:4: Instances=: .* belongs into .service files/],
    ['OnCalendar=daily\n[Unit]\nStartLimitBurst=2', /put it into the service/],
    ['OnCalendar=daily\n[X-Holon]\nOnMissed=run-all\nOverlap=skip', /:4: OnMissed=: with Overlap/],
  ]
  for (const [lines, message] of wrong) assert.match(refusals(`[Timer]\n${lines}\n`), message)
  assert.match(refusals('[Unit]\nDescription=x\n'), /there is no \[Timer\] section/)
  assert.match(refusals('[Timer]\nOnCalendar=daily\n', 'x.service'), /does not end in ".timer"/)
})

test('loadTimer() has a handler for every honoured directive of [Timer] and [X-Holon]', () => {
  for (const { section, name, status } of directives) {
    if (status !== 'honoured') continue
    const { lines } = judgeTimer({ name: 'x.timer', text: `[${section}]\n${name}=%Y\n` })
    assert.doesNotMatch(lines[0]?.verdict.message ?? '', /no handler/, name)
  }
})

test('loadTimer() takes any file without throwing', () => {
  const names = directives.map(({ name }) => name)
  const value = fc.oneof(fc.string(), fc.constantFrom('', 'yes', '1', '5min', 'daily', 'x.service'))
  const line = fc.tuple(
    fc.constantFrom('[Timer]\n', '[Unit]\n', '[X-Holon]\n', ''),
    fc.constantFrom(...names),
    value,
  )
  fc.assert(
    fc.property(fc.array(line), (lines) => {
      loadTimer({
        name: 'x.timer',
        text: lines.map(([header, name, text]) => `${header}${name}=${text}\n`).join(''),
      })
    }),
  )
})
