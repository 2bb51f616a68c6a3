import assert from 'node:assert/strict'
import { test } from 'node:test'
import { conditionTests } from './condition-tests.ts'
import { type ConditionFacts, type ConditionVerdict, evaluateConditions } from './conditions.ts'
import { directives } from './directives.ts'
import { formatUnitProblem } from './parse.ts'
import { loadUnit } from './unit.ts'

/** A machine in a test: what `there` names exists, whatever is asked of it. */
function facts(more: Partial<ConditionFacts> = {}, there: readonly string[] = []): ConditionFacts {
  return {
    specifiers: {
      unitName: 'web.service',
      hostName: 'n1.example',
      machineId: '0123456789abcdef0123456789abcdef',
      kernelRelease: '6.1.0-18-amd64',
      architecture: 'x86-64',
      osRelease: { ID: 'debian', VERSION_ID: '12' },
      user: { name: 'root', uid: 0, group: 'root', gid: 0, home: '/root', shell: '/bin/sh' },
      directories: { runtime: '/run', state: '', cache: '', logs: '', configuration: '' },
    },
    groups: [{ gid: 4, name: 'adm' }],
    environment: { LANG: 'C', EMPTY: '' },
    memoryBytes: 8 * 2 ** 30,
    cpuCount: 4,
    kernelCommandLine: 'ro quiet root="/dev/vda 1" oem.id=ec2',
    virtualization: { kind: 'vm', name: 'kvm' },
    userNamespace: false,
    mainsPower: true,
    cgroups: { version: 2, controllers: ['cpu', 'memory'] },
    pressure: (resource, overSeconds) => (resource === 'io' ? undefined : overSeconds / 10),
    testPath: (_test, path) => there.includes(path),
    ...more,
  }
}

function conditionsOf(...lines: readonly string[]) {
  const text = `[Unit]\n${lines.join('\n')}\n[Service]\nExecStart=/bin/web\n`
  const result = loadUnit({ name: 'web.service', text })
  assert.ok(result.kind === 'loaded', JSON.stringify(result))
  return result.unit.placement.conditions
}

function judged(lines: readonly string[], with_: ConditionFacts = facts()): ConditionVerdict {
  return evaluateConditions(conditionsOf(...lines), with_)
}

function unmet(lines: readonly string[], with_: ConditionFacts = facts()): string | undefined {
  const verdict = judged(lines, with_)
  return verdict.kind === 'unmet' ? verdict.which : undefined
}

test('evaluateConditions() wants every line met, and of those with a bar one', () => {
  const with_ = facts({}, ['/a', '/b'])
  const yes = [
    [],
    ['ConditionPathExists=/a', 'ConditionPathExists=/b', 'ConditionPathExists=!/c'],
    ['ConditionPathExists=|/c', 'ConditionPathExists=|/a'],
    ['ConditionPathExists=| ! /c', 'ConditionPathIsDirectory=|/c'],
    ['ConditionPathExists=/c', 'ConditionHost=', 'ConditionPathExists=/a'],
    ['AssertPathExists=/a', 'ConditionPathExists=|/b'],
  ]
  for (const lines of yes) assert.equal(unmet(lines, with_), undefined, lines.join('; '))
  assert.equal(
    unmet(['ConditionPathExists=/a', 'ConditionFileNotEmpty=!/b'], with_),
    'ConditionFileNotEmpty=!/b',
  )
  assert.equal(
    unmet(['ConditionPathExists=|/c', 'ConditionPathExists=|!/a', 'ConditionPathExists=/b'], with_),
    'ConditionPathExists=|/c or ConditionPathExists=|!/a',
  )
})

test('evaluateConditions() skips for a condition before it fails for an assertion', () => {
  const lines = ['AssertPathExists=/no', 'ConditionPathExists=/no']
  const [assertion, condition] = lines.map((line) => judged([line]))
  assert.deepEqual(assertion, { kind: 'unmet', which: 'AssertPathExists=/no', assertion: true })
  assert.deepEqual(condition, { kind: 'unmet', which: 'ConditionPathExists=/no', assertion: false })
  assert.deepEqual(judged(lines), condition)
  // Emptied, conditions are gone, and assertions are not.
  assert.deepEqual(judged([...lines, 'ConditionHost=']), assertion)
})

test('evaluateConditions() expands specifiers, and shows them so', () => {
  const lines = ['ConditionPathExists=/etc/%p/%l.conf']
  assert.equal(unmet(lines, facts({}, ['/etc/web/n1.conf'])), undefined)
  assert.equal(unmet(lines), 'ConditionPathExists=/etc/web/n1.conf')
})

test('each condition holds for what systemd.unit(5) says', () => {
  const holding = `
    Host=N1.*  Host=01234567-89ab-cdef-0123-456789abcdef  Host=!n2
    Architecture=x86-64  Architecture=native  Architecture=!arm64
    Virtualization=yes  Virtualization=vm  Virtualization=kvm  Virtualization=!container
    Virtualization=!private-users
    KernelCommandLine=quiet  KernelCommandLine=oem.id  KernelCommandLine=oem.id=ec2
    KernelCommandLine=!oem  KernelCommandLine=!oem.id=gce
    KernelVersion=6.1.*  KernelVersion=>=6.1  KernelVersion=<6.10  KernelVersion=!>=7
    KernelVersion=!=6.1  KernelVersion=$=*amd64
    OSRelease=ID=debian  OSRelease=ID!=fedora  OSRelease=VERSION_ID>=9  OSRelease=ID$=deb*
    OSRelease=VARIANT!=server
    Environment=LANG  Environment=EMPTY  Environment=LANG=C  Environment=!LANG=de
    User=root  User=0  User=@system  User=!www  Group=adm  Group=4  Group=!5
    Memory=8G  Memory=<=8192M  Memory=>4G  Memory=!16G  CPUs=2  CPUs=<8  CPUs==4  CPUs=<>3
    ACPower=true  ACPower=!false  FirstBoot=no
    ControlGroupController=v2  ControlGroupController=!v1  ControlGroupController=memory
    ControlGroupController=!io  ControlGroupController=unheard-of
    MemoryPressure=30%  MemoryPressure=1%/10sec  CPUPressure=!5%/1min  IOPressure=0%`
  for (const text of holding.trim().split(/\s+/)) {
    assert.equal(unmet([`Condition${text}`]), undefined, text)
    const [name, value = ''] = text.split(/=(.*)/s)
    const opposite = value.startsWith('!') ? value.slice(1) : `!${value}`
    // "!=6.1" has its mark in its operator.
    if (text.includes('!=')) continue
    assert.notEqual(unmet([`Condition${name}=${opposite}`]), undefined, `${name}=${opposite}`)
  }
  assert.equal(unmet(['ConditionKernelVersion=>= 6.0 <6.2']), undefined)
  const booted = (text: string) => facts({ kernelCommandLine: text })
  assert.equal(unmet(['ConditionFirstBoot=yes'], facts({}, ['/run/systemd/first-boot'])), undefined)
  assert.equal(unmet(['ConditionFirstBoot=yes'], booted('systemd.condition-first-boot')), undefined)
  assert.equal(
    unmet(['ConditionVirtualization=no'], facts({ virtualization: undefined })),
    undefined,
  )
})

test('a condition’s value that nothing can meet is refused, with file and line', () => {
  const wrong: readonly (readonly [string, RegExp])[] = [
    ['ConditionPathExists=etc/x', /no absolute path/],
    ['ConditionPathExists=|', /says nothing to test/],
    ['AssertMemory=much', /"much" is not like 4G/],
    ['ConditionCPUs=$=4', /not like 4/],
    ['ConditionACPower=maybe', /neither yes nor no/],
    ['ConditionArchitecture=amd64', /no architecture/],
    ['ConditionOSRelease=debian', /not like ID=debian/],
    ['ConditionOSRelease=ID=', /not like ID=debian/],
    ['ConditionCPUPressure=20', /not like 20%/],
    ['ConditionCPUPressure=a.slice:20%', /of a slice/],
    ['ConditionNeedsUpdate=/etc', /the host's own systemd/],
    ['ConditionSecurity=selinux', /label/],
  ]
  for (const [line, message] of wrong) {
    const text = `[Unit]\n${line}\n[Service]\nExecStart=/bin/web\n`
    const result = loadUnit({ name: 'web.service', text })
    assert.ok(result.kind === 'refused', line)
    assert.match(result.problems.map(formatUnitProblem).join(), message)
    assert.match(result.problems.map(formatUnitProblem).join(), /^web\.service:2: /)
  }
})

test('every condition that the table honours can be tested', () => {
  const honoured = directives.filter(
    ({ kind, status }) => kind === 'conditions' && status === 'honoured',
  )
  const names = new Set(honoured.map(({ name }) => name.replace(/^(Condition|Assert)/, '')))
  assert.deepEqual([...names, 'MachineID'].sort(), Object.keys(conditionTests).sort())
})
