/** /proc mounted with hidepid: what a user may not see is not there, and nothing fails. Needs root. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'

const nobody = 65_534
const program = `
  const { ProcFs } = await import(process.env.PROC_TS)
  const proc = new ProcFs({ root: process.env.PROC_ROOT })
  const seen = proc.pids().map((pid) => [pid, proc.owner(pid)?.uid, proc.stat(pid)?.pid, proc.args(pid, 99)?.args.length])
  console.log(JSON.stringify({ seen, one: [proc.stat(1), proc.owner(1), proc.args(1, 9), proc.uids(1)].length, gone: proc.stat(1) ?? null }))`

for (const hidepid of ['noaccess', 'invisible']) {
  test(`ProcFs with hidepid=${hidepid} leaves out what is hidden`, (t) => {
    if (process.getuid?.() !== 0) return t.skip('needs root, to mount')
    const root = mkdtempSync(join(tmpdir(), 'holon-hidepid-'))
    chmodSync(root, 0o755)
    let mounted = false
    t.after(() => {
      if (mounted) execFileSync('umount', [root])
      rmdirSync(root)
    })
    try {
      execFileSync('mount', ['-t', 'proc', '-o', `hidepid=${hidepid}`, 'proc', root], {
        stdio: 'pipe',
      })
    } catch (error) {
      return t.skip(`this kernel or container does not mount it: ${String(error)}`)
    }
    mounted = true
    const printed = execFileSync(process.execPath, ['--input-type=module', '-e', program], {
      uid: nobody,
      gid: nobody,
      cwd: '/',
      encoding: 'utf8',
      env: { PROC_TS: join(import.meta.dirname, 'proc.ts'), PROC_ROOT: root },
    })
    const { seen, gone } = JSON.parse(printed) as { seen: (number | null)[][]; gone: unknown }
    assert.equal(gone, null)
    const readable = seen.filter(([, , pid]) => typeof pid === 'number')
    assert.ok(readable.length >= 1, printed)
    assert.ok(
      readable.every(([, uid]) => uid === nobody),
      printed,
    )
  })
}
