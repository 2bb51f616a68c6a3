/** Units with a public port, on one machine: the front as users meet it. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { request as secureRequest } from 'node:https'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { createCa } from '../../src/cluster/identity/certificates.ts'
import type { UnitStatus } from '../../src/kernel/types.ts'
import { isAlive, TestAgent, until } from './harness.ts'

/** Answers who it is; `/slow` after a while; unwell once it is told so. It ends what it has begun. */
const program = `
const http = require('node:http')
let well = true
const server = http.createServer((asked, answer) => {
  const who = process.env.HOLON_INSTANCE + ' ' + process.pid
  if (asked.url === '/unwell') well = false
  if (asked.url === '/healthz' && !well) answer.statusCode = 500
  if (asked.url === '/slow') return setTimeout(() => answer.end('slow ' + who), 500)
  answer.end(who)
})
setTimeout(() => server.listen(process.env.PORT), Number(process.env.LATE ?? 0))
process.on('SIGTERM', () => server.close(() => process.exit(0)))
`

function web(agent: TestAgent, port: number, more: readonly string[] = []): string {
  const node = process.execPath
  agent.unit('server.cjs', program)
  const service = [`ExecStart=${node} ${agent.dir}/server.cjs`, 'Restart=always', 'RestartSec=50ms']
  const holon = [`Port=${port}`, 'Protocol=http', 'Health=/healthz', ...more]
  return agent.unit('web.service', ['[Service]', ...service, '[X-Holon]', ...holon, ''].join('\n'))
}

async function freePort(): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>()
  const server = createServer().listen(0, () => {
    const { port } = server.address() as { port: number }
    server.close(() => resolve(port))
  })
  return promise
}

function ask(port: number, path = '/'): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const asked = request({ port, path, host: '127.0.0.1', agent: false }, (answer) => {
      let text = ''
      answer.on('data', (chunk) => {
        text += chunk
      })
      answer.once('end', () => resolve({ status: answer.statusCode ?? 0, text }))
      answer.once('error', reject)
    })
    asked.once('error', reject)
    asked.end()
  })
}

/** Asks again and again until it is stopped; what was not answered well. */
function load(port: number) {
  let goesOn = true
  let answered = 0
  const failures: string[] = []
  const one = async () => {
    while (goesOn) {
      try {
        const { status, text } = await ask(port)
        if (status === 200) answered += 1
        else failures.push(`${status} ${text}`)
      } catch (error) {
        failures.push(String(error))
      }
    }
  }
  const running = Promise.all([one(), one(), one(), one()])
  return async () => {
    goesOn = false
    await running
    return { answered, failures }
  }
}

function processesOf(agent: TestAgent): readonly (readonly number[])[] {
  const units = agent.json<readonly UnitStatus[]>(['status', 'web', '--json'])
  return units.flatMap(({ instances }) => instances.map(({ pid, restarts }) => [pid, restarts]))
}

test('a unit is started when it answers, restarted without a failed request, and shown', async () => {
  await using agent = await TestAgent.up()
  const port = await freePort()
  agent.ok(['start', web(agent, port, ['Instances=2'])])
  const seen = new Set<string>()
  await until('both answer', async () => {
    seen.add((await ask(port)).text)
    return seen.size === 2
  })
  const shown = agent.ok(['status', 'web'])
  assert.match(shown, new RegExp(`Serves: http on port ${port} of every machine`))
  assert.match(shown, /web\.service\/1 on .*: active \(running\)/)
  assert.match(shown, /Port: 2\d{4}/)

  const finish = load(port)
  agent.ok(['restart', 'web'])
  const slow = ask(port, '/slow')
  agent.ok(['restart', 'web'])
  assert.match((await slow).text, /^slow /, 'what is under way is finished')
  // The agent dies, and is back: nobody notices.
  await agent.killAgent()
  assert.equal((await ask(port)).status, 200)
  agent.ok(['up'])
  agent.ok(['restart', 'web'])
  const { answered, failures } = await finish()
  assert.deepEqual(failures, [], `of ${answered}`)
  assert.ok(answered > 50)
})

test('an instance that dies or is unwell gets nothing; the last one is waited for', async () => {
  await using agent = await TestAgent.up()
  const port = await freePort()
  agent.ok(['start', web(agent, port)])
  const { text: first } = await ask(port)
  const pid = Number(first.split(' ')[1])
  process.kill(pid, 'SIGKILL')
  await until('it is gone', () => !isAlive(pid))
  const { status, text } = await ask(port)
  assert.equal(status, 200)
  assert.notEqual(text, first)

  await ask(port, '/unwell')
  await until('it is seen to be unwell', () => /unhealthy/.test(agent.ok(['status', 'web'])), {
    timeoutMs: 20_000,
    state: () => agent.ok(['status', 'web']),
  })
  assert.match(agent.ok(['status', 'web']), /Not ready: GET \/healthz is answered with 500/)
  agent.ok(['restart', 'web'])
  assert.equal((await ask(port)).status, 200)
  agent.ok(['stop', 'web'])
  await until('the port is closed', async () => {
    const refused = await ask(port).catch(({ code }) => ({ status: code, text: '' }))
    return refused.status === 'ECONNREFUSED'
  })
})

test('a front that dies is back at once; a port that is taken is told', async () => {
  await using agent = await TestAgent.up()
  const port = await freePort()
  const squatter = createServer((socket) => socket.destroy()).listen(port)
  agent.ok(['start', web(agent, port)])
  await until('it is told', () =>
    /is not open on .*another program/.test(agent.ok(['status', 'web'])),
  )
  squatter.close()
  await until('it is opened', async () => (await ask(port).catch(() => undefined))?.status === 200)
  const { stdout } = agent.shell('"$HOLON" ps -A -o unit,pid,comm --no-headers')
  const front = /^ports\/front +(?:\S+:)?(\d+) +(?!holon-keeper)\S+/m.exec(stdout)?.[1]
  assert.ok(front !== undefined, stdout)
  const before = processesOf(agent)
  process.kill(Number(front), 'SIGKILL')
  await until('it answers', async () => (await ask(port).catch(() => undefined))?.status === 200)
  assert.deepEqual(processesOf(agent), before, 'nothing happened to the unit')
})

test('a port with a certificate speaks TLS; without its files the status says why not', async () => {
  await using agent = await TestAgent.up()
  const port = await freePort()
  const [certificate, key] = [join(agent.dir, 'app.crt'), join(agent.dir, 'app.key')]
  agent.ok(['start', web(agent, port, [`TLS=${certificate} ${key}`])])
  await until('it is told', () =>
    /is not open on .*TLS=.*app\.crt/.test(agent.ok(['status', 'web'])),
  )
  const made = await createCa({ name: 'app.example', nowMs: Date.now() })
  writeFileSync(certificate, made.certPem)
  writeFileSync(key, made.keyPem, { mode: 0o600 })
  agent.ok(['restart', 'web'])
  const asked = secureRequest({
    port,
    host: '127.0.0.1',
    servername: 'app.example',
    // One that signs others is none of a server; it is looked at below.
    rejectUnauthorized: false,
    agent: false,
  })
  asked.end()
  const [answer] = (await once(asked, 'response')) as [
    { statusCode: number; socket: TLSSocket; resume(): void },
  ]
  answer.resume()
  assert.equal(answer.statusCode, 200)
  assert.equal(answer.socket.getPeerCertificate().subject.CN, 'app.example')
})
