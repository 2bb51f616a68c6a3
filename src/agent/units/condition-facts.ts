/** Conditions of units, judged by what this machine is now. */
import {
  cgroupSupport,
  hasMainsPower,
  inUserNamespace,
  kernelCommandLine,
  pressureShare,
  processGroups,
  usableCpus,
  virtualization,
} from '../../io/host-facts.ts'
import { pathTests } from '../../io/path-tests.ts'
import type { ProcFs } from '../../io/proc.ts'
import {
  type ConditionFacts,
  type ConditionVerdict,
  evaluateConditions,
} from '../../unit/conditions.ts'
import type { MachineCondition } from '../../unit/placement-rules.ts'
import { type SpecifierDeps, specifierContext } from './specifier-context.ts'

export interface ConditionDeps extends SpecifierDeps {
  readonly proc: Pick<ProcFs, 'machineFacts'>
}

export type CheckConditions = (
  unit: string,
  conditions: readonly MachineCondition[],
) => ConditionVerdict

export function conditionChecker(deps: ConditionDeps): CheckConditions {
  return (unit, conditions) =>
    conditions.length === 0
      ? { kind: 'met' }
      : evaluateConditions(conditions, conditionFacts(deps, unit))
}

/** Each fact is read when a condition asks for it. */
export function conditionFacts(deps: ConditionDeps, unitName: string): ConditionFacts {
  const { host, proc, users } = deps
  const specifiers = specifierContext(deps, unitName)
  return {
    specifiers,
    environment: host.env,
    get groups() {
      users.refresh()
      return processGroups().map((gid) => ({ gid, name: users.groupName(gid) }))
    },
    get memoryBytes() {
      return proc.machineFacts().memoryBytes
    },
    get cpuCount() {
      return usableCpus()
    },
    get kernelCommandLine() {
      return kernelCommandLine()
    },
    get virtualization() {
      return virtualization()
    },
    get userNamespace() {
      return inUserNamespace()
    },
    get mainsPower() {
      return hasMainsPower()
    },
    get cgroups() {
      return cgroupSupport()
    },
    pressure: pressureShare,
    testPath: (test, path) => pathTests[test](path),
  }
}
