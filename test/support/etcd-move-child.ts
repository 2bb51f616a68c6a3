/**
 * `etcd-move-child.ts ROOT PORT STEP`: an agent that moves its fleet's State to etcd and is killed
 * when it has reached STEP.
 */

import { moveToManaged } from '../../src/cluster/etcd/move.ts'
import { openFleetState } from '../../src/cluster/etcd/open-fleet.ts'
import { realClock } from '../../src/io/clock.ts'
import { databasePath } from '../../src/io/paths.ts'
import { realRandom } from '../../src/io/random.ts'
import { openEmbedded } from '../../src/state/open.ts'
import { BenchMachine, limit } from './etcd-bench.ts'

const [root = '', port = '', dieAt = ''] = process.argv.slice(2)
const machine = new BenchMachine(root, 'n1', Number(port), '')
const embedded = await openEmbedded({ path: databasePath(machine.stateDir) })
const never = () => Promise.reject(new Error('not here'))
const managed = async () => {
  using bound = limit()
  await machine.member.open(bound)
  return machine.openEngine()
}
const engines = { embedded, managed, external: never, link: never }
const fleet = await openFleetState(machine.stateDir, engines)
using bound = limit(60_000)
const atStep = (step: string) => {
  if (step === dieAt) process.kill(process.pid, 'SIGKILL')
}
await moveToManaged({ clock: realClock, random: realRandom, atStep }, fleet, embedded, {
  ...bound,
  stateDir: machine.stateDir,
  clusterId: 'test',
  writer: 'test',
  member: machine.member,
  machineId: machine.machineId,
  peerUrl: machine.peerUrl,
  listenPeer: machine.listenPeer,
  openEngine: machine.openEngine,
})
process.exit(0)
