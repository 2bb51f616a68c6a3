/**
 * systemd's own opinion of unit files: `systemd-analyze verify` prints, at debug level, every unit
 * as systemd understood it. It needs no running systemd. Only tests use this.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface OracleUnit {
  /** argv of each command, by directive ("ExecStart"). */
  readonly commands: ReadonlyMap<string, readonly (readonly string[])[]>
  /** "A=1", in order. */
  readonly environment: readonly string[]
  /** Other lines of the dump, by their name ("KillSignal"). */
  readonly facts: ReadonlyMap<string, string>
  /** What systemd complained about: line number and message. */
  readonly complaints: readonly { readonly line: number; readonly message: string }[]
}

/** Why there is no oracle here, or undefined when there is one. */
export function oracleAbsence(): string | undefined {
  const version = spawnSync('systemd-analyze', ['--version'], { encoding: 'utf8' })
  if (version.status !== 0) return 'systemd-analyze is not installed'
  const probe = askSystemd([{ name: 'probe.service', text: '[Service]\nExecStart=/bin/true\n' }])
  return probe.get('probe.service')?.commands.has('ExecStart')
    ? undefined
    : 'this systemd-analyze does not print units'
}

export function askSystemd(
  files: readonly { readonly name: string; readonly text: string | Uint8Array }[],
): ReadonlyMap<string, OracleUnit> {
  const dir = mkdtempSync(join(tmpdir(), 'holon-oracle-'))
  try {
    for (const { name, text } of files) writeFileSync(join(dir, name), text)
    const result = spawnSync(
      'systemd-analyze',
      [
        'verify',
        '--man=no',
        '--generators=no',
        '--recursive-errors=no',
        ...files.map(({ name }) => join(dir, name)),
      ],
      {
        encoding: 'utf8',
        env: { PATH: process.env['PATH'], SYSTEMD_LOG_LEVEL: 'debug', LC_ALL: 'C.UTF-8' },
        maxBuffer: 256 * 1024 * 1024,
      },
    )
    return readDump(result.stdout, result.stderr, dir)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

function readDump(stdout: string, stderr: string, dir: string): ReadonlyMap<string, OracleUnit> {
  const complaintsOf = new Map<string, { line: number; message: string }[]>()
  for (const text of stderr.split('\n')) {
    if (!text.startsWith(`${dir}/`)) continue
    const match = /^([^:]+):([0-9]+): (.*)$/.exec(text.slice(dir.length + 1))
    if (match === null) continue
    const [, name = '', line = '', message = ''] = match
    const list = complaintsOf.get(name) ?? []
    list.push({ line: Number(line), message })
    complaintsOf.set(name, list)
  }
  const units = new Map<string, OracleUnit>()
  for (const chunk of stdout.split(/^\t-> Unit /m).slice(1)) {
    const name = chunk.slice(0, chunk.indexOf(':\n'))
    units.set(name, readUnit(chunk, complaintsOf.get(name) ?? []))
  }
  return units
}

function readUnit(chunk: string, complaints: OracleUnit['complaints']): OracleUnit {
  const commands = new Map<string, (readonly string[])[]>()
  const environment: string[] = []
  const facts = new Map<string, string>()
  let directive = ''
  for (const text of chunk.split('\n')) {
    const heading = /^\t\t-> (\w+):$/.exec(text)
    const fact = /^\t+([\w ]+): (.*)$/.exec(text)
    if (heading !== null) directive = heading[1] ?? ''
    else if (fact?.[1] === 'Command Line') {
      commands.set(directive, [...(commands.get(directive) ?? []), readWords(fact[2] ?? '')])
    } else if (fact?.[1] === 'Environment') environment.push(fact[2] ?? '')
    else if (fact !== null) facts.set(fact[1] ?? '', fact[2] ?? '')
  }
  return { commands, environment, facts, complaints }
}

// The dump quotes like a shell, with C escapes for control characters.
function readWords(text: string): readonly string[] {
  const words: string[] = []
  for (const match of text.matchAll(/"((?:\\.|[^"\\])*)"|([^ ]+)/g)) {
    const quoted = match[1]
    words.push(quoted === undefined ? (match[2] ?? '') : unquote(quoted))
  }
  return words
}

const controls: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
}

function unquote(text: string): string {
  return text.replace(/\\(?:([0-7]{3})|(.))/g, (_, octal?: string, character?: string) => {
    if (octal !== undefined) return String.fromCharCode(Number.parseInt(octal, 8))
    return controls[character ?? ''] ?? character ?? ''
  })
}
