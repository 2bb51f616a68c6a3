/**
 * Whose instances would have to go so that one of a higher priority fits: none of an equal priority
 * ever, and no more than needed. Somebody else decides whether they go.
 */

import type { Board } from './board.ts'
import type { BoardMachine } from './board-machine.ts'
import { lacking } from './board-machine.ts'
import type { BoardUnit } from './board-unit.ts'
import { refusal } from './fit.ts'

export interface Victim {
  readonly unit: string
  readonly slot: number
}

export interface MakingRoom {
  readonly machineId: string
  /** The ones that matter least first. */
  readonly victims: readonly Victim[]
}

interface BoardVictim {
  readonly unit: BoardUnit
  readonly slot: number
}

interface Way {
  readonly machine: BoardMachine
  readonly victims: readonly BoardVictim[]
}

/** Machines on which it would work that are compared; the first found ones are as good as any. */
const waysMax = 32

/** Undefined when it helps nowhere, or when something else than room is missing. */
export function makeRoom(
  board: Board,
  unit: BoardUnit,
  avoid: ReadonlySet<string>,
): MakingRoom | undefined {
  const { cpus, memoryBytes } = unit.rules.reserve
  if (cpus === 0 && memoryBytes === 0) return undefined
  if (!hasLower(board, unit)) return undefined
  const ways: Way[] = []
  for (const machine of board.machines.values()) {
    if (refusal(board, unit, machine, avoid) !== 'room') continue
    const victims = victimsOn(machine, unit)
    if (victims.length > 0) ways.push({ machine, victims })
    if (ways.length === waysMax) break
  }
  const [best] = ways.sort((a, b) => compareWays(unit, a, b))
  if (best === undefined) return undefined
  const victims = best.victims.map((victim) => ({ unit: victim.unit.name, slot: victim.slot }))
  return { machineId: best.machine.id, victims }
}

function hasLower(board: Board, { rules }: BoardUnit): boolean {
  for (const other of board.units.values()) {
    if (other.machines > 0 && other.rules.priority < rules.priority) return true
  }
  return false
}

/** Empty when all of them together are not enough. */
function victimsOn(machine: BoardMachine, { rules }: BoardUnit): readonly BoardVictim[] {
  const lower = [...machine.units.keys()]
    .filter((other) => other.rules.priority < rules.priority && !rules.with.includes(other.name))
    .sort((a, b) => a.rules.priority - b.rules.priority || (a.name < b.name ? -1 : 1))
  const room = { ...machine.room }
  const victims: BoardVictim[] = []
  for (const other of lower) {
    for (const slot of slotsOn(other, machine)) {
      const missing = lacking(room, rules.reserve)
      if (missing === undefined) break
      const { cpus, memoryBytes } = other.rules.reserve
      if (cpus === 0 && memoryBytes === 0) break
      victims.push({ unit: other, slot })
      room.cpus += cpus
      room.memoryBytes += memoryBytes
    }
  }
  if (lacking(room, rules.reserve) !== undefined) return []
  // An early one may not be needed after a larger one that came later.
  return victims.filter(
    ({
      unit: {
        rules: { reserve },
      },
    }) => {
      const without = {
        cpus: room.cpus - reserve.cpus,
        memoryBytes: room.memoryBytes - reserve.memoryBytes,
      }
      if (lacking(without, rules.reserve) !== undefined) return true
      Object.assign(room, without)
      return false
    },
  )
}

/** The highest numbers first, as with any surplus. */
function slotsOn(unit: BoardUnit, machine: BoardMachine): readonly number[] {
  const slots = [...unit.slots].filter(([, machines]) => machines.includes(machine))
  return slots.map(([slot]) => slot).sort((a, b) => b - a)
}

function compareWays(unit: BoardUnit, a: Way, b: Way): number {
  const highest = ({ victims }: Way) => Math.max(...victims.map((each) => each.unit.rules.priority))
  return (
    a.machine.hosted(unit) - b.machine.hosted(unit) ||
    highest(a) - highest(b) ||
    a.victims.length - b.victims.length ||
    (a.machine.name < b.machine.name ? -1 : 1)
  )
}
