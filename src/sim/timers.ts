/**
 * Timers under leaders that die, at any moment and in the middle of firing: each moment of a
 * calendar is acted on exactly once, and each round that it begins is run, and over in the end.
 */
import { SimFleet, someMachines } from './fleet.ts'
import type { SimMachine } from './machine.ts'
import { resultOf, type SimResult, someEngine } from './run.ts'
import { World } from './world.ts'

/** So often a leader dies in each. */
export const leaderCrashes = 10

const crashPauseMsMin = 500
const crashPauseMsMax = 6_000
const downMsMax = 5_000
const delayMsMax = 3_000
const calmMs = 4_000
const settleMs = 60_000
const lookMs = 500
/** Dates of machines are wrong by up to half of it: who leads in the end may be behind. */
const behindMsMax = 12_000

const second = ['OnCalendar=*:*:0/2', 'AccuracySec=5min']

/** `isOnce`: its service runs where nothing happens, so each round is started exactly once. */
const timers = [
  {
    // Every moment, one after another, whatever is missed.
    name: 'all',
    timer: [...second, '[X-Holon]', 'OnMissed=run-all'],
    service: ['[X-Holon]', 'Require=calm=yes', '[X-Sim]', 'RunsSec=300ms'],
    isWhole: true,
    isOnce: true,
  },
  {
    // Every moment, at once.
    name: 'beside',
    timer: [...second, '[X-Holon]', 'Overlap=allow'],
    service: ['[X-Sim]', 'RunsSec=3s'],
    isWhole: true,
    isOnce: false,
  },
  {
    // One round takes longer than the time between two moments.
    name: 'long',
    timer: second,
    service: ['[X-Holon]', 'Require=calm=yes', '[X-Sim]', 'RunsSec=2500ms'],
    isWhole: false,
    isOnce: true,
  },
  {
    name: 'alone',
    timer: [...second, '[X-Holon]', 'Overlap=skip'],
    service: ['[X-Holon]', 'Partition=at-most', '[X-Sim]', 'RunsSec=1s'],
    isWhole: false,
    isOnce: false,
  },
  {
    name: 'span',
    timer: ['OnActiveSec=1s', 'OnUnitInactiveSec=2s'],
    service: ['[X-Holon]', 'Instances=2', '[X-Sim]', 'RunsSec=500ms'],
    isWhole: false,
    isOnce: false,
  },
] as const

export async function simulateTimers(seed: number): Promise<SimResult> {
  const world = new World(seed)
  const calm = Math.floor(world.between(1, 3))
  const machines = someMachines(3 + calm, 0).map((machine, i) =>
    i < 3 ? machine : { ...machine, labels: { calm: 'yes' } },
  )
  const engine = someEngine(world)
  const dateErrorMs = world.chance(0.5) ? 100 : behindMsMax / 2
  const model = { machines, keepers: 3, clockRateError: 0.01, dateErrorMs }
  const fleet = new SimFleet(world, model)
  const step = () => fleet.checks.step()
  fleet.boot()
  await world.run(calmMs, step)
  for (const { name, timer, service } of timers) void give(fleet, name, timer, service)
  await world.run(world.nowMs + calmMs, step)
  fleet.weather = { ...engine }
  for (let crashes = 0; crashes < leaderCrashes; ) {
    await world.run(world.nowMs + world.between(crashPauseMsMin, crashPauseMsMax), step)
    if (await crashLeader(world, fleet, step)) crashes += 1
  }
  fleet.heal()
  const beganMs = world.nowMs
  let unmet: string | undefined
  do {
    await world.run(world.nowMs + lookMs, step)
    unmet = behind(fleet)
  } while (unmet !== undefined && world.nowMs - beganMs < settleMs)
  if (unmet !== undefined) fleet.checks.missed(unmet)
  await end(world, fleet, step)
  for (const { name, ...how } of timers) {
    const wrong = fleet.checks.timers.wrong(`${name}.timer`, how)
    if (wrong !== undefined) fleet.checks.violate('timers', wrong)
  }
  fleet.operators.outcomes.set('leader crashes', leaderCrashes)
  const drawn = { machines: machines.length, dateErrorMs, engine }
  return resultOf(seed, drawn, world, fleet, world.nowMs - beganMs)
}

async function give(
  { operators }: SimFleet,
  name: string,
  timer: readonly string[],
  service: readonly string[],
): Promise<void> {
  const unit = ['[Service]', 'Type=oneshot', 'ExecStart=/usr/bin/program', ...service, '']
  await operators.insist(() => operators.load(`${name}.service`, unit.join('\n')))
  await operators.start(`${name}.timer`, ['[Timer]', ...timer, ''].join('\n'))
}

/** Whether one died: in the middle of what it writes, or just so. */
async function crashLeader(world: World, fleet: SimFleet, step: () => void): Promise<boolean> {
  const leader = fleet.leader()
  if (leader === undefined) return false
  const how = world.pick(['claimed', 'claimed', 'sent', 'decided', 'now', 'now'] as const) ?? 'now'
  if (how === 'now') {
    die(world, leader)
    return true
  }
  let died = false
  const happens = (machine: SimMachine) => {
    if (machine !== leader) return
    died = true
    die(world, machine)
  }
  fleet.trap(how, { happens, delayMs: world.between(0, delayMsMax) })
  for (let i = 0; i < 10 && !died; i++) await world.run(world.nowMs + lookMs, step)
  return died
}

function die(world: World, machine: SimMachine): void {
  const downMs = world.between(100, downMsMax)
  const kind = world.pick(['power', 'agent', 'freeze'] as const)
  if (kind === 'power') {
    machine.crash()
    world.after(downMs, () => machine.boot())
  } else if (kind === 'agent') {
    machine.killAgent()
    world.after(downMs, () => machine.startAgent())
  } else {
    // It wakes up and believes that it leads.
    machine.freeze('machine')
    world.after(downMs, () => machine.thaw())
  }
}

/** No moment comes any more, and every round is over. */
async function end(world: World, fleet: SimFleet, step: () => void): Promise<void> {
  const { checks, operators } = fleet
  for (const { name } of timers) {
    void operators.insist(() => operators.want(`${name}.timer`, false))
  }
  await world.run(world.nowMs + calmMs, step)
  const untilMs = world.nowMs + settleMs
  const isBusy = () => timers.filter(({ name }) => !checks.timers.isIdle(`${name}.service`))
  while (isBusy().length > 0 && world.nowMs < untilMs) await world.run(world.nowMs + lookMs, step)
  const [busy] = isBusy()
  if (busy !== undefined) checks.missed(`${busy.name}.service is not over`)
}

/** What is still to be done when nothing goes wrong any more. */
function behind(fleet: SimFleet): string | undefined {
  const { timers: ledger } = fleet.checks
  const nowMs = Math.min(...fleet.machines.map(({ oscillator }) => oscillator.wallMs()))
  const late = timers.filter(({ name, isWhole }) => {
    return isWhole && ledger.lastMs(`${name}.timer`) < nowMs - behindMsMax
  })
  if (late.length > 0) return `${late.map(({ name }) => name).join(', ')} is behind`
  return undefined
}
