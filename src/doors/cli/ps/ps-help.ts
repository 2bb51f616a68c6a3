/** What `holon ps --help` says. */
import type { RawCommandOptions } from './raw-command.ts'

export const psHelp: RawCommandOptions = {
  name: 'ps',
  description: 'Lists processes of all machines.',
  usage: '[OPTION…] [PID…]',
  help: `Which (each adds; default: your own on this terminal):
  -A, -e, ax             all
  -a, -d                 all but session leaders (-a: only with a terminal)
  a, x                   everybody's; also those without a terminal
  -p, --pid PID,…        processes, like 42 or n1:42        --ppid PID,…  their children
  -u, -U, --user USER,…  by effective user                  -C NAME,…     by short name
  -G, --group GROUP,…    by effective group                 -s, -g SID,…  by session
  -t, --tty TTY,…        by terminal                        r             only what runs
  -N, --deselect         all others
  -m, --machine MACHINES only these: n2, n1,n3, n[01-16], or a zone, eu/*

How:
  -f, -F, -l, -j, u, l, j  ready-made columns, as in ps(1)
  -o COLUMN[=HEADER],…   exactly these columns; -O adds some
  -o wide|json|jsonl     everything, for people or programs; --json
  --sort, k [+-]COLUMN,… order; - is descending
  -H, f, --forest        children below their parents
  c, n                   short names; numbers instead of user names
  -h, h, --no-headers    rows only
  -w, -ww, --width N     132 cells; no bound; N cells
  --wait TIME            how long machines have to answer; 2s

Columns: machine unit id pid ppid pgid sid tpgid user uid group gid comm ucmd args cmd tty
  time cputimes etime etimes start lstart stime pcpu pmem c cp vsz rss sz s stat ni pri nlwp

Exit status: 0; 1 nothing selected; 2 usage; 4 a machine did not answer (what there is, is shown).`,
}
