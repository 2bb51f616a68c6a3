/** [Timer], see systemd.timer(5), and what [X-Holon] adds in .timer files. */
import { parseBoolean } from '../values.ts'
import { type Directive, harmless, honoured, refused } from './row.ts'

const sinceStart = 'Elapses so long after the timer was started'

// What says no to something we do not have is harmless.
function onlyNo(reason: string): (value: string) => string | undefined {
  return (value) => {
    const parsed = parseBoolean(value)
    return parsed.kind === 'ok' && parsed.value ? reason : undefined
  }
}

export const timerSection: readonly Directive[] = [
  ...honoured('Timer', [
    [
      'OnCalendar',
      'calendars',
      'When it elapses, as systemd.time(7) has it: `Mon..Fri 02:30 Europe/Paris`, `hourly`.',
    ],
    ['OnActiveSec', 'time spans', `${sinceStart}.`],
    ['OnBootSec', 'time spans', `${sinceStart}: a fleet has no other moment of boot.`],
    ['OnStartupSec', 'time spans', `${sinceStart}, likewise.`],
    [
      'OnUnitActiveSec',
      'time spans',
      'Elapses so long after its unit was last started, or the timer last elapsed.',
    ],
    [
      'OnUnitInactiveSec',
      'time spans',
      'Elapses so long after its unit last ended, or the timer last elapsed.',
    ],
    ['Unit', 'text', 'The service that is started; the one of the same name if not given.'],
    [
      'Persistent',
      'boolean',
      'Elapses of OnCalendar= count, too, that came while the timer was stopped.',
    ],
    [
      'RandomizedDelaySec',
      'time span',
      'Elapses up to so much later: by a different delay each time, the same on every machine.',
    ],
    ['FixedRandomDelay', 'boolean', 'The delay of RandomizedDelaySec= is the same each time.'],
    [
      'AccuracySec',
      'time span',
      'How late it may be and not count as missed: 1 min if not given, at least 30 s.',
    ],
    [
      'DeferReactivation',
      'boolean',
      'Elapses do not count that came while the unit ran; the same as Overlap=skip.',
    ],
    [
      'RemainAfterElapse',
      'boolean',
      'Whether a timer that cannot elapse again stays started; yes if not given.',
    ],
  ]),
  ...harmless(
    'Timer',
    'it is off, as it is without the line',
    [
      ['OnClockChange', 'boolean', "Elapses when the machine's clock is set."],
      ['OnTimezoneChange', 'boolean', "Elapses when the machine's time zone is changed."],
    ],
    onlyNo('a fleet has no clock or time zone of its own that could change'),
  ),
  ...harmless(
    'Timer',
    'it is off, as it is without the line',
    [['WakeSystem', 'boolean', 'Wakes a machine that sleeps.']],
    onlyNo('waking machines that sleep is not supported'),
  ),
  ...refused('Timer', 'use RandomizedDelaySec= with FixedRandomDelay=yes', [
    ['RandomizedOffsetSec', 'time span', 'Elapses later by a delay that is the same each time.'],
  ]),
]

export const timerHolonSection: readonly Directive[] = honoured('X-Holon', [
  [
    'OnMissed',
    'choice',
    'In .timer files: whether missed elapses of OnCalendar= are made up for: `skip`, `run-once` ' +
      '(the default with Persistent=yes), `run-all`.',
  ],
  [
    'Overlap',
    'choice',
    'In .timer files: whether a unit that still runs is started again: at its end (`queue`, as ' +
      'systemd does), not (`skip`), a further one at once (`allow`).',
  ],
])
