import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { type TestContext, test } from 'node:test'
import { deadline } from '../base/clock.ts'
import { limits } from '../base/limits.ts'
import { readTextPage } from '../cluster/text-page.ts'
import { realClock } from '../io/clock.ts'
import { ProcFs } from '../io/proc.ts'
import { Users } from '../io/users.ts'
import type { ProcessInfo, ProcessQuery } from '../kernel/types.ts'
import { ProcessTable } from './process-table.ts'

const keepers = new Map<number, string>()
const proc = new ProcFs()
const table = new ProcessTable(
  { proc, users: new Users() },
  { machine: 'n1', unitsByKeeper: () => keepers },
)

async function list(query: ProcessQuery = {}): Promise<readonly ProcessInfo[]> {
  using end = deadline(realClock, 30_000)
  return (await table.list(query, { signal: end.signal })).processes
}

async function until<T>(what: string, found: () => Promise<T | undefined>): Promise<T> {
  const endMs = realClock.nowMs() + 10_000
  for (;;) {
    const value = await found()
    if (value !== undefined) return value
    assert.ok(realClock.nowMs() < endMs, `not within 10 s: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

function start(t: TestContext, command: string, args: readonly string[]): number {
  const child: ChildProcess = spawn(command, args, { stdio: 'ignore' })
  assert.ok(child.pid !== undefined)
  const { pid } = child
  t.after(() => {
    for (const each of [pid, ...proc.descendants(pid)]) {
      try {
        process.kill(each, 'SIGKILL')
      } catch {
        // It ended by itself.
      }
    }
  })
  return pid
}

const compared = (row: ProcessInfo): string =>
  [
    row.pid,
    row.ppid,
    row.pgid,
    row.sid,
    row.uid,
    row.gid,
    row.nlwp,
    row.nice,
    row.user,
    row.tty || '?',
  ]
    .concat(row.comm)
    .join(' ')

test('ProcessTable.list() agrees with procps on every process that stays as it is', async (t) => {
  start(t, '/bin/sleep', ['60'])
  start(t, '/usr/bin/nice', ['-n', '7', '/bin/sleep', '60'])
  const before = new Map((await list()).map((row) => [row.pid, compared(row)]))
  const format = 'pid,ppid,pgid,sid,uid,gid,nlwp,ni,user:32,tty,comm'
  const printed = execFileSync('ps', ['-e', '-o', format, '--no-headers'], { encoding: 'utf8' })
  const after = new Map((await list()).map((row) => [row.pid, compared(row)]))
  let count = 0
  for (const line of printed.trimEnd().split('\n')) {
    const theirs = line.trim().replaceAll(/ +/g, ' ')

    const pid = Number.parseInt(theirs, 10)
    const ours = before.get(pid)
    if (ours === undefined || ours !== after.get(pid)) continue
    if (/[^ -~]/.test(ours) || theirs.includes('<defunct>')) continue
    count += 1
    // Scheduling classes without a nice value are "-" to procps.
    if (theirs.split(' ')[7] === '-') continue
    assert.equal(ours.replaceAll(/ +/g, ' ').trim(), theirs)
  }
  assert.ok(count > 5, `only ${count} processes were compared`)
})

test('ProcessTable.list() gives a process its unit when the keeper is any ancestor', async (t) => {
  const keeper = start(t, '/bin/sh', ['-c', 'sh -c "sleep 61 & wait" & wait'])
  const other = start(t, '/bin/sleep', ['62'])
  const inner = start(t, '/bin/sh', ['-c', 'sleep 63 & wait'])
  await until('children', async () => (proc.descendants(keeper).length === 2 ? true : undefined))
  await until('a child', async () => (proc.descendants(inner).length === 1 ? true : undefined))
  keepers.set(keeper, 'web.service/2')
  keepers.set(process.pid, 'run/outer')
  t.after(() => keepers.clear())
  for (const query of [{}, { args: false }]) {
    const unitOf = new Map((await list(query)).map((row) => [row.pid, row.unit]))
    for (const pid of proc.descendants(keeper)) assert.equal(unitOf.get(pid), 'web.service/2')
    // The keeper is no part of its own unit, but it is of the one it runs in.
    assert.equal(unitOf.get(keeper), 'run/outer')
    assert.equal(unitOf.get(other), 'run/outer')
    assert.equal(unitOf.get(process.ppid), '')
    assert.equal(unitOf.get(1), '')
  }
  const [leaf = 0] = proc.descendants(keeper).slice(-1)
  const [row] = await list({ pids: [leaf] })
  assert.equal(row?.unit, 'web.service/2', 'ancestors outside the query count')
})

test('ProcessTable.list() reads only what the query names', async (t) => {
  const pid = start(t, '/bin/sleep', ['60'])
  await until('executed', async () => (proc.stat(pid)?.comm === 'sleep' ? true : undefined))
  const rows = await list({ pids: [pid, pid, 0, -1, 2 ** 31], args: false })
  assert.deepEqual(
    rows.map((row) => [row.pid, row.args]),
    [[pid, []]],
  )
  const uid = process.getuid?.() ?? 0
  assert.ok((await list({ uids: [uid] })).every((row) => row.uid === uid))
  assert.deepEqual(await list({ uids: [4_000_000_000] }), [])
})

test('ProcessTable.list() is not disturbed by processes that come and go', async (t) => {
  const script =
    'i=0; while [ $i -lt 1500 ]; do /bin/sleep 0.01 & i=$((i+1)); [ $((i%20)) = 0 ] && wait; done'
  const pid = start(t, '/bin/sh', ['-c', script])
  let passes = 0
  let seen = 0
  while (proc.stat(pid)?.state !== 'Z' && proc.stat(pid) !== undefined && passes < 2000) {
    const rows = await list()
    for (const row of rows) {
      assert.ok(row.pid > 0 && row.startTicks >= 0 && row.state.length === 1, JSON.stringify(row))
      if (row.ppid === pid) seen += 1
    }
    const pids = rows.map((row) => row.pid)
    assert.deepEqual(
      pids,
      [...new Set(pids)].sort((a, b) => a - b),
    )
    passes += 1
  }
  assert.ok(passes > 3 && seen > 0, `${passes} passes saw ${seen} short-lived processes`)
})

test('ProcessTable.list() stops when its caller does', async () => {
  await assert.rejects(table.list({}, { signal: AbortSignal.abort() }), { code: 'cancelled' })
})

test('ProcessTable.list() tells facts that percentages need', async () => {
  using end = deadline(realClock, 30_000)
  const { machines, missing } = await table.list({ pids: [1] }, { signal: end.signal })
  assert.deepEqual(missing, [])
  assert.equal(machines.length, 1)
  assert.equal(machines[0]?.machine, 'n1')
  assert.ok((machines[0]?.memoryBytes ?? 0) > 0)
})

/** All pages put together, and the longest of them. */
async function allPages(query: ProcessQuery, bytes: number) {
  using end = deadline(realClock, 30_000)
  const rows: ProcessInfo[] = []
  let longest = 0
  let cursor: string | undefined
  for (;;) {
    const wish = cursor === undefined ? { bytes } : { bytes, cursor }
    const text = await table.page(query, wish, { signal: end.signal })
    longest = Math.max(longest, text.length)
    const { lists, cursor: next } = readTextPage(text)
    rows.push(...(JSON.parse(`[${lists[0]}]`) as ProcessInfo[]))
    if (next === undefined) return { rows, longest, facts: JSON.parse(lists[1] ?? '') as unknown }
    assert.equal(lists[1], '')
    cursor = next
  }
}

test('ProcessTable.page() gives the whole table once, however small the pages are', async (t) => {
  const pid = start(t, '/bin/sleep', ['60'])
  keepers.set(process.pid, 'run/outer')
  t.after(() => keepers.clear())
  await until('executed', async () => (proc.stat(pid)?.comm === 'sleep' ? true : undefined))
  for (const bytes of [1, 5000, 10_000_000]) {
    const { rows, longest, facts } = await allPages({}, bytes)
    const pids = rows.map((row) => row.pid)
    assert.deepEqual(
      pids,
      [...new Set(pids)].sort((a, b) => a - b),
    )
    assert.ok(pids.includes(1) && pids.includes(process.pid))
    assert.equal(rows.find((row) => row.pid === pid)?.unit, 'run/outer')
    assert.ok(longest < bytes + 200_000, `${longest} for ${bytes}`)
    assert.equal((facts as { machine: string }).machine, 'n1')
  }
  const few = await allPages({ pids: [1, pid, process.pid] }, 1)
  assert.equal(few.rows.length, 3)
})

test('ProcessTable.page() is bounded whatever processes write into their arguments', async (t) => {
  const many = Array.from({ length: 10 }, () => '\u0001'.repeat(120_000))
  for (let i = 0; i < 8; i += 1) start(t, '/bin/sh', ['-c', 'sleep 60; exit', ...many])
  const found = await until('executed', async () => {
    const { rows, longest } = await allPages({}, limits.listingPageBytes)
    const mine = rows.filter((row) => row.args.includes('sleep 60; exit'))
    return mine.length === 8 ? { mine, longest } : undefined
  })
  assert.ok(found.mine.every((row) => row.args.at(-1)?.endsWith('…')))
  assert.ok(found.longest < limits.rpcFrameBytesMax / 4, `${found.longest} bytes`)
})
