/**
 * Whether a busy machine is taken for a dead one: five machines that have no idle processor for an
 * hour, agents that stand still for up to a second at random moments as a collector of garbage would
 * have them, and questions to all machines each second. Nothing is broken, so nothing may be started
 * anew, neither what may run twice nor what must not. The disks are in memory: machines of a lab
 * have one disk together, which answers none of them for seconds when others write a lot to it.
 *
 *     HOLON_MINUTES=60
 *     HOLON_LOAD_NICE=0   of what keeps the processors busy
 */
import { type ChildProcess, execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Lab } from '../../test/lab/harness.ts'
import type { Comparison } from '../measure.ts'

const machines = ['n1', 'n2', 'n3', 'n4', 'n5'] as const
const minutes = Number(process.env['HOLON_MINUTES'] ?? 60)
const nice = process.env['HOLON_LOAD_NICE'] ?? '0'
const instances = 10
const units = { 'many.service': 'at-least', 'once.service': 'at-most' } as const
const settleMs = 20_000

export async function loadBench(): Promise<readonly Comparison[]> {
  const dir = mkdtempSync('/opt/holon-load-')
  const log = join(dir, 'starts')
  const disks = join(dir, 'disks')
  mkdirSync(disks)
  execFileSync('mount', ['-t', 'tmpfs', 'holon-bench', disks])
  const children: ChildProcess[] = []
  try {
    await using lab = await Lab.up(machines.length, { name: 'load', dir: join(disks, 'lab') })
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
    for (const name of machines) {
      const machine = lab.machine(name)
      const loop = (what: string) => machine.startCommand(['bash', '-c', what])
      for (let each = 0; each < 2; each++)
        children.push(loop(`exec nice -n ${nice} sha256sum /dev/zero`))
      children.push(loop('while :; do holon ps -A >/dev/null 2>&1; sleep 1; done'))
    }
    const untilMs = Date.now() + minutes * 60_000
    let pauses = 0
    while (Date.now() < untilMs) {
      const name = machines[Math.floor(Math.random() * machines.length)] ?? 'n1'
      const pause = (0.2 + Math.random() * 0.8).toFixed(2)
      const pid = '$(pgrep -xo holon-agent)'
      await lab.machine(name).shell(`kill -STOP ${pid}; sleep ${pause}; kill -CONT ${pid}`)
      pauses += 1
      await sleep(5_000)
    }
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
    return [{ what, ours: anew, peer: 0, unit: '', ratio: anew, bar: '0', met: anew === 0 }]
  } finally {
    for (const child of children) child.kill('SIGKILL')
    execFileSync('umount', [disks])
    rmSync(dir, { recursive: true, force: true })
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
