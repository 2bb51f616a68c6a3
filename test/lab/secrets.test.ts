/**
 * Secrets on real machines with a real etcd: given to the machine that has the instance, found
 * nowhere on a disk, there again after a boot without the state, and after a restore. Needs root.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { Lab, labName, noLab } from './harness.ts'
import { untilKeepers } from './join-support.ts'

const password = 'correct-horse-battery-staple'
const machines = ['n1', 'n2', 'n3', 'n4', 'n5']
const hash = createHash('sha256').update(password).digest('hex')

/** Files of a machine's disk that have the password, as it is or in a usual disguise. */
function withPlaintext(lab: Lab, machine: string): readonly string[] {
  const bytes = Buffer.from(password)
  const forms = [password, bytes.toString('base64').slice(0, -4), bytes.toString('hex')]
  const disk = join(lab.record().disksDir, machine)
  return readdirSync(disk, { recursive: true })
    .map((name) => join(disk, String(name)))
    .filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile())
    .filter((path) => forms.some((form) => readFileSync(path).includes(form)))
}

function backupsOf(lab: Lab, machine: string): readonly string[] {
  const disk = join(lab.record().disksDir, machine)
  const files = readdirSync(disk, { recursive: true }).map(String)
  return files.filter((name) => /fleet-\d+-\d+\.jsonl$/.test(name))
}

test('a secret set on one machine is read by the unit on another, and lies nowhere', {
  skip: noLab,
}, async () => {
  const shared = mkdtempSync('/opt/holon-secrets-')
  try {
    await Lab.with(5, { name: labName('secrets') }, async (lab) => {
      const n1 = lab.machine('n1')
      const keepers = await untilKeepers(lab, 'n1', 3)
      const [home = '', other = ''] = machines.filter((each) => !keepers.includes(each))
      const far = lab.machine(home)
      await n1.ok(['machines', 'label', home, 'role=web'])

      // Set where the state is not: nobody is sent it.
      await lab.machine(other).ok(['secret', 'set', 'db'], { input: password })
      const file = join(shared, 'web.service')
      const say = 'sha256sum $$CREDENTIALS_DIRECTORY/db; exec sleep 1000077'
      writeFileSync(
        file,
        `[Service]\nLoadCredential=db\nExecStart=/bin/sh -c "${say}"\nRestart=always\n` +
          '[X-Holon]\nRequire=role=web\n',
      )
      await n1.ok(['enable', '--now', file])
      const readings = async () => {
        const { stdout } = await far.holon(['logs', '-o', 'cat', 'web'])
        return stdout.split('\n').filter((line) => line.startsWith(hash)).length
      }
      await lab.until('it read the secret', async () => (await readings()) === 1)

      for (const keeper of keepers) {
        const show = async () => (await lab.machine(keeper).holon(['secret', 'show', 'db'])).stdout
        await lab.until(`${keeper} has the key`, async () => (await show()) === password)
      }
      const refused = await far.holon(['secret', 'show', 'db'])
      assert.equal(refused.status, 2, refused.stderr)
      assert.match(refused.stderr, /does not have the fleet's key/)

      await n1.ok(['down'])
      await n1.ok(['up'])
      await lab.until('there is a backup', async () => backupsOf(lab, 'n1').length > 0)
      for (const name of machines) assert.deepEqual(withPlaintext(lab, name), [])

      // No majority, and the machine boots: it has a copy.
      const lost = keepers.filter((each) => each !== 'n1')
      await lab.kill(...lost, home)
      await lab.restart(home)
      await lab.until('it read its copy', async () => (await readings()) === 2, 60_000)
      assert.deepEqual(withPlaintext(lab, home), [])

      await n1.ok(['down'])
      await n1.ok(['state', 'restore', '--fleet'])
      await n1.ok(['up'])
      const shown = async () => (await n1.holon(['secret', 'show', 'db'])).stdout === password
      await lab.until('a backup gives it back', shown, 30_000)
    })
  } finally {
    rmSync(shared, { recursive: true, force: true })
  }
})
