import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { deadline } from '../base/clock.ts'
import { realClock } from './clock.ts'
import { buildKeeper } from './keeper-build.ts'
import { Nursery } from './nursery.ts'

const root = mkdtempSync(join(tmpdir(), 'holon-nursery-'))
after(() => rmSync(root, { recursive: true, force: true }))

let count = 0
/** A nursery in shell: it takes requests of exactly five bytes and answers by their last one. */
function nursery(replies: string, reports: string[] = []): Nursery {
  const path = join(root, `serve${++count}`)
  writeFileSync(
    path,
    `#!/bin/sh\nwhile request=$(dd bs=5 count=1 2>/dev/null) && [ -n "$request" ]; do ${replies}; done\n`,
  )
  chmodSync(path, 0o755)
  return new Nursery({ path, report: (message) => void reports.push(message) })
}

const limit = () => deadline(realClock, 5000)

test('Nursery.start() matches replies to requests by id', async () => {
  await using served = nursery('case $request in *2) echo "ok two 22"; echo "ok one 11" ;; esac')
  using bound = limit()
  const one = served.start('one', Buffer.from('aaaa1'), bound)
  // The shell reads what is there: let the first request arrive alone.
  await new Promise((resolve) => setTimeout(resolve, 100))
  const two = served.start('two', Buffer.from('aaaa2'), bound)
  assert.deepEqual(await Promise.all([one, two]), [11, 22])
})

test('Nursery.start() turns an errno into a code', async () => {
  await using served = nursery('echo "error x EACCES not for you"')
  using bound = limit()
  await assert.rejects(served.start('x', Buffer.from('aaaaa'), bound), {
    code: 'permission_denied',
    outcome: 'none',
    message: 'start x: not for you',
  })
})

test('a nursery that dies leaves the outcome unknown; the next request starts another', async () => {
  const reports: string[] = []
  await using served = nursery(
    'test -e "$0.flag" || { : >"$0.flag"; exit 3; }; echo ok x 5',
    reports,
  )
  using bound = limit()
  await assert.rejects(served.start('x', Buffer.from('aaaaa'), bound), {
    code: 'unavailable',
    outcome: 'unknown',
  })
  assert.equal(await served.start('x', Buffer.from('aaaaa'), bound), 5)
  assert.match(reports.join(), /status 3/)
})

test('a request ends by its deadline; its late reply is not the next one’s', async () => {
  await using served = nursery('sleep 0.2; echo "ok x $(echo $request | cut -c5)"')
  using short = deadline(realClock, 50)
  await assert.rejects(served.start('x', Buffer.from('aaaa1'), short), {
    code: 'deadline_exceeded',
    outcome: 'unknown',
  })
  using bound = limit()
  assert.equal(await served.start('x', Buffer.from('aaaa2'), bound), 2)
})

test('a nursery that cannot be executed is an error of the request', async () => {
  await using served = new Nursery({ path: join(root, 'missing'), report: () => {} })
  using bound = limit()
  await assert.rejects(served.start('x', Buffer.from('a'), bound), { code: 'unavailable' })
})

function sources(script: string): { sourceDir: string; binDir: string } {
  const base = join(root, `build${++count}`)
  const sourceDir = join(base, 'keeper')
  mkdirSync(sourceDir, { recursive: true })
  writeFileSync(join(sourceDir, 'build.sh'), script)
  writeFileSync(join(sourceDir, 'a.c'), 'one')
  return { sourceDir, binDir: join(base, 'bin') }
}

const good = 'printf "#!/bin/sh\\necho 1\\n" >"$1"; echo x >>"$0.count"'

test('buildKeeper() builds once for its sources, and anew when they change', async () => {
  const where = sources(good)
  const first = await buildKeeper(where)
  assert.equal(first.kind, 'c')
  assert.deepEqual(await buildKeeper(where), first)
  writeFileSync(join(where.sourceDir, 'a.c'), 'two')
  const second = await buildKeeper(where)
  assert.notDeepEqual(second, first)
  // The old one is gone, and so are drafts.
  assert.equal(readdirSync(where.binDir).length, 1)
})

test('buildKeeper() says why there is no compiled keeper', async () => {
  const failing = await buildKeeper(sources('echo "cc: not found" >&2; exit 127'))
  assert.deepEqual(
    [failing.kind, 'reason' in failing && /cc: not found/.test(failing.reason)],
    ['sh', true],
  )
  const broken = await buildKeeper(sources('printf "#!/bin/sh\\nexit 1\\n" >"$1"'))
  assert.equal(broken.kind, 'sh')
  const none = await buildKeeper({ sourceDir: join(root, 'nowhere'), binDir: join(root, 'bin') })
  assert.equal(none.kind, 'sh')
})
