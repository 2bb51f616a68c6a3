/**
 * The ready-made column lists: procps' own for each format option, with MACHINE first and UNIT
 * before the command. Left out is what Holon does not read: F, ADDR, WCHAN and PSR.
 */
import { assert } from '../../../base/assert.ts'
import { type Column, findColumn } from './columns.ts'

export interface Layout {
  full?: boolean
  extraFull?: boolean
  long?: boolean
  jobs?: boolean
  bsdUser?: boolean
  bsdLong?: boolean
  bsdJobs?: boolean
  wide?: boolean
  /** BSD c: the short name instead of the command line. */
  shortCommand?: boolean
}

/** The columns for the format options given together; `extra` is -O's list, after the pid. */
export function layoutColumns(
  layout: Layout,
  bsd: boolean,
  extra: readonly Column[] | undefined,
): Column[] {
  const columns =
    extra === undefined
      ? columnsOf(listFor(layout, bsd))
      : [...columnsOf('pid'), ...extra, ...columnsOf('s tname time args')]
  const command = columns.pop()
  assert(command !== undefined, 'a layout ends with its command')
  const last = layout.shortCommand ? { ...column('comm'), header: command.header } : command
  return [column('machine'), ...columns, column('unit'), last]
}

function listFor(layout: Layout, bsd: boolean): string {
  if (layout.wide) {
    return 'pid ppid pgid sid user group stat ni nlwp pcpu pmem vsz rss tname stime time args'
  }
  if (layout.bsdUser) return 'user pid pcpu pmem vsz rss tname stat bsdstart bsdtime args'
  if (layout.bsdLong) return 'uid pid ppid pri ni vsz rss stat tname bsdtime args'
  if (layout.bsdJobs) return 'ppid pid pgid sid tname tpgid stat uid bsdtime args'
  const full = layout.full || layout.extraFull
  if (layout.long) {
    return full
      ? 's user=UID pid ppid c opri ni rss sz stime tname time cmd'
      : 's uid pid ppid c opri ni rss sz tname time ucmd'
  }
  if (layout.jobs) {
    return full
      ? 'user=UID pid ppid pgid sid c stime tname time cmd'
      : 'pid pgid sid tname time ucmd'
  }
  if (layout.extraFull) return 'user=UID pid ppid c sz rss stime tname time cmd'
  if (full) return 'user=UID pid ppid c stime tname time cmd'
  return bsd ? 'pid tname stat bsdtime args' : 'pid tname time ucmd'
}

function columnsOf(list: string): Column[] {
  return list.split(' ').map((each) => {
    const [name = '', header] = each.split('=')
    return header === undefined ? column(name) : { ...column(name), header }
  })
}

function column(name: string): Column {
  const found = findColumn(name)
  assert(found !== undefined, `the layout's column ${JSON.stringify(name)} exists`)
  return found
}
