/** Placeholder. */
import type { LogEntry } from '../../kernel/types.ts'

export function formatEntry(entry: LogEntry, _format: string): string {
  return entry.text
}
