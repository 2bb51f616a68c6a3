/** A keeper's event as a decision that a person can read. Pure. */
import { signalName } from '../../base/signals.ts'
import type { JobEvent } from '../keeper/records.ts'

export interface Told {
  readonly what: string
  readonly why: string
}

/** Undefined for events that only repeat what others tell. */
export function narrate(event: JobEvent): Told | undefined {
  const { fields } = event
  const field = (name: string) => fields[name] ?? ''
  switch (event.kind) {
    case 'start':
      return {
        what: `${field('phase')} process ${field('pid')}`,
        why: fields['reason'] ? `${field('path')} (${field('reason')})` : field('path'),
      }
    case 'exit':
      return { what: `process ${field('pid')} ended`, why: exitText(fields) }
    case 'exec-failed':
      return { what: `${field('path')} cannot be executed`, why: field('text') || field('errno') }
    case 'restart':
      return { what: `restart in ${field('in-ms')} ms`, why: field('why') }
    case 'limit':
      return { what: 'no more restarts', why: 'it was started too often (StartLimitBurst=)' }
    case 'stop':
      return { what: 'stop', why: stopReasons[field('by')] ?? field('by') }
    case 'kill':
      return {
        what: `signal ${signalName(Number(field('signal'))) ?? field('signal')}`,
        why: `to ${field('to') === 'all' ? 'all its processes' : 'its main process'}`,
      }
    case 'main':
      return { what: `main process is ${field('pid')}`, why: 'it says so (MAINPID=)' }
    case 'notify-ignored':
      return { what: `message of process ${field('pid')} ignored`, why: field('why') }
    case 'lease-over':
      return { what: 'killed', why: "this machine's lease is over" }
    case 'end':
      return { what: field('phase'), why: `result ${field('result')}` }
    default:
      return undefined
  }
}

const stopReasons: Readonly<Record<string, string>> = {
  agent: 'asked for',
  'client-gone': 'its client is gone',
  'timeout-start': 'it did not start in time (TimeoutStartSec=)',
  'runtime-max': 'its time is up (RuntimeMaxSec=)',
  'main-exit': 'its main process ended',
  notify: 'it says that it stops (STOPPING=1)',
  watchdog: 'it did not say in time that it is alive (WatchdogSec=)',
  lease: "this machine's lease is about to end",
}

function exitText(fields: Readonly<Record<string, string>>): string {
  if (fields['oom'] === '1') return 'killed because memory ran out'
  const signal = fields['signal']
  if (signal === undefined) return `status ${fields['code'] ?? '?'}`
  const core = fields['core'] === '1' ? ', core dumped' : ''
  return `${signalName(Number(signal)) ?? `signal ${signal}`}${core}`
}
