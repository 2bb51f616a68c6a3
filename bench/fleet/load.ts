/**
 * Whether a busy machine is taken for a dead one: five machines that have no idle processor for an
 * hour, agents that stand still for up to a second at random moments as a collector of garbage would
 * have them, and questions to all machines each second. Nothing is broken, so nothing may be started
 * anew, neither what may run twice nor what must not.
 *
 *     HOLON_MINUTES=60
 *     HOLON_LOAD_NICE=0   of what keeps the processors busy
 */
import type { ChildProcess } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Lab } from '../../test/lab/harness.ts'
import type { Comparison } from '../measure.ts'
import { withLab } from './with-lab.ts'

const machines = ['n1', 'n2', 'n3', 'n4', 'n5'] as const
const minutes = Number(process.env['HOLON_MINUTES'] ?? 60)
const nice = process.env['HOLON_LOAD_NICE'] ?? '0'
const instances = 10
const units = { 'many.service': 'at-least', 'once.service': 'at-most' } as const
const settleMs = 20_000

export function loadBench(): Promise<readonly Comparison[]> {
  return withLab(machines.length, 'load', async (lab, dir) => {
    const children: ChildProcess[] = []
    try {
      return [await measure(lab, dir, children)]
    } finally {
      for (const child of children) child.kill('SIGKILL')
    }
  })
}

async function measure(lab: Lab, dir: string, children: ChildProcess[]): Promise<Comparison> {
  const log = join(dir, 'starts')
  writeFileSync(log, '')
  for (const [unit, partition] of Object.entries(units)) {
    const path = join(dir, unit)
    const service = `ExecStart=/bin/sh -c 'echo ${unit} >>${log}; exec sleep infinity'`
    const rules = `Instances=${instances}\nPartition=${partition}`
    writeFileSync(path, `[Service]\n${service}\nRestart=always\n[X-Holon]\n${rules}\n`)
    await lab.machine('n1').ok(['enable', '--now', path])
  }
  await sleep(settleMs)
  const begun = starts(log)
  const before = processorTimes()
  for (const name of machines) children.push(...keepBusy(lab, name))
  const pauses = await pauseAgents(lab)
  const after = processorTimes()
  const idle = (after.idle - before.idle) / (after.all - before.all)
  const anew = starts(log) - begun
  const said = lab
    .diary()
    .split('\n')
    .filter((line) => /lease is lost|is silent/.test(line))
  process.stderr.write(
    `${minutes} minutes, ${pauses} pauses, idle ${(100 * idle).toFixed(1)} %, ${begun} started ` +
      `before, ${anew} anew\n${said.join('\n')}\n`,
  )
  const what = `instances started anew in ${minutes} minutes of full load`
  return { what, ours: anew, peer: 0, unit: '', ratio: anew, bar: '0', met: anew === 0 }
}

function keepBusy(lab: Lab, name: string): readonly ChildProcess[] {
  const burn = `exec nice -n ${nice} sha256sum /dev/zero`
  const ask = 'while :; do holon ps -A >/dev/null 2>&1; sleep 1; done'
  return [burn, burn, ask].map((line) => lab.machine(name).startCommand(['bash', '-c', line]))
}

/** How often one stood still. */
async function pauseAgents(lab: Lab): Promise<number> {
  const untilMs = Date.now() + minutes * 60_000
  for (let pauses = 0; ; pauses++) {
    if (Date.now() >= untilMs) return pauses
    const name = machines[Math.floor(Math.random() * machines.length)] ?? 'n1'
    const pause = (0.2 + Math.random() * 0.8).toFixed(2)
    const pid = '$(pgrep -xo holon-agent)'
    await lab.machine(name).shell(`kill -STOP ${pid}; sleep ${pause}; kill -CONT ${pid}`)
    await sleep(5_000)
  }
}

function starts(log: string): number {
  return readFileSync(log, 'utf8').split('\n').length - 1
}

/** In ticks, of all processors together. */
function processorTimes(): { readonly idle: number; readonly all: number } {
  const [line = ''] = readFileSync('/proc/stat', 'utf8').split('\n')
  const times = line.trim().split(/\s+/).slice(1).map(Number)
  return { idle: times[3] ?? 0, all: times.reduce((sum, each) => sum + each, 0) }
}
