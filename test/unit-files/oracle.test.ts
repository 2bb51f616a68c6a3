// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables of unit files, not of ours
/**
 * Our reading of unit files against systemd's own, on published files and on generated ones. Where
 * systemd warns and drops a line, we refuse it; what both accept has to be the same to the letter.
 */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'
import { signalName } from '../../src/base/signals.ts'
import { parseCommandLines } from '../../src/unit/command-line.ts'
import { parseAssignments } from '../../src/unit/environment.ts'
import { parseUnitFile } from '../../src/unit/parse.ts'
import {
  checkSpecifiers,
  expandSpecifiers,
  type SpecifierContext,
} from '../../src/unit/specifiers.ts'
import { formatTimeSpan, parseTimeSpanMs } from '../../src/unit/time-span.ts'
import { loadUnit } from '../../src/unit/unit.ts'
import { askSystemd, type OracleUnit, oracleAbsence } from './systemd-oracle.ts'

const absence = oracleAbsence()
const skip = absence ?? false
const unitsDir = new URL('../../../shared/units/', import.meta.url)
const unitsSkip =
  absence ?? (existsSync(unitsDir) ? false : 'the published units are not beside this repository')

test('every published service has the commands that systemd sees', { skip: unitsSkip }, () => {
  const files = readdirSync(unitsDir)
    .filter((name) => name.endsWith('.service') && !name.includes('@'))
    .map((name) => ({ name, text: readFileSync(new URL(name, unitsDir)) }))
  const answers = askSystemd(files)
  let compared = 0
  for (const { name, text } of files) {
    const answer = answers.get(name)
    // systemd prints nothing about files that it cannot load at all.
    if (answer === undefined) continue
    const parsed = parseUnitFile({ file: name, text })
    const refusedLines = new Set(answer.complaints.map(({ line }) => line))
    const ours = new Map<string, (readonly string[])[]>()
    let comparable = true
    for (const line of parsed.directives.filter((one) => one.name.startsWith('Exec'))) {
      const commands = line.value === '' ? undefined : parseCommandLines(line.value)
      if (commands === undefined) ours.delete(line.name)
      else if (commands.kind === 'commands' && !checkSpecifiers(line.value)) {
        const argvs = commands.commands.map(({ argv }) => argv.map((word) => expand(word, name)))
        ours.set(line.name, [...(ours.get(line.name) ?? []), ...argvs])
      } else {
        assert.ok(refusedLines.has(line.line), `${name}:${line.line} is refused only by us`)
        comparable = false
      }
    }
    if (!comparable) continue
    assert.deepEqual(new Map([...ours].sort()), new Map([...answer.commands].sort()), name)
    compared++
  }
  assert.ok(compared > 150, `only ${compared} files were compared`)
})

test('every service that loads has the settings that systemd sees', { skip: unitsSkip }, () => {
  const files = readdirSync(unitsDir)
    .filter((name) => name.endsWith('.service') && !name.includes('@'))
    .map((name) => ({ name, text: readFileSync(new URL(name, unitsDir)) }))
  const own = [
    'RestartSec=1min 30s\nTimeoutSec=5\nKillMode=mixed\nKillSignal=INT\nUMask=027\nRestart=always',
    'TimeoutStartSec=0\nTimeoutStopSec=infinity\nRuntimeMaxSec=1h',
    'KillSignal=RTMIN+4\nSendSIGKILL=no',
    'WorkingDirectory=/srv/%N\nEnvironment=A=%n "B=x y"\nEnvironment=\nEnvironment="C=1" C=2 D=%%',
    'Type=exec\nRestart=on-abort\nRemainAfterExit=true\nWorkingDirectory=-/tmp',
  ].map((lines, index) => ({
    name: `own${index}.service`,
    text: Buffer.from(`[Unit]\nDescription=own\n[Service]\nExecStart=/bin/true\n${lines}\n`),
  }))
  const all = [...files, ...own]
  const answers = askSystemd(all)
  let compared = 0
  for (const { name, text } of all) {
    const loaded = loadUnit({ name, text })
    const facts = answers.get(name)?.facts
    if (loaded.kind === 'refused' || facts === undefined) continue
    compared++
    const { unit } = loaded
    const same = (fact: string, value: string) =>
      assert.equal(facts.get(fact), value, `${name} ${fact}`)
    same('Type', unit.type)
    same('Restart', unit.restart)
    same('KillMode', unit.killMode)
    same('KillSignal', signalName(unit.killSignal) ?? '')
    same('SendSIGKILL', unit.sendSigkill ? 'yes' : 'no')
    same('RemainAfterExit', unit.remainAfterExit ? 'yes' : 'no')
    same('UMask', unit.umask.toString(8).padStart(4, '0'))
    const directory = unit.workingDirectory
    const path = expand(directory?.path ?? '/', name)
    same('WorkingDirectory', path)
    if (unit.restart !== 'no') sameSpan(facts, 'RestartSec', unit.restartMs, name)
    sameSpan(facts, 'TimeoutStartSec', unit.timeoutStartMs || Number.POSITIVE_INFINITY, name)
    sameSpan(facts, 'TimeoutStopSec', unit.timeoutStopMs || Number.POSITIVE_INFINITY, name)
    if (unit.type !== 'oneshot') {
      sameSpan(facts, 'RuntimeMaxSec', unit.runtimeMaxMs || Number.POSITIVE_INFINITY, name)
    }
    const env = new Map(unit.environment.map((one) => [one.name, expand(one.value, name)]))
    assert.deepEqual([...env].map((pair) => pair.join('=')).sort(), sorted(answers.get(name)))
  }
  assert.ok(compared > 40, `only ${compared} files were compared`)
})

test('parseCommandLines() splits generated lines as systemd does', { skip }, () => {
  const token = fc.constantFrom(
    ...[
      'a',
      'bc',
      '"',
      "'",
      '\\',
      '\\n',
      '\\x41',
      '\\x',
      '\\101',
      '\\s',
      '\\;',
      ';',
      ' ',
      '  ',
      '\t',
    ],
    ...['$A', '${B}', '$$', '%%', '%n', '-', '@', ':', '+', '!', '/bin//x/./y', 'é', '\\u00e9'],
    ...['\\xc3\\xa9', '\\.', '#', '=', ' ; ', ' \\; ', ' "x y" ', " 'q' ", '\\\\', '/bin/echo '],
  )
  const start = fc.constantFrom(
    '/bin/echo ',
    '-/bin/echo ',
    '@/bin/echo e ',
    '+:echo ',
    '!!/bin/a ',
    '',
  )
  const line = fc
    .tuple(start, fc.array(token, { maxLength: 12 }))
    .map(([a, rest]) => a + rest.join(''))
  const values = fc.sample(line, { numRuns: 1500, seed: 1 })
  const files = values.map((value, index) => ({
    name: `line${index}.service`,
    text: `[Service]\nType=oneshot\nExecStart=/bin/true\nExecStart=${value}\n`,
  }))
  let compared = 0
  const answers = askSystemd(files)
  for (const { name, text } of files) {
    const answer = answers.get(name)
    if (answer === undefined) continue
    const directives = parseUnitFile({ file: name, text }).directives
    const parsed = parseCommandLines(directives.at(-1)?.value ?? '')
    const context = `${JSON.stringify(text)}\n${JSON.stringify(answer.complaints)}`
    const complaint = answer.complaints.find(({ message }) => !message.includes('unknown escape'))
    if (parsed.kind === 'bad') continue
    assert.equal(complaint, undefined, `systemd refuses what we accept: ${context}`)
    if (directives.at(-1)?.value === '') continue
    const ours = [
      ['/bin/true'],
      ...parsed.commands.map(({ argv }) => argv.map((w) => expand(w, name))),
    ]
    assert.deepEqual(ours, answer.commands.get('ExecStart'), context)
    compared++
  }
  assert.ok(
    compared > values.length / 4,
    `only ${compared} of ${values.length} lines were accepted`,
  )
})

test('parseAssignments() reads generated values as systemd does', { skip }, () => {
  const token = fc.constantFrom(
    ...[
      'A',
      'B_1',
      '=',
      '=',
      ' ',
      '  ',
      '"',
      "'",
      '\\',
      '\\x41',
      '\\s',
      '\\t',
      '1',
      'é',
      '$X',
      'a b',
    ],
    ...['A=1', '"C=x y"', " 'D=q' ", '%%', ';', '#', '\\.', '\\\\', '-'],
  )
  const values = fc.sample(
    fc.array(token, { maxLength: 8 }).map((t) => t.join('')),
    {
      numRuns: 1000,
      seed: 2,
    },
  )
  const files = values.map((value, index) => ({
    name: `env${index}.service`,
    text: `[Service]\nExecStart=/bin/true\nEnvironment=${value}\n`,
  }))
  const answers = askSystemd(files)
  let compared = 0
  for (const { name, text } of files) {
    const answer = answers.get(name)
    const value = parseUnitFile({ file: name, text }).directives.at(-1)?.value
    if (answer === undefined || value === undefined) continue
    const parsed = parseAssignments(value)
    const context = `${JSON.stringify(text)}\n${JSON.stringify(answer.complaints)}`
    if (parsed.kind === 'bad') {
      assert.ok(answer.complaints.length > 0, `we refuse what systemd accepts: ${context}`)
      continue
    }
    assert.deepEqual(answer.complaints, [], `systemd refuses what we accept: ${context}`)
    const env = new Map(parsed.assignments.map(([key, text]) => [key, expand(text, name)]))
    // A tab in a value would be indistinguishable from the dump's own.
    assert.deepEqual([...env].map((pair) => pair.join('=')).sort(), sorted(answer), context)
    compared++
  }
  assert.ok(compared > 150, `only ${compared} of ${values.length} values were accepted`)
})

test('parseUnitFile() joins and drops lines as systemd does', { skip }, () => {
  const line = fc.constantFrom(
    ...[
      'ExecStart=/bin/a x \\',
      'ExecStart=/bin/b',
      'ExecStart = /bin/c d ',
      '# comment',
      ' ; note \\',
    ],
    ...[
      '',
      '  ',
      'y z',
      '  w \\',
      '\\',
      '\\\\',
      'ExecStart=',
      'ExecStart=/bin/d \\\\',
      '[Service]',
    ],
    ...['Environment=A=1', '\t# x', 'v=w'],
  )
  const text = fc
    .tuple(fc.array(line, { maxLength: 10 }), fc.constantFrom('\n', '\r\n'), fc.boolean())
    .map(
      ([lines, end, last]) => ['[Service]', 'Type=oneshot', ...lines].join(end) + (last ? end : ''),
    )
  const files = fc
    .sample(text, { numRuns: 1500, seed: 3 })
    .map((content, index) => ({ name: `file${index}.service`, text: content }))
  const answers = askSystemd(files)
  let compared = 0
  for (const { name, text } of files) {
    const answer = answers.get(name)
    const parsed = parseUnitFile({ file: name, text })
    if (answer === undefined) continue
    const context = `${JSON.stringify(text)}\n${JSON.stringify(answer.complaints)}`
    const commands: (readonly string[])[] = []
    let sound = parsed.problems.length === 0
    for (const { name, value } of parsed.directives) {
      if (name !== 'ExecStart') sound &&= name === 'Type' || name === 'Environment'
      else if (value === '') commands.length = 0
      else {
        const lines = parseCommandLines(value)
        if (lines.kind === 'bad') sound = false
        else commands.push(...lines.commands.map(({ argv }) => argv))
      }
    }
    if (!sound) continue
    assert.deepEqual(answer.complaints, [], context)
    assert.deepEqual(commands, answer.commands.get('ExecStart') ?? [], context)
    compared++
  }
  assert.ok(compared > 200, `only ${compared} of ${files.length} files were accepted`)
})

function expand(text: string, unitName: string): string {
  const context: SpecifierContext = {
    unitName,
    hostName: 'host',
    user: { name: 'root', uid: 0, group: 'root', gid: 0, home: '/root', shell: '/bin/sh' },
    directories: {
      runtime: '/run',
      state: '/var/lib',
      cache: '/var/cache',
      logs: '/var/log',
      configuration: '/etc',
    },
  }
  return expandSpecifiers(text, context)
}

function sorted(answer: OracleUnit | undefined): readonly string[] {
  return [...(answer?.environment ?? [])].sort()
}

// The dump shows whole seconds of a longer span.
function sameSpan(
  facts: ReadonlyMap<string, string>,
  fact: string,
  ms: number,
  name: string,
): void {
  const shown = parseTimeSpanMs(facts.get(fact) ?? '') ?? Number.NaN
  const near = shown === ms || Math.abs(shown - ms) < 1000
  assert.ok(near, `${name} ${fact}: systemd has ${facts.get(fact)}, we have ${formatTimeSpan(ms)}`)
}
