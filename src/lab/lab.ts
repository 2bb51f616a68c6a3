/**
 * A lab: machines made of Linux namespaces on one host, each with a real agent, on a network whose
 * faults one chooses. Whatever changes something holds the lab's lock, writes the record before it
 * acts, and can be repeated; `down` needs no more than the lab's name.
 */
import type { Clock } from '../base/clock.ts'
import { HolonError } from '../base/errors.ts'
import { exists } from '../io/files.ts'
import type { Host } from '../io/host.ts'
import { Agents } from './agents.ts'
import { makeDisks, makePlace, removePlace } from './disks.ts'
import { filterOf, heal, isEmpty } from './faults.ts'
import { exclusively } from './lock.ts'
import {
  agentPid,
  boot,
  type EnteredCommand,
  entering,
  freeze,
  isMachineFrozen,
  killLab,
  killMachine,
  type MachineDeps,
  type Program,
  type Running,
  runningMachines,
  thaw,
} from './machine.ts'
import { applyFaults, makeBridge, plugIn, removeLinks, unplug, writeHosts } from './network.ts'
import {
  addressOf,
  checkLabName,
  defaultDisksDir,
  type LabRecord,
  labNames,
  machineName,
  machinesMax,
  numberOf,
  readRecord,
  writeRecord,
} from './record.ts'
import { requireLab, requirePacketFilter } from './requirements.ts'

export interface LabDeps {
  readonly clock: Clock
  readonly host: Host
  readonly program: Program
  /** Progress, a line each. */
  readonly report: (line: string) => void
}

export interface UpOptions {
  readonly machines: number
  readonly join: boolean
  /** Default /var/lib/holon-lab/NAME. */
  readonly disksDir?: string
}

export interface MachineStatus {
  readonly name: string
  readonly address: string
  readonly status: 'up' | 'frozen' | 'off'
  /** As the machine itself sees it; undefined when no agent runs. */
  readonly agentPid?: number
  /** "→ n3", "← *": what is lost, seen from this machine. */
  readonly cuts: readonly string[]
  readonly lossPercent: number
}

export class Lab {
  readonly name: string
  readonly #deps: LabDeps
  readonly #machine: MachineDeps
  readonly #agents: Agents

  /** `permission_denied` or `unsupported`, with what to do, where no lab can be. */
  constructor(deps: LabDeps, name: string) {
    checkLabName(name)
    requireLab(deps.host)
    this.name = name
    this.#deps = deps
    this.#machine = deps
    this.#agents = new Agents(deps, name)
  }

  /** Makes a lab. `already_exists` when there is one, also one that a crash left half made. */
  async up(options: UpOptions): Promise<void> {
    checkCount(options.machines)
    await this.#alone(async () => {
      const disksDir = options.disksDir ?? `${defaultDisksDir}/${this.name}`
      const there = readRecord(this.name)
      if (there !== undefined) {
        throw new HolonError(
          'already_exists',
          `lab ${JSON.stringify(this.name)} is there, with ${there.machines.length} machines; ` +
            `\`holon lab down\` removes it, \`holon lab add\` gives it one more`,
        )
      }
      const { clock } = this.#deps
      // What a `down` that was ended in the middle may have left.
      await killLab(clock, this.name)
      const numbers = Array.from({ length: options.machines }, (_, index) => index + 1)
      const lab = await makePlace(clock, {
        name: this.name,
        disksDir,
        machines: numbers,
        joined: options.join,
      })
      await makeBridge(lab)
      writeHosts(lab)
      await makeDisks(this.#deps.program, lab, numbers)
      await Promise.all(numbers.map((number) => this.#start(lab, number)))
      if (options.join) await this.#agents.join(lab, 1, numbers.slice(1))
    })
  }

  /** One machine more; its name. */
  async add(): Promise<string> {
    return this.#change(async (lab) => {
      const number = (lab.machines.at(-1) ?? 0) + 1
      checkCount(number)
      const grown = { ...lab, machines: [...lab.machines, number] }
      writeRecord(grown)
      writeHosts(grown)
      await makeDisks(this.#deps.program, grown, [number])
      // The others must know of the newcomer where they are cut off from everybody.
      await this.#start(grown, number)
      await this.#applyAll(grown)
      if (grown.joined) await this.#agents.join(grown, this.#someRunning(grown, number), [number])
      return machineName(number)
    })
  }

  /** Ends and removes everything of the lab. False when there was nothing. Once or twice alike. */
  async down(options: { readonly disksDir?: string } = {}): Promise<boolean> {
    return this.#alone(async () => {
      const record = readRecord(this.name)
      await killLab(this.#deps.clock, this.name)
      if (record !== undefined) await removeLinks(record)
      const disksDir = record?.disksDir ?? options.disksDir ?? `${defaultDisksDir}/${this.name}`
      const hadDisks = exists(disksDir)
      await removePlace(this.#deps.clock, this.name, disksDir)
      return record !== undefined || hadDisks
    })
  }

  /** Its machines, in order. */
  status(): readonly MachineStatus[] {
    const lab = this.record()
    const running = runningMachines(this.name)
    return lab.machines.map((number) => {
      const name = machineName(number)
      const initPid = running.get(name)
      const machine = initPid === undefined ? undefined : { number, initPid }
      const agent = machine === undefined ? undefined : agentPid(machine)
      return {
        name,
        address: addressOf(lab, number),
        status:
          machine === undefined ? 'off' : isMachineFrozen(this.name, machine) ? 'frozen' : 'up',
        ...(agent === undefined ? {} : { agentPid: agent }),
        cuts: [
          ...lab.cuts.filter((cut) => cut.from === name).map((cut) => `→ ${cut.to}`),
          ...lab.cuts.filter((cut) => cut.to === name).map((cut) => `← ${cut.from}`),
        ],
        lossPercent: lab.loss[name] ?? 0,
      }
    })
  }

  /** What to run here so that `command` runs in the machine, as root, in its home. */
  enter(name: string, command: readonly string[]): EnteredCommand {
    const machine = this.#running(this.record(), name)
    if (isMachineFrozen(this.name, machine)) {
      throw new HolonError('unavailable', `${name} is frozen; \`holon lab thaw ${name}\` first`)
    }
    return entering(this.#machine, this.name, machine, command)
  }

  /** Power off: nobody is told, nothing is written any more. Off already is no error. */
  async kill(names: readonly string[]): Promise<void> {
    await this.#each(names, (lab, number) => this.#off(lab, number))
  }

  /** Boots it, with its disks as they were, after a power off where it is on. */
  async restart(names: readonly string[]): Promise<void> {
    await this.#each(names, async (lab, number) => {
      await this.#off(lab, number)
      await this.#start(lab, number)
    })
  }

  async freeze(names: readonly string[]): Promise<void> {
    await this.#each(names, (lab, number) =>
      freeze(this.#machine, this.name, this.#running(lab, machineName(number))),
    )
  }

  async thaw(names: readonly string[]): Promise<void> {
    await this.#each(names, (lab, number) =>
      thaw(this.#machine, this.name, this.#running(lab, machineName(number))),
    )
  }

  /** Applies a change of faults (faults.ts) to all machines that run. */
  async fault(change: (lab: LabRecord) => LabRecord): Promise<void> {
    await this.#change(async (before) => {
      const lab = change(before)
      if (lab.machines.some((number) => !isEmpty(filterOf(lab, number)))) {
        requirePacketFilter(this.#deps.host)
      }
      writeRecord(lab)
      await this.#applyAll(lab)
    })
  }

  /** Ends the faults of one machine, or all. */
  async heal(name?: string): Promise<void> {
    await this.fault((lab) => heal(lab, name))
  }

  /** `not_found` with the labs that there are. */
  record(): LabRecord {
    const record = readRecord(this.name)
    if (record !== undefined) return record
    const others = labNames()
    const hint =
      others.length === 0 ? '`holon lab up 3` makes one' : `there is ${others.join(', ')}`
    throw new HolonError('not_found', `there is no lab ${JSON.stringify(this.name)}; ${hint}`)
  }

  async #start(lab: LabRecord, number: number): Promise<void> {
    const initPid = await boot(this.#machine, lab, number)
    // The filter first: a machine that is cut off is so from its first packet on.
    await applyFaults(this.#deps.host, lab, { number, initPid })
    await plugIn(lab, { number, initPid })
    await this.#agents.start({ number, initPid })
    this.#deps.report(`${machineName(number)} is up at ${addressOf(lab, number)}`)
  }

  async #off(lab: LabRecord, number: number): Promise<void> {
    await unplug(lab, number)
    await killMachine(this.#deps.clock, this.name, number)
  }

  async #applyAll(lab: LabRecord): Promise<void> {
    const running = runningMachines(this.name)
    await Promise.all(
      lab.machines.map(async (number) => {
        const initPid = running.get(machineName(number))
        if (initPid !== undefined) await applyFaults(this.#deps.host, lab, { number, initPid })
      }),
    )
  }

  #running(lab: LabRecord, name: string): Running {
    const number = numberOf(lab, name)
    const initPid = runningMachines(this.name).get(name)
    if (initPid !== undefined) return { number, initPid }
    throw new HolonError('unavailable', `${name} is off; \`holon lab restart ${name}\` boots it`)
  }

  /** A machine that can invite. */
  #someRunning(lab: LabRecord, except: number): number {
    const found = this.status().find(
      ({ name, status, cuts }) =>
        status === 'up' && cuts.length === 0 && name !== machineName(except),
    )
    if (found !== undefined) return numberOf(lab, found.name)
    throw new HolonError('unavailable', 'no machine of the lab is up and whole to invite another')
  }

  async #each(
    names: readonly string[],
    work: (lab: LabRecord, number: number) => Promise<void>,
  ): Promise<void> {
    await this.#change(async (lab) => {
      const numbers = names.map((name) => numberOf(lab, name))
      await Promise.all(numbers.map((number) => work(lab, number)))
    })
  }

  #change<T>(work: (lab: LabRecord) => Promise<T>): Promise<T> {
    return this.#alone(() => work(this.record()))
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    return exclusively(this.#deps.clock, `lab ${JSON.stringify(this.name)}`, work)
  }
}

function checkCount(count: number): void {
  if (Number.isInteger(count) && count >= 1 && count <= machinesMax) return
  throw new HolonError(
    'invalid_argument',
    `a lab has from 1 to ${machinesMax} machines: ${count} is not possible`,
  )
}
