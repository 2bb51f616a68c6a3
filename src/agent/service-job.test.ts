import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { freePort, limit, needsEtcd } from '../../test/support/etcd-bench.ts'
import { EtcdLife, loneEngine } from '../../test/support/etcd-life.ts'
import { createStateCa } from '../cluster/etcd/peer-certificates.ts'

const serial = { skip: needsEtcd, timeout: 60_000 }

for (const forceSh of [false, true]) {
  const keeper = forceSh ? 'the shell’s keeper' : 'the compiled keeper'
  test(`ServiceJob keeps etcd over kills and agents, with ${keeper}`, serial, async () => {
    const dir = mkdtempSync(join(tmpdir(), 'holon-etcd-job-'))
    const port = await freePort()
    const engine = loneEngine(port)
    let pid = 0
    using bound = limit(50_000)
    try {
      {
        await using life = await EtcdLife.begin(dir, port, forceSh)
        const ca = await createStateCa('t', Date.now())
        await life.member.startDraft(engine, ca, bound)
        life.member.adoptDraft(engine)
        const first = life.pid()
        assert.ok(first > 0)
        // Its keeper starts it again, though the socket of the killed one still lies there.
        process.kill(first, 'SIGKILL')
        await life.until(() => life.pid() !== first && life.pid() > 0, 'restarted')
        await life.until(() => life.answers(), 'answers again')
        pid = life.pid()
      }
      {
        await using life = await EtcdLife.begin(dir, port, forceSh)
        await life.member.open(bound)
        assert.equal(life.pid(), pid, 'adopted, not started anew')
        await life.until(() => life.answers(), 'answers to the next agent')
        // Its keeper dies and takes it along: the agent has another keep it.
        const keeperPid = life.job.keeperPid ?? 0
        assert.ok(keeperPid > 0)
        process.kill(keeperPid, 'SIGKILL')
        // A main process outlives the shell's keeper, so nothing is amiss before it ends as well.
        if (forceSh) process.kill(pid, 'SIGKILL')
        await life.until(() => life.pid() > 0 && life.pid() !== pid, 'kept by another keeper')
        await life.until(() => life.answers(), 'answers with another keeper')
        pid = life.pid()
      }
      {
        await using life = await EtcdLife.begin(dir, port, forceSh)
        await life.job.stop('the test is over', bound)
        assert.equal(life.job.state().kind, 'stopped')
        assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' })
      }
    } finally {
      await using life = await EtcdLife.begin(dir, port, forceSh)
      await life.job.stop('the test is over', bound)
      rmSync(dir, { recursive: true, force: true })
    }
  })
}
