/**
 * The tests that `Condition…=` and `Assert…=` name, one by one, as systemd.unit(5) describes them.
 * Each says what is wrong with a value, and whether a sound value holds on a machine.
 */
import { globMatches } from '../base/glob.ts'
import { quantityOf } from './requirement.ts'
import type { SpecifierContext } from './specifiers.ts'
import { parseTimeSpanMs } from './time-span.ts'
import { parseBoolean, parseCount } from './values.ts'
import { compareVersions } from './version-order.ts'
import { splitVariable } from './words.ts'

export const pathTests = [
  'PathExists',
  'PathExistsGlob',
  'PathIsDirectory',
  'PathIsSymbolicLink',
  'PathIsMountPoint',
  'PathIsReadWrite',
  'PathIsSocket',
  'DirectoryNotEmpty',
  'FileNotEmpty',
  'FileIsExecutable',
] as const
export type PathTest = (typeof pathTests)[number]

/** What is known of a machine and its agent. Each is asked for only when a condition needs it. */
export interface ConditionFacts {
  /** Of the unit, too: conditions may hold specifiers. */
  readonly specifiers: SpecifierContext
  /** Groups of the agent's process. */
  readonly groups: readonly { readonly gid: number; readonly name: string }[]
  /** The agent's own. */
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly memoryBytes: number
  /** Cores that the agent may use. */
  readonly cpuCount: number
  readonly kernelCommandLine: string
  /** "kvm", "docker", …, by systemd-detect-virt's names; absent on bare metal. */
  readonly virtualization?: { readonly kind: 'vm' | 'container'; readonly name: string } | undefined
  readonly userNamespace: boolean
  /** False on battery only. */
  readonly mainsPower: boolean
  readonly cgroups: { readonly version: 1 | 2; readonly controllers: readonly string[] }
  /** Share of time lost to waiting, in percent; undefined where the kernel does not count it. */
  pressure(resource: 'memory' | 'cpu' | 'io', overSeconds: 10 | 60 | 300): number | undefined
  /** False also for what cannot be looked at. */
  testPath(test: PathTest, path: string): boolean
}

export interface ConditionTest {
  /** Why the value makes no sense; undefined when it does. */
  readonly problem: (value: string) => string | undefined
  readonly holds: (value: string, facts: ConditionFacts) => boolean
}

export const conditionTests: Readonly<Record<string, ConditionTest>> = {
  ...Object.fromEntries(pathTests.map((name) => [name, pathTest(name)])),
  MachineID: textTest((value, { specifiers }) => value === specifiers.machineId),
  Host: textTest(isHost),
  Architecture: {
    problem: (value) =>
      architectures.has(value)
        ? undefined
        : `${JSON.stringify(value)} is no architecture, like arm64`,
    holds: (value, { specifiers }) => value === 'native' || value === specifiers.architecture,
  },
  Virtualization: textTest(isVirtual),
  KernelCommandLine: textTest(isBootedWith),
  KernelVersion: textTest((value, { specifiers }) =>
    splitVariable(value.replace(operatorApart, '$1')).every((word) =>
      compares(word, specifiers.kernelRelease ?? '', '$='),
    ),
  ),
  OSRelease: {
    problem: (value) =>
      splitVariable(value).every((word) => /^[A-Z0-9_]+([<>=!]|\$=)+[^<>=!$]/.test(word))
        ? undefined
        : `${JSON.stringify(value)} is not like ID=debian`,
    holds: (value, { specifiers }) =>
      splitVariable(value).every((word) => {
        const [, field = '', rest = ''] = /^([A-Z0-9_]+)(.*)$/.exec(word) ?? []
        return compares(rest, specifiers.osRelease?.[field] ?? '', '=')
      }),
  },
  Environment: textTest((value, { environment }) => {
    const at = value.indexOf('=')
    if (at < 0) return environment[value] !== undefined
    return environment[value.slice(0, at)] === value.slice(at + 1)
  }),
  User: textTest((value, { specifiers: { user } }) => {
    // The range of system users as distributions have it.
    if (value === '@system') return user.uid < 1000
    return value === user.name || value === String(user.uid)
  }),
  Group: textTest((value, { groups }) =>
    groups.some(({ gid, name }) => value === name || value === String(gid)),
  ),
  Memory: amountTest(
    (text) => quantityOf('memory', text),
    ({ memoryBytes }) => memoryBytes,
    '4G',
  ),
  CPUs: amountTest(
    (text) => {
      const parsed = parseCount(text, 0, 1_000_000)
      return parsed.kind === 'ok' ? parsed.value : undefined
    },
    ({ cpuCount }) => cpuCount,
    '4',
  ),
  ACPower: booleanTest(({ mainsPower }) => mainsPower),
  FirstBoot: booleanTest(isFirstBoot),
  ControlGroupController: textTest((value, { cgroups }) =>
    value === 'v1' || value === 'v2'
      ? value === `v${cgroups.version}`
      : splitVariable(value).every(
          (name) => !knownControllers.has(name) || cgroups.controllers.includes(name),
        ),
  ),
  MemoryPressure: pressureTest('memory'),
  CPUPressure: pressureTest('cpu'),
  IOPressure: pressureTest('io'),
}

const architectures = new Set(
  `native x86 x86-64 arm arm-be arm64 arm64-be ppc ppc-le ppc64 ppc64-le riscv32 riscv64 s390 s390x
  loongarch64 mips mips-le mips64 mips64-le alpha arc arc-be cris ia64 m68k nios2 parisc parisc64
  sh sh64 sparc sparc64 tilegx`.split(/\s+/),
)

const knownControllers = new Set(['cpu', 'cpuacct', 'cpuset', 'io', 'blkio', 'memory', 'pids'])

function textTest(holds: ConditionTest['holds']): ConditionTest {
  return { problem: () => undefined, holds }
}

function booleanTest(actual: (facts: ConditionFacts) => boolean): ConditionTest {
  return {
    problem: (value) => {
      const parsed = parseBoolean(value)
      return parsed.kind === 'bad' ? parsed.message : undefined
    },
    holds: (value, facts) => {
      const wanted = parseBoolean(value)
      return wanted.kind === 'ok' && wanted.value === actual(facts)
    },
  }
}

function pathTest(name: PathTest): ConditionTest {
  return {
    problem: (value) =>
      value.startsWith('/') ? undefined : `${JSON.stringify(value)} is no absolute path`,
    holds: (value, facts) => facts.testPath(name, value),
  }
}

function isHost(value: string, { specifiers }: ConditionFacts): boolean {
  const id = value.replaceAll('-', '').toLowerCase()
  if (/^[0-9a-f]{32}$/.test(id)) return id === specifiers.machineId
  return globMatches(value, specifiers.hostName, { ignoreCase: true })
}

function isVirtual(value: string, { virtualization, userNamespace }: ConditionFacts): boolean {
  if (value === 'private-users') return userNamespace
  const wanted = parseBoolean(value)
  if (wanted.kind === 'ok') return wanted.value === (virtualization !== undefined)
  return value === virtualization?.kind || value === virtualization?.name
}

/** A word alone also matches with a value; "name=value" matches exactly. */
function isBootedWith(value: string, { kernelCommandLine }: ConditionFacts): boolean {
  const words = splitVariable(kernelCommandLine)
  return words.some(
    (word) => word === value || (!value.includes('=') && word.startsWith(`${value}=`)),
  )
}

function isFirstBoot(facts: ConditionFacts): boolean {
  const option = splitVariable(facts.kernelCommandLine)
    .map((word) => /^systemd\.condition-first-boot(?:=(.*))?$/.exec(word))
    .findLast((match) => match !== null)
  const told = parseBoolean(option?.[1] ?? (option ? 'yes' : ''))
  // systemd keeps this file for as long as a first boot lasts.
  return told.kind === 'ok' ? told.value : facts.testPath('PathExists', '/run/systemd/first-boot')
}

const byOrder: Readonly<Record<string, (order: number) => boolean>> = {
  '<': (order) => order < 0,
  '<=': (order) => order <= 0,
  '=': (order) => order === 0,
  '==': (order) => order === 0,
  '!=': (order) => order !== 0,
  '<>': (order) => order !== 0,
  '>=': (order) => order >= 0,
  '>': (order) => order > 0,
}

/** The first one may stand apart from its version. */
const operatorApart = /^([$!<>=]+)\s+/
const operator = /^(\$=|!\$=|<=|>=|<>|!=|==|<|>|=)?\s*(.*)$/s

/** "=X" and "!=X" compare text, "$=X" and "!$=X" patterns, all others versions. */
function compares(expression: string, actual: string, implied: string): boolean {
  const [, sign = implied, wanted = ''] = operator.exec(expression) ?? []
  if (sign === '$=' || sign === '!$=') return globMatches(wanted, actual) === (sign === '$=')
  if (sign === '=' || sign === '!=') return (actual === wanted) === (sign === '=')
  return byOrder[sign]?.(compareVersions(actual, wanted)) ?? false
}

function amountTest(
  parse: (text: string) => number | undefined,
  actual: (facts: ConditionFacts) => number,
  example: string,
): ConditionTest {
  const split = (value: string) => {
    const [, sign = '>=', text = ''] = operator.exec(value) ?? []
    const wanted = Object.hasOwn(byOrder, sign) ? parse(text) : undefined
    return { sign, wanted }
  }
  return {
    problem: (value) =>
      split(value).wanted === undefined
        ? `${JSON.stringify(value)} is not like ${example} or <${example}`
        : undefined,
    holds: (value, facts) => {
      const { sign, wanted = Number.NaN } = split(value)
      return byOrder[sign]?.(Math.sign(actual(facts) - wanted)) ?? false
    },
  }
}

function pressureTest(resource: 'memory' | 'cpu' | 'io'): ConditionTest {
  const split = (value: string) => {
    const [, percent = '', span = '5min'] = /^(\d+(?:\.\d{1,2})?)%(?:\/(.+))?$/.exec(value) ?? []
    const overSeconds = ([10, 60, 300] as const).find(
      (each) => each * 1000 === parseTimeSpanMs(span),
    )
    return percent === '' || overSeconds === undefined
      ? undefined
      : { percent: Number(percent), overSeconds }
  }
  return {
    problem: (value) => {
      if (/^[^/%]+\.slice:/.test(value)) return 'the pressure of a slice is not supported yet'
      return split(value) === undefined
        ? `${JSON.stringify(value)} is not like 20% or 20%/1min (or 10s, or 5min)`
        : undefined
    },
    holds: (value, facts) => {
      const limit = split(value)
      if (limit === undefined) return false
      // As systemd: where nobody counts, nothing is too much.
      return (facts.pressure(resource, limit.overSeconds) ?? 0) <= limit.percent
    },
  }
}
