/** A project deployed, changed, broken, taken back, on one machine; in a fleet: test/lab/ports. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { TestAgent, until } from './harness.ts'

const server = (version: string) => `
const http = require('node:http')
const server = http.createServer((asked, answer) => answer.end('${version} ' + process.env.GREETING))
server.listen(process.env.PORT, '127.0.0.1')
process.on('SIGTERM', () => server.close(() => process.exit(0)))
`

function write(dir: string, files: Readonly<Record<string, string>>): string {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, path)), { recursive: true })
    writeFileSync(join(dir, path), text)
  }
  return dir
}

function freePort(): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>()
  const listening = createServer().listen(0, () => {
    const { port } = listening.address() as { port: number }
    listening.close(() => resolve(port))
  })
  return promise
}

const get = async (port: number, path = '/') =>
  (await fetch(`http://127.0.0.1:${port}${path}`)).text()

test('a project is deployed, changed, given an environment, and not broken by a bad change', async () => {
  await using agent = await TestAgent.up()
  const port = await freePort()
  const dir = write(join(agent.dir, 'hello'), {
    'package.json': JSON.stringify({ name: '@me/hello', scripts: { start: 'node server.js' } }),
    'server.js': server('v1'),
    '.env': 'GREETING="hello  \\$world"\n',
    '.gitignore': '*.log\n/build/*\n',
    '.holonignore': '!/build/kept\n',
    'debug.log': 'x',
    'build/kept': 'x',
    'build/gone': 'x',
  })
  const shown = agent.ok(['deploy', dir, '--port', String(port), '--dry-run'])
  assert.match(shown, /^# holon\.service would be:/)
  assert.ok(!existsSync(join(dir, 'holon.service')))
  const packed = ['.gitignore', '.holonignore', 'build/kept', 'package.json', 'server.js']
  assert.deepEqual(shown.trimEnd().split('\n').slice(-packed.length), packed)

  const first = agent.holon(['deploy', dir, '--port', String(port)])
  assert.equal(first.status, 0, first.stderr)
  assert.match(first.stderr, /\.env stays here: `holon env set hello --file \.env`/)
  assert.match(first.stdout, new RegExp(`^http://\\S+:${port}$`, 'm'))
  assert.match(readFileSync(join(dir, 'holon.service'), 'utf8'), /^ExecStart=node server\.js$/m)
  assert.equal(await get(port), 'v1 undefined')

  write(dir, { 'server.js': server('v2') })
  agent.ok(['deploy', dir])
  assert.equal(await get(port), 'v2 undefined')
  assert.match(agent.holon(['deploy', dir]).stderr, /nothing has changed/)

  agent.ok(['env', 'set', 'hello', '--file', join(dir, '.env')])
  assert.equal(await get(port), 'v2 hello  $world')
  agent.ok(['env', 'set', 'hello', 'GREETING=-'], { input: 'from stdin\n' })
  assert.equal(await get(port), 'v2 from stdin')
  assert.equal(agent.ok(['env', 'list', 'hello']), 'GREETING\n')
  assert.doesNotMatch(agent.ok(['cat', 'hello']), /stdin/)
  write(dir, { 'server.js': server('v3') })
  agent.ok(['deploy', dir])
  assert.equal(await get(port), 'v3 from stdin', 'a deploy keeps the environment')

  write(dir, { 'server.js': 'console.log("this is why"); process.exit(3)' })
  const bad = agent.holon(['deploy', dir])
  assert.equal(bad.status, 1)
  assert.match(bad.stderr, /this is why/)
  write(dir, { 'server.js': server('v4') })
  agent.ok(['deploy', dir])
  assert.equal(await get(port), 'v4 from stdin')
  assert.equal(agent.holon(['rollback', 'hello']).status, 2, 'one machine keeps no releases')
})

test('other kinds of projects: a site, Python, a Procfile, an executable, nothing', async () => {
  await using agent = await TestAgent.up()
  const cases: readonly (readonly [string, Readonly<Record<string, string>>, string])[] = [
    ['site', { 'index.html': 'a site' }, 'a site'],
    [
      'snake',
      {
        'app.py':
          'import http.server, os\n' +
          'class H(http.server.BaseHTTPRequestHandler):\n' +
          ' def do_GET(self):\n' +
          '  self.send_response(200)\n  self.end_headers()\n  self.wfile.write(b"a snake")\n' +
          'http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), H).serve_forever()\n',
      },
      'a snake',
    ],
    [
      'proc',
      { Procfile: 'web: node s.js "$PORT" 100%\n', 's.js': server('proc') },
      'proc undefined',
    ],
  ]
  for (const [name, files, answer] of cases) {
    const port = await freePort()
    const dir = write(join(agent.dir, name), files)
    agent.ok(['deploy', dir, '--port', String(port)])
    assert.equal(await get(port), answer, name)
  }
  const empty = agent.holon(['deploy', write(join(agent.dir, 'empty'), { 'README.md': 'x' })])
  assert.equal(empty.status, 2, empty.stderr)
  assert.match(empty.stderr, /there is nothing that can be started/)
})

test('what is deployed runs from its bundle, and does not need the agent', async () => {
  await using agent = await TestAgent.up()
  const port = await freePort()
  const dir = write(join(agent.dir, 'app'), {
    'package.json': '{"name": "app"}',
    'index.js': server('v1'),
  })
  agent.ok(['deploy', dir, '--port', String(port)])
  const trees = join(agent.dir, 'state/bundles/trees')
  const [tree = ''] = readdirSync(trees)
  assert.match(agent.ok(['cat', 'app']), new RegExp(`^Bundle=${tree}$`, 'm'))
  await agent.killAgent()
  assert.equal(await get(port), 'v1 undefined')
  agent.ok(['up'])
  await until('it answers', async () => (await get(port)) === 'v1 undefined')
})
