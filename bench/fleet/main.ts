/**
 * `npm run bench -- fleet [CASE…]`: five machines of a lab beside Erlang and OpenSSH. Needs root, and
 * Debian's erlang-base and openssh-server. Leave the machine alone meanwhile.
 */
import { execFileSync, type spawn } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../../test/e2e/harness.ts'
import { Lab } from '../../test/lab/harness.ts'
import { atMost, type Comparison } from '../measure.ts'
import { measureRpcTls } from '../rpc-tls.ts'
import { failoverBench } from './failover.ts'
import { fanOutBench } from './fan-out.ts'
import { idle } from './idle.ts'
import { loadBench } from './load.ts'

const inLab = ['remote-run', 'cli-run', 'ps-all', 'throughput']
/** They take an hour. */
const onlyNamed = ['failover', 'load']

/** Keys and settings for sshd on every machine, in a directory that all of them see. */
function sshFiles(dir: string): { readonly server: string; readonly options: readonly string[] } {
  for (const key of ['host', 'key']) {
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(dir, key)])
  }
  cpSync(join(dir, 'key.pub'), join(dir, 'authorized'))
  const server = [
    'Port 2222',
    `HostKey ${dir}/host`,
    `AuthorizedKeysFile ${dir}/authorized`,
    'StrictModes no',
    'UsePAM no',
    'PasswordAuthentication no',
    'PermitRootLogin yes',
    'PidFile none',
    'MaxStartups 100',
    'MaxSessions 100',
  ]
  writeFileSync(join(dir, 'sshd'), `${server.join('\n')}\n`)
  const quiet = ['StrictHostKeyChecking=no', `UserKnownHostsFile=${dir}/known`, 'LogLevel=ERROR']
  const options = quiet.flatMap((option) => ['-o', option])
  return {
    server: join(dir, 'sshd'),
    options: [
      '-F',
      'none',
      '-i',
      join(dir, 'key'),
      '-p',
      '2222',
      '-o',
      'IdentitiesOnly=yes',
      ...options,
    ],
  }
}

/** All cases but the long ones, or those named. */
export async function fleetBench(wanted: readonly string[]): Promise<readonly Comparison[]> {
  const known = [...inLab, 'fleet-idle', 'rpc-tls', 'fan-out', ...onlyNamed]
  const unknown = wanted.filter((name) => !known.includes(name))
  if (unknown.length > 0) throw new Error(`no case ${unknown.join(', ')}; ${known.join(', ')} are`)
  const wants = (name: string) => wanted.length === 0 || wanted.includes(name)
  const rows: Comparison[] = []
  if ([...inLab, 'fleet-idle'].some(wants)) rows.push(...(await labBench(wants)))
  if (wants('rpc-tls')) {
    const { ours, peer } = await measureRpcTls()
    rows.push(atMost('RPC between machines, 64 bytes / raw TLS', ours, peer, 3, 'µs'))
  }
  if (wants('fan-out')) rows.push(...(await fanOutBench()))
  if (wanted.includes('failover')) rows.push(...(await failoverBench()))
  if (wanted.includes('load')) rows.push(...(await loadBench()))
  return rows
}

async function labBench(wants: (name: string) => boolean): Promise<readonly Comparison[]> {
  // Below /opt: every machine of the lab has a /tmp and a /root of its own.
  mkdirSync('/opt', { recursive: true })
  const dir = mkdtempSync('/opt/holon-bench-')
  const rows: Comparison[] = []
  const servers: ReturnType<typeof spawn>[] = []
  try {
    const { server, options } = sshFiles(dir)
    cpSync(join(import.meta.dirname, 'rexec.erl'), join(dir, 'rexec.erl'))
    execFileSync('erlc', ['-o', dir, join(dir, 'rexec.erl')])
    await using lab = await Lab.up(5, { name: 'fleetbench' })
    for (const name of ['n1', 'n2', 'n3', 'n4', 'n5']) {
      await lab.machine(name).shell('mkdir -p /run/sshd')
      servers.push(lab.machine(name).startCommand(['/usr/sbin/sshd', '-D', '-f', server]))
    }
    const server2 = `srv@${lab.machine('n2').address}`
    for (const name of ['n1', 'n2']) await lab.machine(name).shell('epmd -daemon')
    servers.push(
      lab
        .machine('n2')
        .startCommand([
          'env',
          `HOME=${dir}`,
          'erl',
          '-noshell',
          '-name',
          server2,
          '-setcookie',
          'bench',
          '-pa',
          dir,
          '-run',
          'rexec',
          'server',
        ]),
    )
    await new Promise((resolve) => setTimeout(resolve, 5000))
    for (const name of inLab) {
      if (!wants(name)) continue
      process.stderr.write(`${name} …\n`)
      const driver = [process.execPath, join(root, 'bench/fleet/driver.ts'), name]
      const own = `cli@${lab.machine('n1').address}`
      const args = [...driver, join(root, 'dist/sdk.js'), dir, own, server2, ...options]
      const { status, stdout, stderr } = await lab.machine('n1').exec(args, { timeoutMs: 300_000 })
      if (status !== 0) throw new Error(`${name}: ${stderr}`)
      rows.push(...(JSON.parse(stdout) as Comparison[]))
    }
    if (wants('fleet-idle')) rows.push(...(await idle(lab)))
  } finally {
    for (const child of servers) child.kill('SIGKILL')
    rmSync(dir, { recursive: true, force: true })
  }
  return rows
}
