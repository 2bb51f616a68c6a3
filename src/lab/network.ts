/**
 * A lab's network: one bridge on the host, a cable from it to each machine, and in each machine the
 * packet filter that makes cuts and loss. The filters live in the machines' own network namespaces,
 * so they never touch the host's, and go with the machine.
 */
import { HolonError } from '../base/errors.ts'
import { findTool, mustRun, runCommand } from '../io/command.ts'
import { isDir, readTextIfThere, writeText } from '../io/files.ts'
import type { Host } from '../io/host.ts'
import { type Filter, filterOf, iptablesScript, isEmpty, nftScript } from './faults.ts'
import { hostsFile, type Running } from './machine.ts'
import {
  addressOf,
  bridgeOf,
  cableOf,
  hostAddressOf,
  type LabRecord,
  machineName,
  machinesMax,
  macOf,
} from './record.ts'

const linkThere = (name: string): boolean => isDir(`/sys/class/net/${name}`)

/** Networks whose bridge is there: not for a new lab, whoever made it. */
export function networkTaken(network: number): boolean {
  return linkThere(`holonlab${network}`)
}

export async function makeBridge(lab: LabRecord): Promise<void> {
  const bridge = bridgeOf(lab)
  await ip([
    `link add ${bridge} type bridge stp_state 0 forward_delay 0`,
    `address add ${hostAddressOf(lab)}/24 dev ${bridge}`,
    `link set ${bridge} up`,
  ])
  await passFilter(bridge, true)
}

/** The bridge and every cable that is left; nothing there is no error. */
export async function removeLinks(lab: LabRecord): Promise<void> {
  const bridge = bridgeOf(lab)
  await passFilter(bridge, false)
  const numbers = Array.from({ length: machinesMax }, (_, index) => index + 1)
  const cables = numbers.map((number) => cableOf(lab, number))
  for (const link of [...cables, bridge].filter(linkThere)) await removeLink(link)
}

async function removeLink(name: string): Promise<void> {
  const { status, stderr } = await runCommand(['ip', 'link', 'delete', name])
  // A machine's end goes with its namespace, and takes the host's end along at any moment.
  if (status !== 0 && linkThere(name)) {
    throw new HolonError('internal', `ip link delete ${name}: ${stderr.trim()}`)
  }
}

/** Where the host filters bridged packets (Docker's doing), ours must pass its FORWARD chain. */
async function passFilter(bridge: string, wanted: boolean): Promise<void> {
  if (readTextIfThere('/proc/sys/net/bridge/bridge-nf-call-iptables')?.trim() !== '1') return
  const rule = ['FORWARD', '-i', bridge, '-o', bridge, '-j', 'ACCEPT']
  try {
    const there = (await runCommand(['iptables', '-w', '-C', ...rule])).status === 0
    if (there !== wanted) await runCommand(['iptables', '-w', wanted ? '-I' : '-D', ...rule])
  } catch {
    // No iptables, then no rules of it either.
  }
}

/** Gives the machine its cable and addresses. Its filter is to be set before. */
export async function plugIn(lab: LabRecord, machine: Running): Promise<void> {
  const { number, initPid } = machine
  const cable = cableOf(lab, number)
  if (linkThere(cable)) await removeLink(cable)
  const mac = macOf(lab, number)
  await ip([
    `link add ${cable} type veth peer name eth0 address ${mac} netns ${initPid}`,
    `link set ${cable} master ${bridgeOf(lab)} up`,
  ])
  await ip(
    ['link set lo up', `address add ${addressOf(lab, number)}/24 dev eth0`, 'link set eth0 up'],
    inNetworkOf(machine),
  )
}

/** From now on nothing it sends arrives anywhere: a power cut tells nobody. */
export async function unplug(lab: LabRecord, number: number): Promise<void> {
  const cable = cableOf(lab, number)
  if (linkThere(cable)) await removeLink(cable)
}

/** All machines of the lab by name, in the one file that each has as its /etc/hosts. */
export function writeHosts(lab: LabRecord): void {
  const lines = [
    '127.0.0.1 localhost',
    '::1 localhost',
    ...lab.machines.map((number) => `${addressOf(lab, number)} ${machineName(number)}`),
    `${hostAddressOf(lab)} host`,
  ]
  // In place, never by renaming: the machines have this very file mounted.
  writeText(hostsFile(lab), `${lines.join('\n')}\n`)
}

/** Makes the machine's filter what the record says. */
export async function applyFaults(host: Host, lab: LabRecord, machine: Running): Promise<void> {
  const filter = filterOf(lab, machine.number)
  const reasons: string[] = []
  for (const apply of [applyNft, applyIptables]) {
    const reason = await apply(host, machine, filter)
    if (reason === undefined) return
    reasons.push(reason)
  }
  // No filter at all is what no fault needs.
  if (isEmpty(filter)) return
  throw new HolonError(
    'unsupported',
    `cannot drop packets for ${machineName(machine.number)}: ${reasons.join('; ')}`,
  )
}

/** Undefined when done, else why not. */
async function applyNft(host: Host, machine: Running, filter: Filter): Promise<string | undefined> {
  const nft = findTool('nft', host.env['PATH'])
  if (nft === undefined) return 'nft is missing (package nftables)'
  const argv = [...inNetworkOf(machine), nft, '-f', '-']
  const { status, stderr } = await runCommand(argv, { input: nftScript(filter) })
  return status === 0 ? undefined : `nft: ${firstLine(stderr)}`
}

async function applyIptables(
  host: Host,
  machine: Running,
  filter: Filter,
): Promise<string | undefined> {
  for (const family of ['iptables', 'ip6tables']) {
    const restore = findTool(`${family}-restore`, host.env['PATH'])
    if (restore === undefined) return `${family} is missing (package iptables)`
    const argv = [...inNetworkOf(machine), restore, '--noflush']
    const { status, stderr } = await runCommand(argv, { input: iptablesScript(filter) })
    if (status !== 0) return `${family}: ${firstLine(stderr)}`
  }
  return undefined
}

function firstLine(text: string): string {
  return text.trim().split('\n')[0] ?? ''
}

/** The filter's and the links' programs are the host's: only the network is the machine's. */
function inNetworkOf({ initPid }: Running): readonly string[] {
  return ['nsenter', '-t', String(initPid), '-n', '--']
}

async function ip(lines: readonly string[], prefix: readonly string[] = []): Promise<void> {
  await mustRun([...prefix, 'ip', '-batch', '-'], { input: `${lines.join('\n')}\n` }, 'unavailable')
}
