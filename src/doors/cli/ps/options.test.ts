import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { HolonError } from '../../../base/errors.ts'
import { columnNames, findColumn } from './columns.ts'
import { parsePs } from './options.ts'
import { parseColumns, parsePidRef } from './request.ts'

const parse = (line: string) => parsePs(line.split(' ').filter((word) => word !== ''))
const headers = (line: string) =>
  parse(line)
    .columns.map((column) => column.header)
    .join(' ')
const criteria = (line: string) => parse(line).selection.criteria

test('parsePs() knows the habitual command lines', () => {
  assert.deepEqual(criteria(''), [{ kind: 'own-terminal' }])
  assert.equal(headers(''), 'MACHINE PID TTY TIME UNIT CMD')
  for (const all of ['-e', '-A', '-ef', '-ely', '-e -f', '-Af', '-eo pid', '-e -o pid']) {
    assert.deepEqual(criteria(all), [{ kind: 'all' }], all)
  }
  const everything = [{ kind: 'bsd', anyUser: true, anyTty: true }]
  for (const all of [
    'aux',
    'axu',
    'ax',
    '-aux',
    '-axu',
    'auxww',
    'axjf',
    '-auxf',
    'a x',
    'axo pid',
  ]) {
    assert.deepEqual(criteria(all), everything, all)
  }
  assert.deepEqual(criteria('u'), [{ kind: 'bsd', anyUser: false, anyTty: false }])
  assert.deepEqual(criteria('x'), [{ kind: 'bsd', anyUser: false, anyTty: true }])
  assert.deepEqual(criteria('-a'), [{ kind: 'followers', withTty: true }])
})

test('parsePs() gives the columns of procps, with machine and unit', () => {
  assert.equal(headers('-ef'), 'MACHINE UID PID PPID C STIME TTY TIME UNIT CMD')
  assert.equal(
    headers('aux'),
    'MACHINE USER PID %CPU %MEM VSZ RSS TTY STAT START TIME UNIT COMMAND',
  )
  assert.equal(headers('ax'), 'MACHINE PID TTY STAT TIME UNIT COMMAND')
  assert.equal(headers('-F'), 'MACHINE UID PID PPID C SZ RSS STIME TTY TIME UNIT CMD')
  assert.equal(headers('-l'), 'MACHINE S UID PID PPID C PRI NI RSS SZ TTY TIME UNIT CMD')
  assert.equal(headers('-j'), 'MACHINE PID PGID SID TTY TIME UNIT CMD')
  assert.equal(headers('l'), 'MACHINE UID PID PPID PRI NI VSZ RSS STAT TTY TIME UNIT COMMAND')
  assert.equal(headers('axj'), 'MACHINE PPID PID PGID SID TTY TPGID STAT UID TIME UNIT COMMAND')
  assert.equal(headers('-O rss,ni'), 'MACHINE PID RSS NI S TTY TIME UNIT COMMAND')
  assert.match(headers('-o wide'), /^MACHINE PID PPID .* COMMAND$/)
  assert.equal(headers('-o pid,user,comm,args'), 'PID USER COMMAND COMMAND')
  assert.equal(headers('-eo pid,%cpu -o machine'), 'PID %CPU MACHINE')
})

test('parsePs() reads lists and values in all their places', () => {
  const pids = [{ kind: 'pids', pids: [{ pid: 1 }, { pid: 2, machine: 'n1' }] }]
  for (const line of [
    '-p 1,n1:2',
    '-p1,n1:2',
    '--pid=1,n1:2',
    '--pid 1,n1:2',
    '1,n1:2',
    'p 1,n1:2',
  ]) {
    assert.deepEqual(criteria(line).slice(0, 1), pids, line)
  }
  assert.deepEqual(criteria('1 2').length, 2)
  assert.deepEqual(criteria('-u root,ann -C sshd'), [
    { kind: 'users', names: ['root', 'ann'] },
    { kind: 'comms', names: ['sshd'] },
  ])
  assert.deepEqual(criteria('--ppid 1'), [{ kind: 'ppids', pids: [{ pid: 1 }] }])
  assert.equal(parse('-N -p 1').selection.negate, true)
  assert.equal(parse('-e --no-headers').headers, false)
  assert.equal(parse('axh').headers, false)
  assert.equal(parse('-ew').lineWidth, 132)
  assert.equal(parse('-eww').lineWidth, Number.POSITIVE_INFINITY)
  assert.equal(parse('-e --cols 60').lineWidth, 60)
  assert.equal(parse('-e').lineWidth, undefined)
  assert.equal(parse('-m n2').machine, 'n2')
  assert.deepEqual(criteria('-m n2'), [{ kind: 'all' }])
  assert.equal(parse('axr').selection.onlyRunning, true)
  assert.equal(parse('-e -o json').output, 'json')
  assert.equal(parse('-ojsonl').output, 'jsonl')
  assert.equal(parse('--json').output, 'json')
  const sort = parse('-e --sort -pcpu,+pid').sort.map((key) => [key.column.name, key.descending])
  assert.deepEqual(sort, [
    ['pcpu', true],
    ['pid', false],
  ])
})

test('parseColumns() takes headers and widths, and keeps empty headers', () => {
  const list = (text: string) => parseColumns(text).map((column) => [column.header, column.width])
  assert.deepEqual(list('pid=,user:20=WHO'), [
    ['', 5],
    ['WHO', 20],
  ])
  assert.deepEqual(list('args=COMMAND LINE'), [['COMMAND LINE', 27]])
  assert.deepEqual(list('pid user'), [
    ['PID', 5],
    ['USER', 8],
  ])
})

test('parsePs() refuses what it does not know, by name and with a hint', () => {
  const refused = (line: string, pattern: RegExp) =>
    assert.throws(
      () => parse(line),
      (error: unknown) => {
        assert.ok(error instanceof HolonError && error.code === 'invalid_argument')
        assert.match(error.message, pattern)
        return true
      },
    )
  refused('-eL', /"-L".*not threads/)
  refused('-e -o nope', /"nope"/)
  refused('-e -o pidd', /did you mean .*pid/)
  refused('--sort', /--sort needs a value/)
  refused('-p', /-p needs a value/)
  refused('-p abc', /"abc" is no process id/)
  refused('-p 99999999999', /no process id/)
  refused('--frobnicate', /"--frobnicate"/)
  refused('auxZ', /"Z in auxZ"/)
  refused('--forest=1', /takes no value/)
  refused('-o ,', /list of columns/)
})

test('parsePs() ends in a request or a usage error for any words', () => {
  const word = fc.oneof(
    fc.constantFrom(
      '-e',
      'aux',
      '-o',
      'pid,args',
      '--sort',
      '-p',
      '1',
      'n1:1',
      '--',
      '-',
      '-u',
      '',
    ),
    fc.string({ maxLength: 6 }),
  )
  fc.assert(
    fc.property(fc.array(word, { maxLength: 6 }), (words) => {
      try {
        assert.ok(parsePs(words).columns.length > 0)
      } catch (error) {
        assert.ok(error instanceof HolonError && error.code === 'invalid_argument', String(error))
      }
    }),
  )
})

test('findColumn() finds every name that it lists, and none of the object’s own', () => {
  for (const name of columnNames()) assert.ok(findColumn(name), name)
  for (const name of ['constructor', '__proto__', 'toString', '']) {
    assert.equal(findColumn(name), undefined)
  }
})

test('parsePidRef() is the inverse of how ids are printed', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 2 ** 31 - 1 }),
      fc.stringMatching(/^[a-z0-9.-]{1,20}$/),
      (pid, machine) => {
        assert.deepEqual(parsePidRef(`${machine}:${pid}`), { pid, machine })
        assert.deepEqual(parsePidRef(String(pid)), { pid })
      },
    ),
  )
})
