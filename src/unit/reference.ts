/** The reference page docs/units.md, written from the directive table. */
import { type Directive, directives, isList, type SectionName } from './directives.ts'

const sections: readonly (readonly [section: SectionName, intro: string])[] = [
  ['Unit', 'What the unit is, and how it stands to others.'],
  ['Service', 'How the program is run.'],
  ['Timer', 'In `.timer` files: when a service is started; see [timers.md](timers.md).'],
  ['Install', 'What `enable` means.'],
  ['X-Holon', 'What Holon adds; `[X-Fleet]` is another name for it. systemd passes over it.'],
]

const intro = `# Unit files

Written by \`scripts/generate-unit-reference.ts\` from the table in \`src/unit/table\`; change it
there.

A unit is an unmodified systemd \`.service\` or \`.timer\` file, perhaps with a section
\`[X-Holon]\`. Every directive is one of three:

- **honoured**: it does what systemd documents.
- **harmless**: it is accepted, and nothing here depends on it. \`holon verify FILE\` lists such
  lines with the reason.
- **refused**: the file is not loaded. The answer names file, line, reason and, for a slip of the
  pen, the nearest spelling.

Dependencies on other services (After=, Requires= and the like) hold between units of the fleet,
see [fleet-units.md](fleet-units.md). A unit of one machine is refused for them.

Nothing is dropped silently. Names and sections that begin with \`X-\` are left to other programs.
Where systemd warns and goes on (a line without \`=\`, an unknown name, a value it cannot read),
Holon refuses the file.

## Syntax

Comments begin with \`#\` or \`;\` at the start of a line. A backslash at the end of a line joins
the next one; comment lines in between fall out. A directive marked *list* adds up over several
lines, and an empty value resets it, but not what was said of other units; of all others the last
one counts.

Command lines follow systemd.service(5): quotes \`"\` and \`'\`, C escapes, \`;\` as a word of its
own between commands, and before the program any of \`-\` (failure is success), \`@\` (the next
word is its argv[0]), \`:\` (no variables), \`+\` and \`!\` (not as User=), \`!!\` (no effect on
present kernels). \`$NAME\` as a word of its own becomes zero or more arguments, \`\${NAME}\`
within a word becomes the value, \`$$\` is \`$\`. The environment is settled when Holon starts an
instance; a restart by the keeper uses it again. What only the keeper knows
(\`$MAINPID\`, \`$EXIT_STATUS\`, \`$NOTIFY_SOCKET\` and the like) is in the environment of the
commands that systemd gives it to, and is refused in command lines for now.

Beside Environment= and EnvironmentFile= a process gets PATH, LANG, INVOCATION_ID, HOLON_UNIT,
HOLON_INSTANCE (its number from 1), HOLON_MACHINE, HOLON_JOB, in the fleet HOLON_FENCE (a number
that grows with every assignment of the instance), with credentials CREDENTIALS_DIRECTORY (see
[secrets.md](secrets.md)), and with User= also HOME, USER, LOGNAME and SHELL.

Specifiers: \`%a %A %b %B %C %d %E %f %g %G %h %H %i %I %j %J %l %L %m %M %n %N %o %p %P %s %S %t %T
%u %U %v %V %w %W %%\`, see systemd.unit(5). \`%i\` belongs to templates and is empty; the number
of an instance is \`$HOLON_INSTANCE\`.

Conditions and assertions are looked at whenever Holon starts an instance, but not at restarts by
the keeper. Where one is not met, a machine is no place for the unit; a start asked for there is
skipped or fails. They follow systemd.unit(5): \`|\` before the value, then \`!\`, both optional.
The kind of virtualization is told by the marks that it leaves in files.

Time spans are seconds, or have units: \`90\`, \`500ms\`, \`1min 30s\`, \`2h\`, \`infinity\`.
`

/** The whole page. */
export function unitReference(): string {
  return [intro, ...sections.map(([section, about]) => sectionText(section, about))].join('\n')
}

function sectionText(section: SectionName, about: string): string {
  const rows = directives.filter((row) => row.section === section)
  const parts = [`## [${section}]\n\n${about}\n`]
  const add = (title: string, header: string, some: readonly Directive[], last: boolean) => {
    if (some.length === 0) return
    const lines = some.map((row) => rowText(row, last))
    parts.push(`### ${title}\n\n${header}\n${lines.join('\n')}\n`)
  }
  const plain = '| directive | value | meaning |\n|---|---|---|'
  const reasoned = (why: string) => `| directive | value | meaning | ${why} |\n|---|---|---|---|`
  const of = (status: Directive['status']) => rows.filter((row) => row.status === status)
  add('Honoured', plain, of('honoured'), false)
  add('Harmless', reasoned('why it changes nothing'), of('harmless'), true)
  add('Refused', reasoned('why'), of('refused'), true)
  return parts.join('\n')
}

function rowText(row: Directive, withReason: boolean): string {
  const kind = isList(row.kind) ? `${row.kind}, list` : row.kind
  const limited = row.refusal === undefined ? '' : '; other values are refused'
  const reason = withReason ? ` ${row.reason}${limited} |` : ''
  return `| \`${row.name}=\` | ${kind} | ${row.meaning} |${reason}`.replace(/\s+$/, '')
}
