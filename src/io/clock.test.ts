import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { realClock } from './clock.ts'

function uptimeMs(): number {
  return Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]) * 1000
}

test('realClock.nowMs() is boot time, behind by its grain at most and never ahead', () => {
  const before = uptimeMs()
  const now = realClock.nowMs()
  const after = uptimeMs()
  // The file has a grain of 10 ms as well.
  assert.ok(now >= before - 20 && now <= after + 10, `${before} ${now} ${after}`)
})

test('realClock.nowMs() is not misled by an uptime of the container’s own', {
  skip: process.getuid?.() === 0 ? false : 'needs root',
}, () => {
  const dir = mkdtempSync(join(tmpdir(), 'holon-clock-'))
  try {
    writeFileSync(join(dir, 'uptime'), '7.00 1.00\n')
    const print = `import { realClock } from '${import.meta.dirname}/clock.ts'
      console.log(realClock.nowMs())`
    writeFileSync(join(dir, 'print.mts'), print)
    const script = 'mount --bind "$1/uptime" /proc/uptime && exec "$2" "$1/print.mts"'
    const before = uptimeMs()
    const args = ['-m', 'sh', '-c', script, 'sh', dir, process.execPath]
    const now = Number(execFileSync('unshare', args, { encoding: 'utf8' }))
    assert.ok(now >= before - 20 && now <= uptimeMs() + 10, `${before} ${now}`)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
})
