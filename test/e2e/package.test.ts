/** The packed package, installed as users would, without the clone: CLI, SDK and simulation. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { root } from './harness.ts'

test('npm pack, npm install -g, up, run, the SDK, down, a simulation', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'holon-pack-'))
  const env = { ...process.env, HOLON_DIR: join(dir, 'holon') }
  const sh = (command: string, args: string[], cwd = dir) => {
    const { status, stdout, stderr } = spawnSync(command, args, { cwd, env, encoding: 'utf8' })
    assert.equal(status, 0, `${command} ${args.join(' ')}\n${stdout}${stderr}`)
    return stdout
  }
  const prefix = join(dir, 'prefix')
  const holon = join(prefix, 'bin/holon')
  try {
    sh('npm', ['pack', '--ignore-scripts', '--pack-destination', dir], root)
    const packed = readdirSync(dir).find((name) => name.endsWith('.tgz')) ?? ''
    sh('npm', ['install', '--no-audit', '--no-fund', '-g', '--prefix', prefix, join(dir, packed)])
    assert.match(sh(holon, ['--version']), /^holon \d/)
    assert.match(sh(holon, ['up']), /is up/)
    assert.equal(sh(holon, ['run', 'echo', 'hello']), 'hello\n')
    const program = join(dir, 'program.mjs')
    const sdk = join(prefix, 'lib/node_modules/holon')
    writeFileSync(
      program,
      `import { connect } from ${JSON.stringify(join(sdk, 'dist/sdk.js'))}
       await using holon = await connect()
       const { stdout, exit } = await holon.run(['echo', 'from the SDK'])
       console.log(stdout.trim(), exit.code, (await holon.status()).machines.length)`,
    )
    assert.equal(sh(process.execPath, [program]), 'from the SDK 0 1\n')
    writeFileSync(
      program,
      `import { simulate } from ${JSON.stringify(join(sdk, 'dist/sim.js'))}
       const fleet = await simulate({ machines: 3 })
       console.log(fleet.machines.join(' '), fleet.leader)`,
    )
    assert.match(sh(process.execPath, [program]), /^m1 m2 m3 m[123]\n$/)
  } finally {
    spawnSync(holon, ['down', '--all'], { env })
    rmSync(dir, { recursive: true, force: true })
  }
})
