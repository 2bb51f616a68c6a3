/** What else conditions of units ask about a host and this process; read when asked for. */
import { readdirSync, statfsSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { tryRead } from './try-file.ts'

export interface Virtualization {
  readonly kind: 'vm' | 'container'
  /** As systemd-detect-virt names it. */
  readonly name: string
}

/**
 * The innermost one; undefined on bare metal. Told by the files that container managers and the
 * kernel leave, without the CPUID instruction: a hypervisor without any mark is "vm-other".
 */
export function virtualization(): Virtualization | undefined {
  const container = containerName()
  if (container !== undefined) return { kind: 'container', name: container }
  const vm = hypervisorName()
  return vm === undefined ? undefined : { kind: 'vm', name: vm }
}

function containerName(): string | undefined {
  const told =
    tryRead('/run/host/container-manager') ??
    /(?:^|\0)container=([^\0]+)/.exec(tryRead('/proc/1/environ') ?? '')?.[1] ??
    tryRead('/run/systemd/container')
  const name = told?.trim()
  // "oci" names no manager: a mark of one is better.
  if (name && name !== 'oci') return name
  if (/microsoft|WSL/i.test(tryRead('/proc/sys/kernel/osrelease') ?? '')) return 'wsl'
  if (tryRead('/run/.containerenv') !== undefined) return 'podman'
  if (tryRead('/.dockerenv') !== undefined) return 'docker'
  return name ? 'container-other' : undefined
}

/** How vendors call themselves, and what they are called; the first that begins so counts. */
const vendors: readonly (readonly [string, string])[] = [
  ['KVM', 'kvm'],
  ['OpenStack', 'kvm'],
  ['KubeVirt', 'kvm'],
  ['Amazon EC2', 'amazon'],
  ['QEMU', 'qemu'],
  ['VMware', 'vmware'],
  ['VMW', 'vmware'],
  ['innotek GmbH', 'oracle'],
  ['VirtualBox', 'oracle'],
  ['Xen', 'xen'],
  ['Bochs', 'bochs'],
  ['Parallels', 'parallels'],
  ['BHYVE', 'bhyve'],
  ['Hyper-V', 'microsoft'],
  ['Google Compute Engine', 'google'],
]
/** These are built on others, and named all the same. */
const ownName = new Set(['amazon', 'oracle', 'xen', 'parallels', 'google'])

function hypervisorName(): string | undefined {
  const virtual = /^flags\b.*\bhypervisor\b/m.test(tryRead('/proc/cpuinfo') ?? '')
  const vendor = ['product_name', 'sys_vendor', 'board_vendor', 'bios_vendor']
    .map((field) => tryRead(`/sys/class/dmi/id/${field}`) ?? '')
    .map((text) => vendors.find(([prefix]) => text.startsWith(prefix))?.[1])
    .find((name) => name !== undefined)
  // Amazon's bare metal says so, too, and is none.
  const named = vendor === 'amazon' && !virtual ? undefined : vendor
  if (named !== undefined && ownName.has(named)) return named
  const clocks = tryRead('/sys/devices/system/clocksource/clocksource0/available_clocksource') ?? ''
  if (clocks.includes('kvm-clock')) return 'kvm'
  if (clocks.includes('hyperv')) return 'microsoft'
  if (tryRead('/sys/hypervisor/type')?.trim() === 'xen') return 'xen'
  if (tryRead('/proc/device-tree/hypervisor/compatible')?.startsWith('linux,kvm')) return 'kvm'
  return named ?? (virtual ? 'vm-other' : undefined)
}

export function inUserNamespace(): boolean {
  const whole = /^\s*0\s+0\s+4294967295\s*$/
  return !whole.test(tryRead('/proc/self/uid_map') ?? '0 0 4294967295')
}

/** As booted; in a container, where that says nothing, the command line of its first process. */
export function kernelCommandLine(): string {
  if (containerName() === undefined) return tryRead('/proc/cmdline')?.trim() ?? ''
  return (tryRead('/proc/1/cmdline') ?? '').replaceAll('\0', ' ').trim()
}

/** False when mains connectors are known and none has power. */
export function hasMainsPower(): boolean {
  const base = '/sys/class/power_supply'
  const mains = namesIn(base).filter((name) => tryRead(`${base}/${name}/type`)?.trim() === 'Mains')
  const online = (name: string) => tryRead(`${base}/${name}/online`)?.trim() === '1'
  return mains.length === 0 || mains.some(online)
}

function namesIn(dir: string): readonly string[] {
  try {
    return readdirSync(dir)
  } catch {
    return []
  }
}

/** Of this process: its own and the supplementary ones. */
export function processGroups(): readonly number[] {
  const own = [process.getgid?.(), process.getegid?.()].filter((gid) => gid !== undefined)
  return [...new Set([...own, ...(process.getgroups?.() ?? [])])]
}

/** Cores that this process may run on. */
export const usableCpus = availableParallelism

const cgroup2Magic = 0x63677270

/** Version 2 is the unified tree alone; the hybrid of both counts as 1. */
export function cgroupSupport(): { version: 1 | 2; controllers: readonly string[] } {
  try {
    if (statfsSync('/sys/fs/cgroup').type === cgroup2Magic) {
      const names = tryRead('/sys/fs/cgroup/cgroup.controllers') ?? ''
      return { version: 2, controllers: names.trim().split(' ') }
    }
  } catch {
    // Nothing is mounted there: then no controller is to be had.
  }
  const lines = (tryRead('/proc/self/cgroup') ?? '').split('\n')
  return { version: 1, controllers: lines.flatMap((line) => line.split(':')[1]?.split(',') ?? []) }
}

/** Percent of that time in which all tasks waited (some, where only that is counted). */
export function pressureShare(
  resource: 'memory' | 'cpu' | 'io',
  overSeconds: 10 | 60 | 300,
): number | undefined {
  const text = tryRead(`/proc/pressure/${resource}`) ?? ''
  const row = /^full .*$/m.exec(text)?.[0] ?? /^some .*$/m.exec(text)?.[0] ?? ''
  const share = new RegExp(`avg${overSeconds}=([0-9.]+)`).exec(row)?.[1]
  return share === undefined ? undefined : Number(share)
}
