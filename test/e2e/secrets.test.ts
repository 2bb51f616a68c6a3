/** Secrets on one machine: set, given to a unit, kept out of everything that is written down. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { isRoot, launcher, TestAgent, unitOf, until } from './harness.ts'

const password = 'correct-horse-battery-staple'
const token = 'tok_5d41402abc4b2a76b9719d911017c592'

/** Files below `dir` in which one of the two is, as it is or in a usual disguise. */
function filesWithPlaintext(dir: string): readonly string[] {
  const forms = [password, token].flatMap((text) => {
    const bytes = Buffer.from(text)
    return [text, bytes.toString('base64').slice(0, -4), bytes.toString('hex')]
  })
  return readdirSync(dir, { recursive: true })
    .map((name) => join(dir, String(name)))
    .filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile())
    .filter((path) => forms.some((form) => readFileSync(path).includes(form)))
}

function service(...lines: readonly string[]): string {
  return `[Service]\n${lines.join('\n')}\n`
}

/** It tells hashes and modes, so that its log has no secret. */
const program =
  'cd "$CREDENTIALS_DIRECTORY" && sha256sum db text && stat -c "%%n %%a %%U" . db && ' +
  'printf %%s "$TOKEN" | sha256sum && id -un && exec sleep 1000'

const text = service(
  ...(isRoot ? ['User=nobody'] : []),
  'LoadCredential=db:db-password',
  'LoadCredential=web.env',
  'SetCredential=text:hello\\n',
  'SetCredential=db:fallback',
  'EnvironmentFile=%d/web.env',
  `ExecStart=/bin/sh -c '${program.replaceAll('$', '$$$$')}'`,
  'Restart=always',
  'RestartSec=0',
)

function sha256(value: string): string {
  const { stdout } = spawnSync('sha256sum', { input: value, encoding: 'utf8' })
  return stdout.slice(0, 64)
}

function setBoth(agent: TestAgent): void {
  agent.ok(['secret', 'set', 'db-password'], { input: password })
  const file = join(agent.dir, 'web.env')
  writeFileSync(file, `# comment\nTOKEN=${token}\nan odd line with ${token}\n`)
  agent.ok(['secret', 'set', 'web.env', '--from-file', file])
  rmSync(file)
}

function log(agent: TestAgent, unit: string): readonly string[] {
  return agent.holon(['logs', '-o', 'cat', unit]).stdout.split('\n')
}

/** Of the job's main process. */
function credentialsOf(agent: TestAgent, unit: string): string {
  const pid = unitOf(agent, unit).instances[0]?.pid
  const environ = readFileSync(`/proc/${pid}/environ`, 'utf8')
  return /CREDENTIALS_DIRECTORY=([^\0]*)/.exec(environ)?.[1] ?? 'none'
}

for (const keeper of ['c', 'sh'] as const) {
  test(`a unit is given its secrets, and nothing else has them (${keeper} keeper)`, async () => {
    await using agent = await TestAgent.up({ keeper })
    setBoth(agent)
    agent.ok(['enable', '--now', agent.unit('web.service', text)])
    await until('it told', () => log(agent, 'web').length >= 7, { state: () => agent.diary() })
    const user = spawnSync('id', isRoot ? ['-un', 'nobody'] : ['-un'], { encoding: 'utf8' })
    const lines = log(agent, 'web')
    assert.deepEqual(lines.slice(0, 6), [
      `${sha256(password)}  db`,
      `${sha256('hello\n')}  text`,
      `. 500 ${user.stdout.trim()}`,
      `db 400 ${user.stdout.trim()}`,
      `${sha256(token)}  -`,
      user.stdout.trim(),
    ])
    const dir = credentialsOf(agent, 'web')
    const before = statSync(join(dir, 'db')).ino

    // Restarts by the keeper, and another agent, leave it where it is.
    await agent.killAgent()
    process.kill(unitPid(dir, agent), 'SIGKILL')
    agent.ok(['up'])
    await until(
      'it runs again',
      () => log(agent, 'web').filter((line) => line === lines[0]).length === 2,
    )
    assert.equal(statSync(join(dir, 'db')).ino, before)

    agent.ok(['why', 'web'])
    agent.ok(['show', 'web'])
    // The sh keeper's spec is a file; its directory is the runtime's.
    assert.deepEqual(filesWithPlaintext(join(agent.dir, 'state')), [])
    if (keeper === 'c') assert.deepEqual(filesWithPlaintext(agent.dir), [])
    const known = spawnSync('ps', ['-eo', 'args'], { encoding: 'utf8' }).stdout
    assert.ok(!known.includes(password) && !known.includes(token), 'in the arguments of a process')

    agent.ok(['stop', 'web'])
    assert.equal(existsSync(dir), false, 'gone with the job')
  })
}

/** The unit's main process, without asking an agent. */
function unitPid(dir: string, agent: TestAgent): number {
  const found = readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false
    try {
      const comm = readFileSync(`/proc/${pid}/comm`, 'utf8')
      const environ = readFileSync(`/proc/${pid}/environ`, 'utf8')
      return comm === 'sleep\n' && environ.includes(`CREDENTIALS_DIRECTORY=${dir}\0`)
    } catch {
      return false
    }
  })
  assert.equal(found.length, 1, agent.diary())
  return Number(found[0])
}

test('a changed secret is there from the next start on; a missing one refuses it', async () => {
  await using agent = await TestAgent.up()
  const path = agent.unit('a.service', service('LoadCredential=db', 'ExecStart=/bin/cat %d/db'))
  const refused = agent.holon(['start', path])
  assert.equal(refused.status, 5)
  assert.match(
    refused.stderr,
    /a\.service:2: LoadCredential=: there is no secret db; `holon secret set db` makes it/,
  )
  agent.ok(['secret', 'set', 'db'], { input: 'one\n' })
  agent.ok(['start', 'a'])
  await until('it read the first', () => log(agent, 'a').includes('one'))
  agent.ok(['secret', 'set', 'db'], { input: 'two\n' })
  agent.ok(['restart', 'a'])
  await until('it read the second', () => log(agent, 'a').includes('two'))
  const [row] = agent.json<{ name: string; version: number; bytes: number }[]>([
    'secret',
    'list',
    '--json',
  ])
  assert.deepEqual([row?.name, row?.version, row?.bytes], ['db', 2, 4])
  assert.equal(agent.ok(['secret', 'show', 'db']), 'two\n')

  const kept = agent.holon(['secret', 'remove', 'db'])
  assert.equal(kept.status, 1)
  assert.match(kept.stderr, /a\.service would not start any more; --force/)
  agent.ok(['secret', 'remove', '--force', 'db'])
  assert.equal(agent.holon(['secret', 'show', 'db']).status, 4)
  assert.equal(agent.holon(['restart', 'a']).status, 5)
})

test('LoadCredential= takes files of the machine, and without one the text', async () => {
  await using agent = await TestAgent.up()
  writeFileSync(join(agent.dir, 'key'), 'file\n')
  const lines = [`LoadCredential=a:${agent.dir}/key`, `LoadCredential=b:${agent.dir}/none`]
  const show = 'Type=oneshot\nExecStart=/bin/cat %d/a %d/b %d/c'
  const unit = (...more: readonly string[]) =>
    agent.unit('a.service', service(...lines, ...more, show))
  const missing = agent.holon(['start', unit()])
  assert.equal(missing.status, 5)
  assert.match(missing.stderr, /a\.service:3: LoadCredential=: .*none/)
  agent.ok(['start', unit('SetCredential=b:text\\n', 'LoadCredential=c', 'SetCredential=c:too\\n')])
  await until('it ran', () => log(agent, 'a').length > 3)
  assert.deepEqual(log(agent, 'a').slice(0, 3), ['file', 'text', 'too'])
  const directory = unit('SetCredential=b:x', `LoadCredential=d:${agent.dir}`)
  assert.match(agent.holon(['start', directory]).stderr, /no regular file/)
})

test('secret set refuses an argument, nothing, too much, and a name that is none', async () => {
  await using agent = await TestAgent.up()
  assert.equal(agent.holon(['secret', 'set', 'a', 'value']).status, 2)
  assert.equal(agent.holon(['secret', 'set', 'a'], { input: '' }).status, 2)
  assert.equal(agent.holon(['secret', 'set', 'a'], { input: 'x'.repeat(64 * 1024 + 1) }).status, 75)
  assert.equal(agent.holon(['secret', 'set', 'a/b'], { input: 'x' }).status, 2)
  assert.deepEqual(agent.json(['secret', 'list', '--json']), [])
})

test('only who runs the agent has its secrets; an ordinary user has those of its own agent', {
  skip: isRoot ? false : 'needs root',
}, async () => {
  await using agent = await TestAgent.up()
  setBoth(agent)
  chmodSync(agent.dir, 0o755)
  const home = mkdtempSync(join(tmpdir(), 'holon-home-'))
  const runtime = join(home, 'runtime')
  mkdirSync(runtime, { mode: 0o700 })
  const uid = 54321
  for (const path of [home, runtime]) chownSync(path, uid, uid)
  const as = ['--reuid', String(uid), '--regid', String(uid), '--clear-groups', launcher]
  const holon = (env: NodeJS.ProcessEnv, args: readonly string[], input = '') =>
    spawnSync('setpriv', [...as, ...args], {
      env: { PATH: process.env['PATH'], HOME: home, ...env },
      cwd: home,
      encoding: 'utf8',
      timeout: 60_000,
      input,
    })
  const own = { XDG_RUNTIME_DIR: runtime }
  try {
    for (const words of [['list'], ['show', 'db-password'], ['set', 'x'], ['remove', 'x']]) {
      const refused = holon({ HOLON_DIR: agent.dir }, ['secret', ...words], 'value')
      assert.equal(refused.status, 77, `${words}: ${refused.stderr}`)
      assert.match(refused.stderr, /may not use secrets/)
    }
    assert.equal(holon(own, ['up']).status, 0)
    assert.equal(holon(own, ['secret', 'set', 'db-password'], password).status, 0)
    const path = join(home, 'a.service')
    const show = 'cat %d/db && stat -c %%a:%%u . %d %d/db'
    writeFileSync(path, service('LoadCredential=db:db-password', `ExecStart=/bin/sh -c '${show}'`))
    const started = holon(own, ['start', path])
    assert.equal(started.status, 0, started.stderr)
    await until('it ran', () =>
      holon(own, ['logs', '-o', 'cat', 'a']).stdout.includes(`400:${uid}`),
    )
    assert.match(holon(own, ['logs', '-o', 'cat', 'a']).stdout, new RegExp(`500:${uid}`))
  } finally {
    assert.equal(holon(own, ['down', '--all']).status, 0)
    rmSync(home, { recursive: true, force: true })
  }
})
