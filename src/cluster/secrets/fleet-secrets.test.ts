/** Machines of a fleet around one simulated state: who can open what, and what is kept where. */
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { HolonError } from '../../base/errors.ts'
import { realClock } from '../../io/clock.ts'
import { realRandom } from '../../io/random.ts'
import { SimulatedState, SimulatedStore } from '../../state/simulated.ts'
import { loadOrMakeMachineKey } from '../identity/machine-key.ts'
import type { MachineRecord } from '../members.ts'
import { type SlotRecord, slotChange } from '../reconcile/records.ts'
import { SpecTexts } from '../reconcile/spec-texts.ts'
import { UnitVerbs } from '../reconcile/verbs.ts'
import { secretFiles, textFiles } from '../reconcile/work-files.ts'
import { FleetSecrets, secretsInText } from './fleet-secrets.ts'
import { InstanceSecrets, type SecretHolder } from './instance-secrets.ts'
import { SecretsTarget } from './secrets-target.ts'

const { signal } = new AbortController()
const plain = 'correct horse battery staple'
const base64 = Buffer.from(plain).toString('base64')

/** A fleet whose first machines keep the state. */
class Fleet implements AsyncDisposable {
  readonly dir = mkdtempSync(join(tmpdir(), 'holon-secrets-'))
  readonly store = new SimulatedStore()
  readonly state = new SimulatedState({ clock: realClock, random: realRandom }, this.store)
  readonly said: string[] = []
  readonly names: readonly string[]
  keepers: readonly string[]
  readonly machines: MachineRecord[]

  constructor(names: readonly string[], keepers: number) {
    this.names = names
    this.machines = names.map((name) => {
      const { machineId, publicKey } = this.key(name)
      const rest = { addresses: [], zone: '', labels: {}, version: '', joinedAtMs: 0 }
      return { machineId, publicKey, name, ...rest }
    })
    this.keepers = this.machines.slice(0, keepers).map(({ machineId }) => machineId)
  }

  key(name: string) {
    return loadOrMakeMachineKey(join(this.dir, name, 'identity'))
  }

  id(name: string): string {
    return this.key(name).machineId
  }

  secrets(name: string): FleetSecrets {
    const { state } = this
    const deps = { clock: realClock, random: realRandom, state }
    const report = (message: string) => this.said.push(message)
    return new FleetSecrets({
      ...deps,
      writer: `agent ${name}`,
      key: this.key(name),
      machines: () => this.machines,
      keepers: () => this.keepers,
      texts: new SpecTexts(state, textFiles(join(this.dir, name)), report),
      verbs: new UnitVerbs(deps, `agent ${name}`),
    })
  }

  /** As the kernel has them. */
  target(name: string): SecretsTarget {
    return new SecretsTarget(this.secrets(name), `uid 0 on ${name}`)
  }

  ofInstances(name: string, holders: readonly SecretHolder[]): InstanceSecrets {
    return new InstanceSecrets({
      clock: realClock,
      key: this.key(name),
      memory: secretFiles(join(this.dir, name)),
      holders: () => holders,
      report: (message) => this.said.push(message),
    })
  }

  holder(name: string, asker: string): SecretHolder {
    return (wish, options) => this.secrets(name).openFor(this.id(asker), wish, options)
  }

  async place(unit: string, text: string, machine: string): Promise<void> {
    const verbs = new UnitVerbs(
      { clock: realClock, random: realRandom, state: this.state },
      'agent n1',
    )
    const { spec } = await verbs.load({ unit, text }, 'uid 0', { signal })
    const [before] = await verbs.slots(unit, { signal })
    const after: SlotRecord = {
      unit,
      slot: 1,
      machineId: this.id(machine),
      generation: 1,
      spec,
      exclusive: false,
      wish: 'run',
      why: '',
      atMs: 0,
    }
    const operationId = `place-${Math.floor(1e9 * realRandom.next())}`
    const txn = { ...slotChange(before, after), operationId, writer: 'agent n1' }
    assert.equal((await this.state.txn(txn, { signal })).kind, 'done')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.state.close()
    rmSync(this.dir, { recursive: true })
  }
}

const text = '[Service]\nExecStart=/bin/a\nLoadCredential=db\n'
const wish = { name: 'db', unit: 'web.service', slot: 1 }

function denied(error: unknown): boolean {
  return error instanceof HolonError && error.code === 'permission_denied'
}

test('a secret is set anywhere, listed without its value, opened where the key is', async () => {
  await using fleet = new Fleet(['n1', 'n2', 'n3', 'n4'], 3)
  const n4 = fleet.target('n4')
  assert.equal((await n4.set('db', base64, { signal })).version, 1)
  assert.equal((await fleet.target('n2').set('db', base64, { signal })).version, 2)
  const [info, ...others] = await n4.list({ signal })
  assert.equal(others.length, 0)
  assert.deepEqual(
    { ...info, changedAtMs: 0 },
    {
      name: 'db',
      version: 2,
      bytes: plain.length,
      changedAtMs: 0,
      by: 'uid 0 on n2',
    },
  )
  for (const name of ['n1', 'n2', 'n3']) {
    assert.deepEqual(await fleet.target(name).show('db', { signal }), { version: 2, base64 })
  }
  await assert.rejects(n4.show('db', { signal }), {
    code: 'unsupported',
    message: /n1, n2, n3 can/,
  })
  await assert.rejects(fleet.target('n1').show('no', { signal }), {
    code: 'not_found',
    message: /`holon secret set no`/,
  })
})

test('an export of State has nothing of a secret, nor of a key that opens one', async () => {
  await using fleet = new Fleet(['n1', 'n2'], 1)
  await fleet.target('n2').set('db', base64, { signal })
  const dump = JSON.stringify(await fleet.state.export({ signal }))
  for (const part of [plain, base64, Buffer.from(plain).toString('hex'), 'PRIVATE KEY']) {
    assert.ok(!dump.includes(part), part)
  }
})

test('SecretStore set() refuses odd names and large values', async () => {
  await using fleet = new Fleet(['n1'], 1)
  const n1 = fleet.target('n1')
  await assert.rejects(n1.set('a/b', base64, { signal }), { code: 'invalid_argument' })
  const large = Buffer.alloc(64 * 1024 + 1).toString('base64')
  await assert.rejects(n1.set('a', large, { signal }), { code: 'exhausted' })
  const most = Buffer.alloc(64 * 1024, 7).toString('base64')
  await n1.set('a', most, { signal })
  assert.equal((await n1.show('a', { signal })).base64, most)
})

test('remove() is refused while a unit names the secret', async () => {
  await using fleet = new Fleet(['n1'], 1)
  const n1 = fleet.target('n1')
  await n1.set('db', base64, { signal })
  await fleet.place('web.service', text, 'n1')
  await assert.rejects(n1.remove('db', { force: false }, { signal }), {
    code: 'conflict',
    message: /web\.service .*--force/,
  })
  await n1.remove('db', { force: true }, { signal })
  assert.deepEqual(await n1.list({ signal }), [])
  await n1.remove('none', { force: false }, { signal })
})

test('openFor() gives a secret for an instance that belongs to the asker, else not', async () => {
  await using fleet = new Fleet(['n1', 'n2', 'n3'], 1)
  await fleet.target('n1').set('db', base64, { signal })
  await fleet.target('n1').set('other', base64, { signal })
  await fleet.place('web.service', text, 'n2')
  const n1 = fleet.secrets('n1')
  const open = (asker: string, change: Partial<typeof wish> = {}) =>
    n1.openFor(fleet.id(asker), { ...wish, ...change }, { signal })
  assert.equal((await open('n2')).base64, base64)
  await assert.rejects(open('n3'), denied, 'a machine without the slot')
  await assert.rejects(open('n1'), denied, 'not even the one that keeps the state')
  await assert.rejects(open('n2', { name: 'other' }), denied, 'its text does not name it')
  await assert.rejects(open('n2', { slot: 2 }), denied, 'no such slot')
  await assert.rejects(open('n2', { unit: 'none.service' }), denied, 'no such unit')
  await fleet.place('web.service', text, 'n3')
  assert.equal((await open('n3')).base64, base64)
  await assert.rejects(open('n2'), denied, 'it moved away')
  await fleet.place('web.service', text.replace('=db', '=x:other'), 'n3')
  await assert.rejects(open('n3'), denied, 'the new text does not name it')
  const withoutKey = fleet.secrets('n2').openFor(fleet.id('n3'), wish, { signal })
  await assert.rejects(withoutKey, { code: 'unsupported' })
})

test('openFor() says what to type where no secret was ever set', async () => {
  await using fleet = new Fleet(['n1'], 1)
  await fleet.place('web.service', text, 'n1')
  const open = fleet.secrets('n1').openFor(fleet.id('n1'), wish, { signal })
  await assert.rejects(open, { code: 'not_found', message: /`holon secret set db` makes it/ })
})

test('share() gives the key to who keeps the state now, not to who is gone', async () => {
  await using fleet = new Fleet(['n1', 'n2', 'n3'], 1)
  await fleet.target('n1').set('db', base64, { signal })
  fleet.keepers = fleet.machines.map(({ machineId }) => machineId)
  await fleet.secrets('n2').key.share(signal)
  assert.deepEqual(await fleet.secrets('n1').key.holders(signal), ['n1'], 'n2 has nothing to share')
  await fleet.secrets('n1').key.share(signal)
  assert.equal((await fleet.target('n3').show('db', { signal })).base64, base64)
  fleet.machines.shift()
  await fleet.secrets('n3').key.share(signal)
  assert.deepEqual(await fleet.secrets('n1').key.holders(signal), ['n2', 'n3'])
  assert.equal((await fleet.target('n2').show('db', { signal })).base64, base64)
  await assert.rejects(fleet.target('n1').show('db', { signal }), { code: 'unsupported' })
})

test('InstanceSecrets uses its copy while nobody can be asked', async () => {
  await using fleet = new Fleet(['n1', 'n2', 'n3'], 2)
  await fleet.target('n1').set('db', base64, { signal })
  await fleet.place('web.service', text, 'n3')
  const order = { unit: 'web.service', slot: 1, text }
  const away: SecretHolder = async () => {
    throw new HolonError('unavailable', 'it is away')
  }
  const expired: SecretHolder = async () => {
    throw new HolonError('permission_denied', 'its certificate has expired')
  }
  const n2 = fleet.holder('n2', 'n3')
  const value = async (...holders: SecretHolder[]) =>
    Buffer.from(
      (await fleet.ofInstances('n3', holders).of(order, signal)).get('db') ?? '',
    ).toString()
  await assert.rejects(value(away), { code: 'unavailable' }, 'there is no copy yet')
  assert.equal(await value(away, n2), plain)
  assert.equal(await value(away, expired), plain, 'from the copy')
  assert.match(fleet.said.join('\n'), /web\.service\/1 has the secret db as it was: /)
  const files = readdirSync(join(fleet.dir, 'n3'), { recursive: true }).map(String)
  for (const file of files.map((name) => join(fleet.dir, 'n3', name))) {
    if (statSync(file).isFile()) assert.ok(!readFileSync(file).includes(plain), file)
  }
  // Moved away: the copy goes with the right to it.
  await fleet.place('web.service', text, 'n1')
  await assert.rejects(value(n2), denied)
  await assert.rejects(value(away), { code: 'unavailable' })
  await fleet.place('web.service', text, 'n3')
  assert.equal(await value(n2), plain)
  await fleet.target('n1').remove('db', { force: true }, { signal })
  assert.equal(await value(n2), '', 'there is none: the instance is refused, or has its default')
  assert.doesNotMatch(fleet.said.join('\n'), new RegExp(plain))
})

test('SecretMemory keepOnly() removes the copies of instances that went', () => {
  const dir = mkdtempSync(join(tmpdir(), 'holon-secret-files-'))
  try {
    const memory = secretFiles(dir)
    const at = (unit: string, slot: number) => ({ unit, slot, name: 'db' })
    memory.keepOnly([])
    for (const one of [at('a.service', 1), at('a.service', 2), at('b.service', 1)]) {
      memory.write(one, 'sealed')
    }
    memory.keepOnly([{ unit: 'a.service', slot: 2 }])
    assert.deepEqual(readdirSync(join(dir, 'secrets')), ['a.service'])
    assert.equal(memory.read(at('a.service', 1)), undefined)
    assert.equal(memory.read(at('a.service', 2)), 'sealed')
  } finally {
    rmSync(dir, { recursive: true })
  }
})

test('secretsInText() has none for a text that cannot be read', () => {
  assert.deepEqual(secretsInText('web.service', text), ['db'])
  assert.deepEqual(secretsInText('web.service', `${text}Nonsense=1\n`), [])
  assert.deepEqual(secretsInText('web.service', ''), [])
})
