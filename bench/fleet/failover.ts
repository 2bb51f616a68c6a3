/**
 * How long instances are missing after a fault, in a lab of five machines: from the moment before the
 * fault until the last replacement has begun to run, as the instances themselves write it down in a
 * file that all machines share (they have one clock). Ten instances that may run twice and ten that
 * must not are spread over the machines; each fault hits one machine, which has some of both.
 *
 *     HOLON_FAULTS=30   how many faults of each kind
 *     HOLON_KINDS=kill,both
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { MachineInfo, UnitStatus } from '../../src/kernel/types.ts'
import type { Lab } from '../../test/lab/harness.ts'
import type { Comparison } from '../measure.ts'
import { withLab } from './with-lab.ts'

const machines = ['n1', 'n2', 'n3', 'n4', 'n5'] as const
const available = 'many.service'
const exclusive = 'once.service'
const units = [available, exclusive] as const
const count = 10
const faults = Number(process.env['HOLON_FAULTS'] ?? 30)

/** The machine that is hit, and how. `leaders`: where units are decided, and etcd's leader. */
const kinds = {
  kill: { hit: (lab, at) => lab.kill(at), pick: (_, usual) => usual },
  freeze: { hit: (lab, at) => lab.freeze(at), pick: (_, usual) => usual },
  cut: { hit: (lab, at) => lab.cut(at), pick: (_, usual) => usual },
  leader: { hit: (lab, at) => lab.kill(at), pick: ({ holon }) => holon },
  'etcd-leader': { hit: (lab, at) => lab.kill(at), pick: ({ etcd }) => etcd },
  both: { hit: (lab, at) => lab.kill(at), pick: ({ holon }) => holon },
} as const satisfies Record<string, Kind>

interface Kind {
  readonly hit: (lab: Lab, machine: string) => Promise<void>
  readonly pick: (leaders: Leaders, usual: string) => string
}

interface Leaders {
  readonly holon: string
  readonly etcd: string
}

interface Start {
  readonly unit: string
  readonly atMs: number
  readonly machine: string
}

export function failoverBench(): Promise<readonly Comparison[]> {
  return withLab(machines.length, 'failover', async (lab, dir) => {
    const bench = new Failovers(lab, dir)
    await bench.begin()
    const rows: Comparison[] = []
    const wanted = process.env['HOLON_KINDS']?.split(',') ?? Object.keys(kinds)
    for (const [name, kind] of Object.entries(kinds)) {
      if (wanted.includes(name)) rows.push(...(await bench.measure(name, kind)))
    }
    return rows
  })
}

class Failovers {
  readonly #lab: Lab
  readonly #dir: string
  readonly #log: string
  #usual = 0

  constructor(lab: Lab, dir: string) {
    this.#lab = lab
    this.#dir = dir
    this.#log = join(dir, 'starts')
    writeFileSync(this.#log, '')
  }

  async begin(): Promise<void> {
    await this.#lab.untilVoters(3)
    for (const unit of units) {
      const note = `echo ${unit} $$(date +%%s%%3N) $$(hostname) >>${this.#log}`
      const partition = unit === exclusive ? 'at-most' : 'at-least'
      const path = join(this.#dir, unit)
      const service = `ExecStart=/bin/sh -c '${note}; exec sleep infinity'\nRestart=always`
      const rules = `Instances=${count}\nMinInstances=0\nPartition=${partition}`
      writeFileSync(path, `[Service]\n${service}\n[X-Holon]\n${rules}\n`)
      await this.#lab.machine('n1').ok(['enable', '--now', path])
    }
  }

  async measure(name: string, kind: Kind): Promise<readonly Comparison[]> {
    const missing = new Map<string, number[]>(units.map((unit) => [unit, []]))
    for (let fault = 1; fault <= faults; fault++) {
      const found = await this.#one(name, kind)
      for (const [unit, ms] of found) missing.get(unit)?.push(ms)
      const said = [...found].map(([unit, ms]) => `${unit} ${(ms / 1000).toFixed(1)} s`)
      process.stderr.write(`${name} ${fault}: ${said.join(', ')}\n`)
    }
    const bars = { [available]: name === 'both' ? 8 : 4, [exclusive]: 12 }
    return units.map((unit) => {
      const sorted = (missing.get(unit) ?? []).toSorted((a, b) => a - b)
      const at = (share: number) =>
        (sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN) /
        1000
      const bar = bars[unit]
      const shown = [0, 0.5, 0.9].map((share) => at(share).toFixed(2)).join(' / ')
      const what = `${name}: ${unit === exclusive ? 'exclusive' : 'available'} again, least / median / p90 ${shown} s; longest of ${sorted.length} / bar`
      const [ours, ratio] = [at(1), at(1) / bar]
      return { what, ours, peer: bar, unit: 's', ratio, bar: '≤ 1 ×', met: ratio <= 1 }
    })
  }

  /** One fault and all that follows, until everything is as before. */
  async #one(name: string, kind: Kind): Promise<ReadonlyMap<string, number>> {
    const leaders = await this.#leaders(name === 'both')
    this.#usual = (this.#usual + 1) % machines.length
    const usual = machines[this.#usual] ?? 'n1'
    const victim = kind.pick(leaders, usual)
    const lost = await this.#spread(victim)
    const began = this.#starts().length
    const beganMs = Date.now()
    await kind.hit(this.#lab, victim)
    const found = new Map<string, number>()
    const untilMs = beganMs + 60_000
    while (found.size < units.length) {
      await sleep(50)
      const starts = this.#starts().slice(began)
      for (const unit of units) {
        const times = starts.flatMap((start) => (start.unit === unit ? [start.atMs] : [])).sort()
        const last = times[(lost.get(unit) ?? 0) - 1]
        if (last !== undefined && !found.has(unit)) found.set(unit, last - beganMs)
      }
      if (Date.now() > untilMs) throw new Error(`${name}: not again in 60 s\n${this.#lab.diary()}`)
    }
    await this.#heal(name, victim)
    return found
  }

  async #heal(name: string, victim: string): Promise<void> {
    if (name === 'freeze') await this.#lab.thaw(victim)
    else if (name === 'cut') await this.#lab.heal()
    else await this.#lab.restart(victim)
    await this.#lab.until(
      'all machines are up and nothing runs too often',
      async () => {
        const up = (await this.#listed()).filter(({ status }) => status === 'up')
        if (up.length < machines.length) return false
        const places = await this.#places('n1')
        return units.every((unit) => places.get(unit)?.length === count)
      },
      90_000,
    )
  }

  /** How many of each unit `victim` has; some, if need be after all were placed anew. */
  async #spread(victim: string): Promise<ReadonlyMap<string, number>> {
    for (let tries = 0; tries < 5; tries++) {
      const places = await this.#places('n1')
      const on = (unit: string) => places.get(unit)?.filter((at) => at === victim).length ?? 0
      const all = units.every((unit) => places.get(unit)?.length === count)
      if (all && units.every((unit) => on(unit) > 0)) {
        return new Map(units.map((unit) => [unit, on(unit)]))
      }
      for (const verb of ['stop', 'start']) {
        for (const unit of units) await this.#lab.machine('n1').ok([verb, unit])
      }
    }
    throw new Error(`nothing is placed on ${victim}\n${this.#lab.diary()}`)
  }

  async #places(asked: string): Promise<ReadonlyMap<string, readonly string[]>> {
    const { stdout } = await this.#lab.machine(asked).holon(['list-units', '--json'])
    const listed = JSON.parse(stdout === '' ? '[]' : stdout) as readonly UnitStatus[]
    return new Map(
      listed.map(({ name, instances }) => [
        name,
        instances.flatMap(({ active, machine }) => (active === 'active' ? [machine] : [])),
      ]),
    )
  }

  #starts(): readonly Start[] {
    const lines = readFileSync(this.#log, 'utf8').split('\n').slice(0, -1)
    return lines.map((line) => {
      const [unit = '', atMs = '', machine = ''] = line.split(' ')
      return { unit, atMs: Number(atMs), machine }
    })
  }

  /** Where units are decided, and etcd's leader; the two on one machine if `together`. */
  async #leaders(together: boolean): Promise<Leaders> {
    for (let tries = 0; tries < 50; tries++) {
      const leaderAt = (await this.#etcdLeader()) ?? 'n1'
      const holon = await this.#etcdctl(leaderAt, 'get holon/d/ --prefix --print-value-only')
      const id = /"machineId":"(\w+)","term"/.exec(holon)?.[1]
      const members = (await this.#etcdctl(leaderAt, 'member list')).split('\n')
      const member = members.find((line) => line.includes(`, ${id},`))
      const at = (await this.#listed()).find((machine) => machine.id === id)?.name
      if (at !== undefined && member !== undefined) {
        if (!together || at === leaderAt) return { holon: at, etcd: leaderAt }
        await this.#etcdctl(leaderAt, `move-leader ${member.split(',')[0]}`)
      }
      await sleep(200)
    }
    throw new Error(`nobody leads\n${this.#lab.diary()}`)
  }

  async #etcdLeader(): Promise<string | undefined> {
    for (const { name: machine } of (await this.#listed()).filter(keepsState)) {
      const status = await this.#etcdctl(machine, 'endpoint status')
      if (status.split(', ')[4] === 'true') return machine
    }
    return undefined
  }

  async #listed(): Promise<readonly MachineInfo[]> {
    const { stdout } = await this.#lab.machine('n1').holon(['machines', '--json'])
    return JSON.parse(stdout === '' ? '[]' : stdout) as readonly MachineInfo[]
  }

  async #etcdctl(machine: string, line: string): Promise<string> {
    const command = `cd /run/holon/etcd && etcdctl --endpoints=unix://client:0 ${line}`
    const options = { env: { ETCDCTL_API: '3' } }
    return (await this.#lab.machine(machine).shell(command, options)).stdout
  }
}

function keepsState({ keepsState: keeps }: MachineInfo): boolean {
  return keeps
}
