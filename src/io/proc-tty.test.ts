import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TtyNames } from './proc-tty.ts'

const drivers = `/dev/tty             /dev/tty        5       0 system:/dev/tty
/dev/console         /dev/console    5       1 system:console
serial               /dev/ttyS       4 64-95 serial
usbserial            /dev/ttyUSB   188 0-511 serial
ttyAMA               /dev/ttyAMA   204 64-77 serial
pty_slave            /dev/pts      136 0-1048575 pty:slave
pty_slave            /dev/ttyp       3 0-255 pty:slave
unknown              /dev/tty        4 1-63 console
`

const number = (major: number, minor: number): number =>
  (minor & 0xff) | (major << 8) | ((minor & 0xfff00) << 12)

test('TtyNames.name() knows what the drivers say', () => {
  const names = new TtyNames(drivers)
  assert.equal(names.name(0), '')
  assert.equal(names.name(number(136, 0)), 'pts/0')
  assert.equal(names.name(number(136, 1234)), 'pts/1234')
  assert.equal(names.name(number(137, 3)), 'pts/259')
  assert.equal(names.name(number(4, 1)), 'tty1')
  assert.equal(names.name(number(4, 64)), 'ttyS0')
  assert.equal(names.name(number(4, 66)), 'ttyS2')
  assert.equal(names.name(number(188, 7)), 'ttyUSB7')
  assert.equal(names.name(number(204, 64)), 'ttyAMA0')
  assert.equal(names.name(number(5, 1)), 'console')
})

test('TtyNames.name() knows the usual terminals without the drivers file, and shows numbers else', () => {
  const names = new TtyNames('')
  assert.equal(names.name(number(136, 9)), 'pts/9')
  assert.equal(names.name(number(4, 2)), 'tty2')
  assert.equal(names.name(number(4, 65)), 'ttyS1')
  assert.equal(names.name(number(229, 1)), '229:1')
})
