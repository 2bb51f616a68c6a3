/**
 * Machines that were off for a month, or for years, come back by themselves. Time passes in two
 * ways here: certificates are put back to an earlier date while their machine is off, also etcd's;
 * and clocks are really moved, where a fleet has one etcd, which libfaketime does not reach.
 * Needs root.
 */
import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fleetSeries } from '../../src/cluster/etcd/fleet-backup.ts'
import {
  issuePeerCertificate,
  parseCertificatePair,
} from '../../src/cluster/etcd/peer-certificates.ts'
import { issueCertificate } from '../../src/cluster/identity/certificates.ts'
import { loadIdentity } from '../../src/cluster/identity/identity.ts'
import { caKey, parseCa } from '../../src/cluster/join/authority.ts'
import { findBackup } from '../../src/state/backup.ts'
import { Lab, labName, noLab } from './harness.ts'
import {
  faketime,
  invite,
  joined,
  machinesOf,
  untilKeepers,
  untilReached,
  untilSeen,
  withClock,
} from './join-support.ts'

const name = labName('state-years')
const dayMs = 24 * 3600_000

function stateDir(lab: Lab, machine: string): string {
  return join(lab.record().disksDir, machine, 'state')
}

/** What a machine that is off has of certificates is older by so much. */
async function putBack(lab: Lab, machine: string, keeper: string, ageMs: number): Promise<void> {
  const nowMs = Date.now() - ageMs
  const dir = stateDir(lab, machine)
  const { dump } = findBackup(join(stateDir(lab, keeper), 'backup'), fleetSeries)
  const ca = parseCa(dump.entries.find(({ key }) => key === caKey)?.value)
  const identity = loadIdentity(join(dir, 'identity'))
  assert.ok(identity !== undefined)
  const { machineId, clusterId, key } = identity
  identity.replace(
    await issueCertificate({ ca, machineId, publicKey: key.publicKey, clusterId, nowMs }),
  )
  const tls = join(dir, 'etcd/tls')
  if (!existsSync(join(tls, 'peer.pem'))) return
  const stateCa = parseCertificatePair(JSON.parse(readFileSync(join(tls, 'ca.json'), 'utf8')), tls)
  const keyPem = readFileSync(join(tls, 'peer.key'), 'utf8')
  const hosts = [`10.77.${lab.record().network}.${machine.slice(1)}`]
  const { certPem } = await issuePeerCertificate(stateCa, { hosts, nowMs, keyPem })
  writeFileSync(join(tls, 'peer.pem'), certPem)
}

test('one machine is off for two years, then the whole fleet for a month: all come back', {
  skip: noLab,
}, async () => {
  await Lab.with(4, { name }, async (lab) => {
    const all = ['n1', 'n2', 'n3', 'n4']
    const keepers = await untilKeepers(lab, 'n1', 3)
    const [keeper = ''] = keepers
    const plain = all.find((each) => !keepers.includes(each)) ?? ''
    const others = all.filter((each) => each !== plain)
    await lab.machine('n1').ok(['machines', 'label', plain, 'old=yes'])

    await lab.kill(plain)
    await putBack(lab, plain, keeper, 730 * dayMs)
    await lab.restart(plain)
    await untilReached(lab, others, [plain])
    await untilReached(lab, [plain], others)

    await lab.kill(...all)
    for (const each of all) await putBack(lab, each, keeper, 30 * dayMs)
    await lab.restart(...all)
    await untilSeen(lab, all, all, 30_000)
    await untilReached(lab, all, all)
    await lab.machine(plain).ok(['machines', 'label', plain, 'new=yes'])
    const rows = await machinesOf(lab.machine('n1'))
    assert.deepEqual(rows?.find((row) => row.name === plain)?.labels, { old: 'yes', new: 'yes' })
    assert.equal(rows?.filter(({ keepsState }) => keepsState).length, 3)
  })
})

test('clocks go on by two years while both machines are off: they are one fleet again', {
  skip: noLab || (faketime === undefined && 'needs faketime'),
}, async () => {
  await Lab.with(2, { name, join: false }, async (lab) => {
    const [n1, n2] = [lab.machine('n1'), lab.machine('n2')]
    for (const machine of [n1, n2]) await withClock(machine, '-2y')
    await joined(n2, await invite(n1), ['--label', 'old=yes'])
    await untilSeen(lab, ['n1', 'n2'])
    await lab.kill('n1', 'n2')
    await lab.restart('n1', 'n2')
    await untilReached(lab, ['n1'], ['n2'], 20_000)
    await untilReached(lab, ['n2'], ['n1'])
    await untilSeen(lab, ['n1', 'n2'])
    const rows = await machinesOf(n1)
    assert.deepEqual(rows?.find((row) => row.name === 'n2')?.labels, { old: 'yes' })
    await n2.ok(['machines', 'label', 'n2', 'new=yes'])
  })
})
