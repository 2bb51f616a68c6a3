import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HolonError } from '../base/errors.ts'
import { findTool, mustRun, runCommand } from './command.ts'

const code = (expected: string) => (error: unknown) =>
  error instanceof HolonError && error.code === expected

test('runCommand() gives outputs and status, and the command its input', async () => {
  const result = await runCommand(['sh', '-c', 'cat; echo no >&2; exit 3'], { input: 'yes' })
  assert.deepEqual(result, { status: 3, stdout: 'yes', stderr: 'no\n' })
  assert.equal((await runCommand(['sh', '-c', 'kill -9 $$'])).status, 137)
  // One that reads nothing is no failure, however much there was.
  assert.equal((await runCommand(['true'], { input: 'x'.repeat(1_000_000) })).status, 0)
})

test('runCommand() kills at the deadline, also with children that hold the pipes', async () => {
  const overdue = runCommand(['sh', '-c', 'echo so far >&2; sleep 5 & sleep 5'], { timeoutMs: 200 })
  await assert.rejects(overdue, (error: unknown) => {
    assert.ok(error instanceof HolonError)
    assert.deepEqual([error.code, error.outcome], ['deadline_exceeded', 'unknown'])
    assert.match(error.message, /did not end within 0.2 s and was killed: so far/)
    return true
  })
  await assert.rejects(runCommand(['no-such-program-here']), code('not_found'))
})

test('mustRun() names the command, its status and what it said', async () => {
  assert.equal(await mustRun(['echo', 'hello']), 'hello\n')
  await assert.rejects(mustRun(['sh', '-c', 'echo because >&2; exit 4'], {}, 'unavailable'), {
    code: 'unavailable',
    message: 'sh -c echo because >&2; exit 4 ended with status 4: because',
  })
})

test('findTool() looks where the administrator’s tools are, too', () => {
  assert.match(findTool('sh', '/usr/bin:/bin') ?? '', /\/sh$/)
  assert.match(findTool('mount', '/usr/bin:/bin') ?? '', /\/mount$/)
  assert.equal(findTool('no-such-program-here', '/usr/bin'), undefined)
  assert.equal(findTool('sh', undefined), undefined)
})
