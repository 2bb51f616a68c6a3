/**
 * Conditions as this very machine meets them, beside what systemd's own `systemd-analyze condition`
 * says of each; and its order of versions beside ours.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { conditionFacts } from '../../src/agent/units/condition-facts.ts'
import { realHost } from '../../src/io/host.ts'
import { ProcFs } from '../../src/io/proc.ts'
import { Users } from '../../src/io/users.ts'
import { evaluateConditions, readCondition } from '../../src/unit/conditions.ts'
import { compareVersions } from '../../src/unit/version-order.ts'

const version = spawnSync('systemd-analyze', ['--version'], { encoding: 'utf8' })
const skip = version.status === 0 ? false : 'systemd-analyze is not installed'

/** Exit statuses, a whole list at a time: a process for each question, but no shell of its own. */
function ask(verb: string, questions: readonly (readonly string[])[]): readonly number[] {
  return questions.map(
    (words) => spawnSync('systemd-analyze', [verb, ...words], { encoding: 'utf8' }).status ?? -1,
  )
}

function holdsHere(text: string): boolean {
  const [name = '', value = ''] = text.split(/=(.*)/s)
  const proc = new ProcFs()
  const { bootId, kernelRelease } = proc
  const deps = { host: realHost(), users: new Users(), proc, bootId, kernelRelease }
  const condition = readCondition(name, value)
  assert.ok(condition.kind === 'ok', text)
  return evaluateConditions([condition.value], conditionFacts(deps, 'test.service')).kind === 'met'
}

test('conditions hold on this machine where systemd says so', { skip }, async () => {
  const dir = mkdtempSync(join(tmpdir(), 'holon-conditions-'))
  const socket = createServer().listen(join(dir, 'socket'))
  try {
    for (const name of ['full', 'empty', 'hidden']) mkdirSync(join(dir, name))
    writeFileSync(join(dir, 'full/file'), 'x', { mode: 0o644 })
    writeFileSync(join(dir, 'full/program'), '', { mode: 0o755 })
    writeFileSync(join(dir, 'hidden/.file'), '')
    symlinkSync('full', join(dir, 'link'))
    symlinkSync('nothing', join(dir, 'dangling'))
    const paths = ['', '/full', '/empty', '/hidden', '/full/file', '/full/program', '/link/file']
    const odd = ['/link', '/dangling', '/socket', '/none']
    const places = [
      ...[...paths, ...odd].map((path) => dir + path),
      '/',
      '/proc',
      '/sys',
      '/dev/null',
    ]
    const tests = `PathExists PathIsDirectory PathIsSymbolicLink PathIsMountPoint PathIsReadWrite
      DirectoryNotEmpty FileNotEmpty FileIsExecutable`.split(/\s+/)
    const texts = [
      ...tests.flatMap((name) => places.map((path) => `Condition${name}=${path}`)),
      ...['/f*', '/f*/{file,x}', '/**/file', '/x*', '/hidden/*', '/[ef]*'].map(
        (pattern) => `ConditionPathExistsGlob=${dir}${pattern}`,
      ),
      ...`Virtualization=yes Virtualization=vm Virtualization=container Virtualization=kvm
        Virtualization=docker Virtualization=private-users Architecture=native
        Architecture=x86-64 Architecture=arm64 Host=* Host=nobody-* KernelVersion=*
        KernelVersion=>=4.4 KernelVersion=<4.4 KernelVersion==6 OSRelease=ID=debian
        OSRelease=ID!=debian OSRelease=VERSION_ID>=11 OSRelease=NONE!=x Memory=1M Memory=<1M
        Memory=>100T CPUs=1 CPUs=>=2 CPUs=>1000 CPUs==0 ACPower=true ACPower=false FirstBoot=yes
        FirstBoot=no Environment=PATH Environment=NO_SUCH_THING Environment=PATH=x User=root User=0
        User=@system User=daemon Group=0 Group=root Group=daemon ControlGroupController=v1
        ControlGroupController=v2 ControlGroupController=memory ControlGroupController=io
        MemoryPressure=100% CPUPressure=100%/10sec KernelCommandLine=no-such-word`
        .trim()
        .split(/\s+/)
        .map((text) => `Condition${text}`),
    ]
    const expected = ask(
      'condition',
      texts.map((text) => [text]),
    )
    const differing = texts.filter((text, index) => holdsHere(text) !== (expected[index] === 0))
    assert.deepEqual(differing, [])
    assert.ok(holdsHere(`ConditionPathIsSocket=${dir}/socket`))
    assert.ok(!holdsHere(`ConditionPathIsSocket=${dir}/full/file`))
  } finally {
    socket.close()
    rmSync(dir, { recursive: true, force: true })
  }
})

test('compareVersions() orders versions as systemd does', { skip }, () => {
  const some = '1 1.0 1.0~rc1 1.0-1 1.0^2 1.0.1 01 10 1a 1.a a 1..0 1+b 6.1.0-18-amd64'.split(' ')
  const pairs = some.flatMap((a, index) => some.slice(index).map((b) => [a, b] as const))
  const expected = ask('compare-versions', pairs)
  // Its exit status is 0 when they are equal, 11 when the first is newer, 12 when the second is.
  const ours = pairs.map(([a, b]) => {
    const order = compareVersions(a, b)
    return order === 0 ? 0 : order > 0 ? 11 : 12
  })
  assert.deepEqual(ours, expected)
  for (const [a, b] of pairs) {
    assert.equal(Math.sign(compareVersions(b, a)), -Math.sign(compareVersions(a, b)) || 0)
  }
})
