/** Placeholder until the reader is in: nothing is read. */
import type { Clock } from '../base/clock.ts'
import type { CallOptions, LogPage, LogQuery, LogUsage } from '../kernel/types.ts'

export interface LogSource {
  readonly instance: string
  readonly dir: string
}

export class Logs {
  constructor(_deps: { readonly clock: Clock }, _options: { machine: string; dir: string }) {}

  async read(_s: readonly LogSource[], _q: LogQuery, _o: CallOptions): Promise<LogPage> {
    return { entries: [], cursor: '', atEnd: true }
  }

  usage(): LogUsage {
    return { bytes: 0, files: 0 }
  }
}
