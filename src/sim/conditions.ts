/** What a simulated machine tells the conditions of units: its name, its size, its paths. */
import type { ConditionFacts } from '../unit/conditions.ts'

export function simulatedFacts(
  machine: string,
  unit: string,
  { cpus, memoryBytes }: { readonly cpus: number; readonly memoryBytes: number },
  paths: ReadonlySet<string>,
): ConditionFacts {
  const root = { name: 'root', uid: 0, group: 'root', gid: 0, home: '/root', shell: '/bin/sh' }
  const directories = { runtime: '/run', state: '/var/lib', cache: '/var/cache', logs: '/var/log' }
  return {
    specifiers: {
      unitName: unit,
      hostName: machine,
      bootId: machine,
      architecture: 'x86-64',
      user: root,
      directories: { ...directories, configuration: '/etc' },
    },
    groups: [{ gid: 0, name: 'root' }],
    environment: {},
    memoryBytes,
    cpuCount: cpus,
    kernelCommandLine: '',
    userNamespace: false,
    mainsPower: true,
    cgroups: { version: 2, controllers: ['cpu', 'memory', 'io', 'pids'] },
    pressure: () => undefined,
    testPath: (_test, path) => paths.has(path),
  }
}
