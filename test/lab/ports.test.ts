/** A web app on many machines: one port everywhere, updates and deaths under load. */
import assert from 'node:assert/strict'
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { Resolution } from '../../src/kernel/names.ts'
import type { UnitStatus } from '../../src/kernel/types.ts'
import { Started } from './fleet-support.ts'
import { Lab, labName, type Machine, noLab, root } from './harness.ts'

const skip = noLab
const names = ['n1', 'n2', 'n3', 'n4'] as const
let lab: Lab
let n1: Machine
let dir: string

before(async () => {
  if (noLab !== false) return
  dir = mkdtempSync('/opt/holon-ports-')
  lab = await Lab.up(names.length, { name: labName('ports') })
  n1 = lab.machine('n1')
  await lab.untilVoters(3)
})
after(async () => {
  await lab?.[Symbol.asyncDispose]()
  if (dir !== undefined) rmSync(dir, { recursive: true, force: true })
})

const program = `
const http = require('node:http')
const server = http.createServer((asked, answer) =>
  answer.end(process.env.VERSION + ' ' + process.env.HOLON_MACHINE))
server.listen(process.env.PORT, '127.0.0.1')
process.on('SIGTERM', () => server.close(() => process.exit(0)))
`

function web(version: string, instances: number): string {
  writeFileSync(join(dir, 'server.cjs'), program)
  const path = join(dir, 'web.service')
  const lines = [
    '[Service]',
    `ExecStart=${process.execPath} ${dir}/server.cjs`,
    `Environment=VERSION=${version}`,
    'Restart=always',
    '[X-Holon]',
    `Instances=${instances}`,
    'PerNode=1',
    'Port=8080',
    'Protocol=http',
    'Health=/',
    '',
  ]
  writeFileSync(path, lines.join('\n'))
  return path
}

interface Load {
  readonly answered: number
  readonly failed: number
  readonly failures: readonly string[]
  readonly heard: Readonly<Record<string, number>>
}

/** Load from a machine on its own port until the result is asked for. */
async function load(machine: string, url = 'http://127.0.0.1:8080/'): Promise<() => Promise<Load>> {
  const script = join(root, 'test/lab/programs/load.cjs')
  const argv = [process.execPath, script, '4', url]
  const started = new Started(lab.machine(machine).startCommand(argv))
  await lab.until('the load has begun', () => started.stderr.includes('begun'))
  return async () => {
    started.child.stdin?.end()
    const { stdout, stderr } = await started.endsWithin(30_000, `load from ${machine}`)
    assert.match(stdout, /^\{/, stderr)
    return JSON.parse(stdout) as Load
  }
}

async function curl(machine: string): Promise<string> {
  const { stdout } = await lab.machine(machine).exec(['curl', '-sm', '5', 'http://127.0.0.1:8080/'])
  return stdout
}

async function unit(): Promise<UnitStatus> {
  // Not everything is well in between, and not every machine is there.
  const { stdout } = await n1.holon(['list-units', '--json'])
  const found = (JSON.parse(stdout) as readonly UnitStatus[]).find(
    ({ name }) => name === 'web.service',
  )
  assert.ok(found !== undefined, stdout)
  return found
}

test('every machine answers, wherever the instances are; its own first', { skip }, async () => {
  await n1.ok(['enable', '--now', web('v1', 2)])
  const { machines } = await unit()
  assert.equal(machines.length, 2)
  for (const name of names) {
    await lab.until(`${name} answers`, async () => (await curl(name)).startsWith('v1 '))
  }
  for (const name of machines) assert.equal(await curl(name), `v1 ${name}`)
})

/** What the machine's own DNS says, sorted. */
async function dns(machine: string, name: string): Promise<readonly string[]> {
  const script = `
    const resolver = new (require('node:dns').promises.Resolver)({ timeout: 4000, tries: 1 })
    resolver.setServers(['127.0.0.1:4653'])
    resolver.resolve4('${name}').then((all) => console.log(all.sort().join(' ')))`
  const { stdout } = await lab.machine(machine).exec([process.execPath, '-e', script])
  return stdout.split(/\s+/).filter((each) => each !== '')
}

async function resolve(machine: string, name: string): Promise<Resolution> {
  const { stdout } = await lab.machine(machine).holon(['resolve', '--json', name])
  return JSON.parse(stdout) as Resolution
}

const ready = ({ places }: Resolution) => places.filter(({ state }) => state === 'ready')

test('names lead to the instances, whichever machine is asked', { skip }, async () => {
  const { machines } = await unit()
  for (const name of names) {
    const found = await resolve(name, 'web')
    const places = ready(found)
    assert.deepEqual(places.map(({ machine }) => machine).sort(), [...machines].sort())
    assert.deepEqual([found.missing, found.isStale, places[0]?.port], [[], false, 8080])
    const addresses = places.flatMap((place) => place.addresses).sort()
    assert.deepEqual(await dns(name, 'web.holon'), addresses)
    const [first] = places
    assert.deepEqual(await dns(name, first?.name ?? ''), first?.addresses)
  }
})

test('an update under load drops nothing, near or far', { skip }, async () => {
  const { machines } = await unit()
  const [near = ''] = machines
  const far = names.find((name) => !machines.includes(name)) ?? ''
  const ends = [await load(near), await load(far)]
  for (const version of ['v2', 'v3', 'v4']) await n1.ok(['restart', web(version, 2)])
  for (const name of names) {
    await lab.until(`${name} has the last version`, async () =>
      (await curl(name)).startsWith('v4 '),
    )
  }
  for (const end of ends) {
    const { answered, failed, failures, heard } = await end()
    assert.equal(failed, 0, `${failures.join('; ')} of ${answered}`)
    const versions = new Set(Object.keys(heard).map((body) => body.split(' ')[0]))
    assert.deepEqual([...versions].sort(), ['v1', 'v2', 'v3', 'v4'])
  }
})

test('a machine dies under load: who asked it is answered by another one', { skip }, async () => {
  const { machines } = await unit()
  const dies = machines.find((name) => name !== 'n1') ?? ''
  const far = names.find((name) => !machines.includes(name) && name !== 'n1')
  const from = far ?? machines.find((name) => name !== dies) ?? ''
  const end = await load(from)
  const watch = new Started(lab.machine(from).start(['resolve', '-w', 'web']))
  await lab.until('names are watched', () => watch.stdout.includes(` ${dies} `))
  await lab.kill(dies)
  await lab.until('its name leads there no more', async () => {
    return ready(await resolve(from, 'web')).every(({ machine }) => machine !== dies)
  })
  const told = new RegExp(`removed \\d\\.web\\.holon ${dies} `)
  await lab.until('who watches is told', () => told.test(watch.stdout))
  watch.child.kill('SIGKILL')
  await lab.until('both instances are up elsewhere', async () => {
    const { instances } = await unit()
    const up = instances.filter(({ active, machine }) => active === 'active' && machine !== dies)
    return up.length === 2
  })
  const { answered, failed, failures } = await end()
  // Requests of four connections may have been under way on it.
  assert.ok(failed <= 4, `${failed} of ${answered}: ${failures.join('; ')}`)
  await lab.restart(dies)
  await lab.until(`${dies} answers`, async () => (await curl(dies)).startsWith('v4 '), 30_000)
})

test('a machine that is cut off serves itself what it can', { skip }, async () => {
  const { machines } = await unit()
  const cutOff = machines.find((name) => name !== 'n1') ?? ''
  await lab.cut(cutOff)
  try {
    assert.equal(await curl(cutOff), `v4 ${cutOff}`)
    const end = await load('n1')
    await lab.until('its instance is replaced', async () => {
      const { instances } = await unit()
      return instances.every(({ active, machine }) => active === 'active' && machine !== cutOff)
    })
    const { failed, failures } = await end()
    assert.equal(failed, 0, failures.join('; '))
    // Whom it does not reach it does not know; what it has itself it does.
    await lab.until('it says that it may be old', async () => {
      const { isStale, missing } = await resolve(cutOff, 'web')
      return isStale && missing.length === 1
    })
    const { places } = await resolve(cutOff, 'web')
    assert.deepEqual(
      places.map(({ machine, state }) => [machine === cutOff, state]),
      [
        [true, 'ready'],
        [false, 'unknown'],
      ],
    )
    assert.equal((await dns(cutOff, 'web.holon')).length, 1)
  } finally {
    await lab.heal()
  }
})

/** The examples, as people would use them: each deployed from another machine. */
const examples = [
  { name: 'node-api', port: 8101, path: '/cities?country=PT', answer: /^\[\{"name":"Lisboa"/ },
  { name: 'static-site', port: 8102, path: '/', answer: /<h1>A static site<\/h1>/ },
  { name: 'python-app', port: 8104, path: '/', answer: /some text, by POST/ },
] as const

async function ask(machine: string, url: string): Promise<string> {
  const { stdout } = await lab.machine(machine).exec(['curl', '-sm', '8', url])
  return stdout
}

test('examples are deployed, updated under load, and taken back, each everywhere', {
  skip,
}, async () => {
  cpSync(join(root, 'examples'), join(dir, 'examples'), { recursive: true })
  await Promise.all(
    examples.map(async ({ name, port, path, answer }, index) => {
      const project = join(dir, 'examples', name)
      const url = `http://127.0.0.1:${port}${path}`
      await lab.machine(names[index] ?? 'n1').ok(['deploy', project])
      for (const machine of names) {
        await lab.until(`${name} answers on ${machine}`, async () =>
          answer.test(await ask(machine, url)),
        )
      }
      const end = await load('n4', url)
      writeFileSync(join(project, 'changed'), 'yes')
      await n1.ok(['deploy', project])
      await n1.ok(['rollback', name])
      const { answered, failed, failures } = await end()
      assert.equal(failed, 0, `${name}: ${failures.join('; ')} of ${answered}`)
      const { stdout } = await n1.holon(['releases', name, '--no-headers'])
      assert.match(stdout, /^1 \* .* taken back from 2/m)
    }),
  )
})

test('the chat is one room for all machines, also after the death of its own', {
  skip,
}, async () => {
  const project = join(dir, 'examples', 'chat')
  // npm reaches nothing from in here: what it would install is packed instead.
  rmSync(join(project, 'package-lock.json'))
  cpSync(join(root, 'node_modules/ws'), join(project, 'node_modules/ws'), { recursive: true })
  await n1.ok(['deploy', project])
  const talk = join(root, 'test/lab/programs/chat.cjs')
  const says = async (machine: string, text: string) => {
    const argv = [process.execPath, talk, 'ws://127.0.0.1:8103/room', text]
    return lab.machine(machine).exec(argv)
  }
  const [chat] = await n1.json<readonly UnitStatus[]>(['status', 'chat', '--json'])
  const its = chat?.machines[0] ?? ''
  const [listener = '', speaker = ''] = names.filter((name) => name !== its)
  const hears = new Started(
    lab.machine(listener).startCommand([process.execPath, talk, 'ws://127.0.0.1:8103/room']),
  )
  for (const machine of names) {
    await lab.until(`what ${machine} says is heard`, async () => {
      await says(machine, `hello from ${machine}`)
      return hears.stdout.includes(`hello from ${machine}\n`)
    })
  }
  await lab.kill(its)
  const isHeard = async () => {
    await says(speaker, 'after the death')
    return hears.stdout.includes('after the death\n')
  }
  await lab.until('it is heard again', isHeard, 30_000)
  hears.child.kill('SIGKILL')
  await lab.restart(its)
})
