/**
 * What is measured from inside a machine of the lab (n1), against peers that run on another one (n2):
 * Erlang's erpc and OpenSSH, started there by bench/fleet/main.ts. Prints comparisons as JSON.
 *
 *     node bench/fleet/driver.ts CASE SDK ERLANG_DIR OWN_NODE OTHER_NODE SSH_OPTIONS…
 */
import { type StdioOptions, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { atMost, type Comparison, inBlocks, inTurn, timeCommand } from '../measure.ts'

const [name = '', sdk = '', erlangDir = '', ownErl = '', otherErl = '', ...ssh] =
  process.argv.slice(2)
const other = 'n2'
/** Nothing to read, nothing to keep; complaints are shown. */
const quiet: { readonly stdio: StdioOptions } = { stdio: ['ignore', 'ignore', 'inherit'] }

/** Milliseconds of each of `calls` erpc calls of os:cmd("true"). */
async function erlang() {
  const child = spawn(
    'erl',
    [
      '-noshell',
      '-name',
      ownErl,
      '-setcookie',
      'bench',
      '-pa',
      erlangDir,
      '-run',
      'rexec',
      'client',
      otherErl,
    ],
    { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, HOME: erlangDir } },
  )
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const first = await lines.next()
  if (first.value !== 'ready') throw new Error(`erl says ${first.value}`)
  return {
    async call(): Promise<number> {
      child.stdin.write('go\n')
      const { value } = await lines.next()
      return Number(value) / 1e6
    },
    end: () => void child.stdin.end(),
  }
}

/** SDK run('true') on n2, erpc + os:cmd, and a session over an open ControlMaster, in turn. */
async function remoteRun(): Promise<readonly Comparison[]> {
  const { connect } = (await import(sdk)) as typeof import('../../src/doors/sdk/index.ts')
  await using holon = await connect()
  const erl = await erlang()
  const control = [...ssh, '-S', `${erlangDir}/mux`]
  spawnSync('ssh', [...control, '-M', '-f', '-N', other], quiet)
  const timed = async (work: () => Promise<unknown>) => {
    const start = performance.now()
    await work()
    return performance.now() - start
  }
  const [ours = 0, erpc = 0, mux = 0] = await inBlocks(8, 40, [
    { name: 'holon', run: () => timed(() => holon.run('true', { machine: other })) },
    { name: 'erpc', run: () => erl.call() },
    { name: 'ssh', run: () => timeCommand('ssh', [...control, other, 'true']) },
  ])
  erl.end()
  spawnSync('ssh', [...control, '-O', 'exit', other], { stdio: 'ignore' })
  return [
    atMost("SDK remote run('true') / erpc + os:cmd", ours, erpc, 1),
    atMost("SDK remote run('true') / ssh, ControlMaster", ours, mux, 1),
  ]
}

async function cliRun(): Promise<readonly Comparison[]> {
  const [ours = 0, peer = 0] = await inTurn(15, [
    { name: 'holon', run: () => timeCommand('holon', ['run', '-m', other, 'true']) },
    { name: 'ssh', run: () => timeCommand('ssh', [...ssh, other, 'true']) },
  ])
  return [atMost('holon run -m n2 true / a new ssh connection', ours, peer, 0.35)]
}

async function psAll(): Promise<readonly Comparison[]> {
  const machines = ['n1', 'n2', 'n3', 'n4', 'n5']
  const loop = machines.map((each) => `ssh ${ssh.join(' ')} ${each} ps -ef & `).join('')
  const [ours = 0, peer = 0] = await inTurn(11, [
    { name: 'holon', run: () => timeCommand('holon', ['ps', '-A']) },
    { name: 'ssh', run: () => timeCommand('sh', ['-c', `${loop} wait`]) },
  ])
  return [atMost('holon ps -A on 5 machines / a parallel ssh loop', ours, peer, 0.3)]
}

/** Bytes from a program on n2 to one here. */
async function throughput(): Promise<readonly Comparison[]> {
  const bytes = 1 << 30
  const program = ['head', '-c', String(bytes), '/dev/zero']
  const pumped = async (command: string, args: readonly string[]) => {
    const start = performance.now()
    const child = spawn('sh', ['-c', '"$@" | cat >/dev/null', 'sh', command, ...args], quiet)
    const [status] = await once(child, 'exit')
    if (status !== 0) throw new Error(`${command}: ${status}`)
    return bytes / 2 ** 30 / ((performance.now() - start) / 1000)
  }
  const [ours = 0, peer = 0] = await inTurn(5, [
    { name: 'holon', run: () => pumped('holon', ['run', '-m', other, ...program]) },
    { name: 'ssh', run: () => pumped('ssh', [...ssh, other, ...program]) },
  ])
  const ratio = ours / peer
  const what = 'stdio through run -m n2 / ssh'
  return [{ what, ours, peer, unit: 'GiB/s', ratio, bar: '≥ 1.5 ×', met: ratio >= 1.5 }]
}

const cases: Readonly<Record<string, () => Promise<readonly Comparison[]>>> = {
  'remote-run': remoteRun,
  'cli-run': cliRun,
  'ps-all': psAll,
  throughput,
}
const run = cases[name]
if (run === undefined) throw new Error(`no case ${name}`)
process.stdout.write(`${JSON.stringify(await run())}\n`)
