/** A timer in words and in systemctl's properties, wherever it is kept. Pure. */
import type { TimerPart, UnitStatus } from '../kernel/types.ts'

/** systemd's sub states of a timer. */
export function timerSub(wanted: boolean, { nextMs }: TimerPart, decision: string): string {
  if (!wanted) return 'dead'
  if (decision === 'wait-for-unit') return 'running'
  return nextMs === undefined ? 'elapsed' : 'waiting'
}

/** What comes next, and why not now: a sentence each. */
export function timerNext({ name, timer }: UnitStatus): readonly string[] {
  if (timer === undefined) return []
  const { unit, nextMs, waits } = timer
  const when = nextMs === undefined ? undefined : new Date(nextMs).toISOString()
  const next = when === undefined ? [] : [`${name} starts ${unit} at ${when}`]
  return [...next, `${name}: ${waits}`]
}

export function timerProperties(status: UnitStatus): Readonly<Record<string, string>> {
  const { name, description, active, sub, enabled, sourcePath = '', timer } = status
  return {
    Id: name,
    Names: name,
    Description: description,
    LoadState: status.load,
    ActiveState: active,
    SubState: sub,
    UnitFileState: enabled ? 'enabled' : 'disabled',
    FragmentPath: sourcePath,
    Unit: timer?.unit ?? '',
    NextElapseUSecRealtime: timestamp(timer?.nextMs),
    LastTriggerUSec: timestamp(timer?.lastMs),
  }
}

function timestamp(wallMs: number | undefined): string {
  return wallMs === undefined ? '' : `@${Math.floor(wallMs / 1000)}`
}
