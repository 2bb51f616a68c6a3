import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { Users } from './users.ts'

function tempFiles(t: { after(fn: () => void): void }) {
  const dir = mkdtempSync(join(tmpdir(), 'holon-users-'))
  t.after(() => rmSync(dir, { recursive: true }))
  const passwdPath = join(dir, 'passwd')
  const groupPath = join(dir, 'group')
  writeFileSync(
    passwdPath,
    'root:x:0:0:root:/root:/bin/sh\n# a comment\n+nis\nann:x:1000:1000:Ann,,,:/home/ann:/bin/bash\ntoor:x:0:0::/:/bin/sh\nbroken:x:no\n1234:x:77:7::/:\n',
  )
  writeFileSync(groupPath, 'root:x:0:\nstaff:x:50:ann,bob\n')
  return { passwdPath, groupPath }
}

test('Users find names, numbers, and the first of several entries', (t) => {
  const users = new Users({ ...tempFiles(t), getent: false })
  users.refresh()
  assert.equal(users.userName(0), 'root')
  assert.equal(users.userName(1000), 'ann')
  assert.equal(users.userName(4242), '4242')
  assert.equal(users.groupName(50), 'staff')
  assert.equal(users.groupName(51), '51')
  assert.equal(users.user('ann')?.home, '/home/ann')
  assert.equal(users.user(1000)?.name, 'ann')
  assert.equal(users.user('toor')?.uid, 0)
  // A name of digits is a name first, as chown(1) has it.
  assert.equal(users.user('1234')?.uid, 77)
  assert.equal(users.user('broken'), undefined)
  assert.equal(users.user('nobody-here'), undefined)
  assert.deepEqual(users.group('staff')?.members, ['ann', 'bob'])
  assert.equal(users.group('50')?.name, 'staff')
})

test('Users see a changed file', (t) => {
  const files = tempFiles(t)
  const users = new Users({ ...files, getent: false })
  assert.equal(users.user('new'), undefined)
  writeFileSync(files.passwdPath, 'new:x:5:5::/new:/bin/sh\n')
  utimesSync(files.passwdPath, 1, 1)
  assert.equal(users.user('new')?.uid, 5)
  users.refresh()
  assert.equal(users.userName(1000), '1000')
  rmSync(files.passwdPath)
  assert.equal(users.user('new'), undefined)
})

test('Users on this machine agree with getent', () => {
  const users = new Users()
  users.refresh()
  assert.equal(users.userName(0), 'root')
  assert.equal(users.groupName(0), 'root')
})
