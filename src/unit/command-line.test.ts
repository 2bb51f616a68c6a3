// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables of unit files, not of ours
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type CommandLine, parseCommandLines } from './command-line.ts'
import { parseAssignments } from './environment.ts'
import { expandArguments, variableNames } from './variables.ts'

function commands(value: string): readonly CommandLine[] {
  const parsed = parseCommandLines(value)
  assert.equal(parsed.kind, 'commands', JSON.stringify(parsed))
  return parsed.kind === 'commands' ? parsed.commands : []
}

function argvs(value: string): readonly (readonly string[])[] {
  return commands(value).map(({ argv }) => argv)
}

function expanded(value: string, environment: string): readonly string[] {
  const parsed = parseAssignments(environment)
  assert.ok(parsed.kind === 'assignments')
  const env = new Map(parsed.assignments)
  return expandArguments(argvs(value)[0] ?? [], (name) => env.get(name)).argv
}

test('parseCommandLines() reads the examples of systemd.service(5)', () => {
  assert.deepEqual(argvs('echo one ; echo "two two"'), [
    ['echo', 'one'],
    ['echo', 'two two'],
  ])
  assert.deepEqual(argvs('echo / >/dev/null & \\;  ls'), [
    ['echo', '/', '>/dev/null', '&', ';', 'ls'],
  ])
  assert.deepEqual(argvs("sh -c 'dmesg | tac'"), [['sh', '-c', 'dmesg | tac']])
})

test('expandArguments() gives the results of systemd.service(5)', () => {
  assert.deepEqual(expanded('echo $ONE $TWO ${TWO}', `"ONE=one" 'TWO=two two'`), [
    'echo',
    'one',
    'two',
    'two',
    'two two',
  ])
  const environment = `ONE='one' "TWO='two two' too" THREE=`
  assert.deepEqual(expanded('/bin/echo ${ONE} ${TWO} ${THREE}', environment), [
    '/bin/echo',
    'one',
    "'two two' too",
    '',
  ])
  assert.deepEqual(expanded('/bin/echo $ONE $TWO $THREE', environment), [
    '/bin/echo',
    'one',
    'two two',
    'too',
  ])
})

test('expandArguments() leaves every other dollar, and reports what has no value', () => {
  const words = ['a$A', '$$A', 'x${A}y$$', '${A', '$NONE', '${NONE}', '$A-b', '$']
  const result = expandArguments(words, (name) => (name === 'A' ? 'v' : undefined))
  assert.deepEqual(result.argv, ['a$A', '$A', 'xvy$', '${A', ''])
  assert.deepEqual(result.unset, ['NONE', 'A-b', ''])
})

test('variableNames() finds names for us and for a shell', () => {
  assert.deepEqual(variableNames('kill $MAINPID ${B}x $$C $1'), ['MAINPID', 'B'])
})

test('parseCommandLines() reads prefixes in any order', () => {
  const flags = (value: string) => {
    const [command] = commands(value)
    assert.ok(command !== undefined)
    const { ignoreFailure, fullPrivileges, expandVariables, path, argv } = command
    return { ignoreFailure, fullPrivileges, expandVariables, path, argv }
  }
  const plain = { ignoreFailure: false, fullPrivileges: false, expandVariables: true }
  assert.deepEqual(flags('-@:+/bin/a b c'), {
    ignoreFailure: true,
    fullPrivileges: true,
    expandVariables: false,
    path: '/bin/a',
    argv: ['b', 'c'],
  })
  assert.deepEqual(flags('!/bin/a'), {
    ...plain,
    fullPrivileges: true,
    path: '/bin/a',
    argv: ['/bin/a'],
  })
  assert.deepEqual(flags('!!/bin/a'), { ...plain, path: '/bin/a', argv: ['/bin/a'] })
  assert.deepEqual(flags('/bin//x/./y z').path, '/bin/x/y')
  assert.deepEqual(flags('"/opt/my app/run" z'), {
    ...plain,
    path: '/opt/my app/run',
    argv: ['/opt/my app/run', 'z'],
  })
})

test('parseCommandLines() refuses a program that cannot be one', () => {
  const wrong = [
    '-',
    '@/bin/a',
    'bin/a',
    '$PROGRAM x',
    '/opt/${X}/y',
    '/bin/',
    '"a',
    '..',
    '--/bin/a',
    '!!!/a',
  ]
  for (const value of wrong) assert.equal(parseCommandLines(value).kind, 'bad', value)
})

test('parseCommandLines() passes over separators without commands', () => {
  assert.deepEqual(argvs('; ;'), [])
  assert.deepEqual(argvs('/a ;'), [['/a']])
  assert.deepEqual(argvs('/a;b ";" ;/c'), [['/a;b', ';', ';/c']])
})

test('parseCommandLines() takes any text without throwing', () => {
  const token = fc.constantFrom(
    '/a',
    ' ',
    ';',
    '\\',
    '"',
    "'",
    '-',
    '@',
    '!',
    '+',
    ':',
    '$',
    '{',
    '%',
  )
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(token).map((list) => list.join('')),
  )
  fc.assert(fc.property(text, (value) => void parseCommandLines(value)))
})
