/** `holon run` on another machine is as on this one: status, stdio, terminal, signals, users. */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { launcher } from '../e2e/harness.ts'
import {
  assertStatus,
  hasProcess,
  Started,
  start,
  untilNoProcess,
  untilProcess,
} from './fleet-support.ts'
import { Lab, labName, noLab } from './harness.ts'

const skip = noLab
const noTerminal = noLab || (spawnSync('tmux', ['-V']).status !== 0 && 'tmux is not installed')
const name = labName('fleet-run')
const holon = JSON.stringify(launcher)
let lab: Lab

before(async () => {
  if (noLab === false) lab = await Lab.up(3, { name })
})
after(() => lab?.[Symbol.asyncDispose]())

const on = (machine: string, ...argv: readonly string[]) =>
  lab.machine('n1').holon(['run', '-m', machine, ...argv])

test('run -m: exit statuses', { skip }, async () => {
  for (const [line, status] of [
    ['exit 0', 0],
    ['exit 7', 7],
    ['kill -TERM $$', 143],
    ['kill -KILL $$', 137],
  ] as const) {
    assertStatus(await on('n2', 'sh', '-c', line), status, line)
  }
  const missing = await on('n2', 'no-such-program-here')
  assertStatus(missing, 127, 'a program that is not there')
  assert.match(missing.stderr, /cannot execute "no-such-program-here" on n2: ENOENT/)
  assertStatus(await on('n2', '/etc/passwd'), 126, 'what is no program')
  const nowhere = await on('n2', '--cwd', '/not/there', 'true')
  assertStatus(nowhere, 127, 'a directory that is not there')
  assert.match(nowhere.stderr, /it was to run in "\/not\/there".*--cwd/)
  assertStatus(await on('n9', 'true'), 125, 'a machine that is not there')
})

test('run -m: stdin to its end, stderr apart, environment, directory', { skip }, async () => {
  const n1 = lab.machine('n1')
  const echoed = await n1.holon(['run', '-m', 'n2', 'cat'], { input: 'through\n' })
  assert.deepEqual(echoed, { status: 0, stdout: 'through\n', stderr: '' })
  const apart = await on('n2', 'sh', '-c', 'echo out; echo err >&2; exit 3')
  assert.deepEqual(apart, { status: 3, stdout: 'out\n', stderr: 'err\n' })
  const script = 'pwd; hostname; echo "$FROM_HERE/$ADDED"; umask'
  const line = `cd /usr && umask 027 && FROM_HERE='a b' ${holon} run -m n2 -e ADDED=x sh -c '${script}'`
  assert.equal((await n1.shell(line)).stdout, '/usr\nn2\na b/x\n0027\n')
  assert.equal((await on('n2', '--cwd', '/tmp', 'pwd')).stdout, '/tmp\n')
  // A program that closes its stdin does not make it hang.
  const closed = await n1.holon(['run', '-m', 'n2', 'sh', '-c', 'exec <&-; echo done'], {
    input: Buffer.alloc(4 << 20),
  })
  assert.deepEqual(closed, { status: 0, stdout: 'done\n', stderr: '' })
})

test('run -m: 200 MB arrive whole and in order, both ways', { skip }, async () => {
  const numbers = 'seq 1 25000000 | head -c 200000000'
  const n1 = lab.machine('n1')
  const sum = async (line: string) => {
    const { stdout } = await n1.shell(`set -o pipefail; ${line} | sha256sum`)
    return stdout.split(' ')[0]
  }
  const here = await sum(numbers)
  assert.equal(await sum(`${holon} run -m n2 sh -c '${numbers}'`), here)
  const there = await n1.shell(`${numbers} | ${holon} run -m n2 sha256sum`)
  assert.equal(there.stdout.split(' ')[0], here)
})

test('run -m: who does not read is waited for, and agents stay small', { skip }, async () => {
  const memory = async (machine: string) => {
    const { stdout } = await lab
      .machine(machine)
      .shell('ps -o rss= -C holon-agent | sort -n | tail -1')
    return Number(stdout) / 1024
  }
  const before = [await memory('n1'), await memory('n2')]
  const line = `${holon} run -m n2 yes | (sleep 2; head -1; ps -o rss= -C holon-agent)`
  const running = new Started(lab.machine('n1').startCommand(['bash', '-c', line]))
  await untilProcess(lab, 'n2', 'yes')
  let most = [0, 0]
  await lab.until('the reader reads', async () => {
    most = [Math.max(most[0] ?? 0, await memory('n1')), Math.max(most[1] ?? 0, await memory('n2'))]
    return running.stdout !== ''
  })
  const ended = await running.endsWithin(10_000, 'yes into a closed pipe')
  assert.match(ended.stdout, /^y\n/)
  await untilNoProcess(lab, 'n2', 'yes', 5_000)
  for (const i of [0, 1]) {
    const grown = (most[i] ?? 0) - (before[i] ?? 0)
    assert.ok(grown < 64, `the agent of n${i + 1} grew by ${grown.toFixed(0)} MiB`)
  }
})

test('run -m yes | head ends at once on both sides', { skip }, async () => {
  const piped = new Started(
    lab.machine('n1').startCommand(['bash', '-c', `${holon} run -m n2 yes | head -2`]),
  )
  assert.equal((await piped.endsWithin(3_000, 'yes | head')).stdout, 'y\ny\n')
  await untilNoProcess(lab, 'n2', 'yes', 3_000)
})

test('run -m: pipes between machines', { skip }, async () => {
  const line = `seq 1 100000 >/tmp/log; ${holon} run -m n1 cat /tmp/log |
    ${holon} run -m n2 sort -rn | ${holon} run -m n3 sed 's/^/n3 /' | head -2`
  const { stdout } = await lab.machine('n1').shell(line)
  assert.equal(stdout, 'n3 100000\nn3 99999\n')
  for (const machine of ['n2', 'n3']) {
    const left = async () =>
      (await lab.machine(machine).exec(['pgrep', '-x', 'sort|sed'])).status !== 0
    await lab.until(`nothing is left on ${machine}`, left)
  }
})

test('run -m: signals reach the program, with its own way to take them', { skip }, async () => {
  const script =
    'trap "echo term; exit 9" TERM; trap "echo usr1" USR1; echo ready; while :; do sleep 0.05; done'
  const running = start(lab.machine('n1'), ['run', '-m', 'n2', 'sh', '-c', script])
  await lab.until('it is ready', () => running.stdout === 'ready\n')
  lab.machine('n1').signal(running.child, 'SIGUSR1')
  await lab.until('it had USR1', () => running.stdout === 'ready\nusr1\n')
  lab.machine('n1').signal(running.child, 'SIGTERM')
  const ended = await running.endsWithin(5_000, 'the program had TERM')
  assertStatus(ended, 9, 'TERM')
  assert.equal(ended.stdout, 'ready\nusr1\nterm\n')
})

test('run -m: SIGKILL to the client ends the program, also one that does not read', {
  skip,
}, async () => {
  const idle = start(lab.machine('n1'), ['run', '-m', 'n2', 'sleep', '4001'])
  const full = new Started(
    lab.machine('n1').startCommand(['bash', '-c', `yes | exec ${holon} run -m n2 sleep 4002`]),
  )
  for (const line of ['sleep 4001', 'sleep 4002']) await untilProcess(lab, 'n2', line)
  // Until what is between them is full.
  const { stdout } = await lab
    .machine('n1')
    .exec(['pgrep', '-f', 'cli.cjs run -m n2 sleep 400[12]'])
  await lab.machine('n1').exec(['kill', '-KILL', ...stdout.trim().split('\n')])
  await untilNoProcess(lab, 'n2', 'sleep 4001', 3_000)
  await untilNoProcess(lab, 'n2', 'sleep 4002', 20_000)
  for (const each of [idle, full]) await each.endsWithin(5_000, 'the killed client')
})

test('run -d on another machine: runs, logs, attach, wait from any', { skip }, async () => {
  const [n1, n2, n3] = ['n1', 'n2', 'n3'].map((machine) => lab.machine(machine))
  assert.ok(n1 && n2 && n3)
  const script = 'echo begun; read line; echo "got $line"; exit 5'
  const id = (await n1.ok(['run', '-d', '-i', '-m', 'n2', 'sh', '-c', script])).trim()
  assert.match(await n3.ok(['runs', '--no-headers']), new RegExp(`^${id} +n2 +running`, 'm'))
  await lab.until('its log is there', async () =>
    /n2 run\/\S+ *: begun/.test(await n3.ok(['logs', `run/${id}`])),
  )
  // The agent there may end meanwhile.
  await n2.shell('kill -KILL $(pgrep -x holon-agent | head -1)')
  await n2.ok(['up'])
  await lab.until('n3 sees it again', async () => (await n3.ok(['runs'])).includes(id))
  const waiting = start(n1, ['wait', id])
  const attached = await n3.holon(['attach', id], { input: 'a word\n' })
  assertStatus(attached, 5, 'attach')
  assert.match(attached.stdout, /got a word/)
  assertStatus(await waiting.endsWithin(5_000, 'wait'), 5, 'wait')
  assert.match(await n1.ok(['logs', `run/${id}`]), /begun\n.*got a word/)
  assert.match(await n1.ok(['runs', '--no-headers']), new RegExp(`^${id} +n2 +ended +5`, 'm'))
  await n3.ok(['runs', '--rm', id])
  assertStatus(await n1.holon(['wait', id]), 4, 'what is forgotten')
})

test('run: an ordinary user is the same user there, or is told', { skip }, async () => {
  // Each machine has a user list of its own from here on; n3's lacks her.
  const user = 'lab-alice'
  const add = `cp /etc/passwd /root/passwd && mount --bind /root/passwd /etc/passwd`
  for (const machine of ['n1', 'n2', 'n3']) {
    await lab.machine(machine).shell(add)
    if (machine === 'n3') continue
    // Not the same number: who she is goes by name.
    const line = `echo ${user}:x:${machine === 'n1' ? 4242 : 4343}:4242::/tmp:/bin/sh >>/etc/passwd`
    await lab.machine(machine).shell(line)
  }
  const as = (command: string) =>
    lab
      .machine('n1')
      .exec([
        'setpriv',
        '--reuid',
        '4242',
        '--regid',
        '4242',
        '--clear-groups',
        'sh',
        '-c',
        `cd /tmp; ${command}`,
      ])
  const there = await as(`${holon} run -m n2 id -u`)
  assert.deepEqual(there, { status: 0, stdout: '4343\n', stderr: '' })
  const refused = await as(`${holon} run -m n3 id -u`)
  assertStatus(refused, 125, 'no such user')
  assert.match(refused.stderr, new RegExp(`n3.*${user}`))
  const own = (await as(`${holon} run -m n2 -d sleep 4003`)).stdout.trim()
  assert.notEqual(own, '')
  const roots = (await lab.machine('n1').ok(['run', '-m', 'n2', '-d', 'sleep', '4004'])).trim()
  const runs = await as(`${holon} runs --no-headers`)
  assert.match(runs.stdout, new RegExp(own))
  assert.doesNotMatch(runs.stdout, new RegExp(roots))
  assertStatus(await as(`${holon} runs --stop ${roots}`), 77, "another's run")
  const kill = await as(`${holon} kill n2:$(${holon} pgrep -fx 'sleep 4004' | cut -d: -f2)`)
  assertStatus(kill, 1, "another's process")
  assert.ok(await hasProcess(lab, 'n2', 'sleep 4004'))
  assertStatus(await as(`${holon} runs --stop ${own}`), 0, 'her own run')
  await untilNoProcess(lab, 'n2', 'sleep 4003')
  assertStatus(await as(`${holon} invite`), 77, 'invite')
})

test('run --each: prefixes, whole lines, a summary, the largest status', { skip }, async () => {
  const script =
    'for i in $(seq 500); do printf "$(hostname)-"; echo "$i-xxxxxxxxxxxxxxxxxxx"; done'
  const all = await lab.machine('n1').holon(['run', '--each', 'bash', '-c', script])
  assertStatus(all, 0, '--each')
  const lines = all.stdout.trimEnd().split('\n')
  assert.equal(lines.length, 1500)
  for (const machine of ['n1', 'n2', 'n3']) {
    const own = lines.filter((line) => line.startsWith(`${machine} | `))
    const wanted = own.map((_, i) => `${machine} | ${machine}-${i + 1}-xxxxxxxxxxxxxxxxxxx`)
    assert.deepEqual(own, wanted)
  }
  const mixed = 'case $(hostname) in n2) exit 3;; n3) kill -KILL $$;; esac'
  const result = await lab.machine('n2').holon(['run', '--each', 'sh', '-c', mixed])
  assertStatus(result, 137, '--each with failures')
  assert.match(result.stderr, /1 of 3 machines: exit 0; n2: exit 3; n3: SIGKILL/)
  assert.equal(
    (await lab.machine('n1').ok(['run', '--each', '-m', 'n[2-3]', 'hostname'])).split('\n').length,
    3,
  )
})

test('run goes where labels, zones and requirements say, and says why', { skip }, async () => {
  const n1 = lab.machine('n1')
  await n1.ok(['machines', 'label', 'n2', 'zone=eu/paris', 'disk=ssd'])
  await lab.until('all know it', async () =>
    (await lab.machine('n3').ok(['machines', '-o', 'wide'])).includes('disk=ssd'),
  )
  const n3 = lab.machine('n3')
  assert.equal(await n3.ok(['run', '-m', 'eu/*', 'hostname']), 'n2\n')
  assert.equal(await n3.ok(['run', '--require', 'disk=ssd', 'hostname']), 'n2\n')
  const explained = await n3.holon([
    'run',
    '--require',
    'zone=eu/paris cpus>=1',
    '--explain',
    'true',
  ])
  assert.match(explained.stderr, /on n2: .*\n(?:.*\n)*n1 +- +.*zone/)
  const none = await n3.holon(['run', '--require', 'cpus>=100', 'true'])
  assertStatus(none, 125, 'no machine fits')
  assert.match(none.stderr, /no machine fits .*n1.*n2.*n3/)
  await n1.ok(['machines', 'label', 'n2', 'zone=', 'disk='])
})

/** A shell on n1 in a terminal of its own. */
class Terminal implements Disposable {
  readonly #socket = `/tmp/tmux-${process.pid}-${Math.random().toString(36).slice(2)}`

  async open(columns: number, rows: number): Promise<void> {
    const size = ['-x', String(columns), '-y', String(rows)]
    const shell = `PS1='$ ' TERM=xterm ${holon} lab sh --name ${name} n1 -- bash --norc --noprofile`
    await this.tmux('-f', '/dev/null', 'new-session', '-d', ...size, shell)
    await this.type(`export HOLON=${holon} PS1='$ '; clear`, 'Enter')
    await this.shows(/^\$ ?$/m)
  }

  async type(...keys: readonly string[]): Promise<void> {
    await this.tmux('send-keys', ...keys)
  }

  screen(): Promise<string> {
    return this.tmux('capture-pane', '-p')
  }

  async shows(pattern: RegExp): Promise<void> {
    const state = { screen: '' }
    const check = async () => {
      state.screen = await this.screen()
      return pattern.test(state.screen)
    }
    await lab.until(`the screen shows ${pattern}`, check).catch((error: unknown) => {
      throw new Error(`${error instanceof Error ? error.message : error}\n${state.screen}`)
    })
  }

  tmux(...args: readonly string[]): Promise<string> {
    return new Promise((resolve) => {
      const child = spawn('tmux', ['-S', this.#socket, ...args], {
        stdio: ['ignore', 'pipe', 'ignore'],
      })
      let out = ''
      child.stdout.on('data', (chunk) => {
        out += String(chunk)
      })
      child.on('close', () => resolve(out))
    })
  }

  [Symbol.dispose](): void {
    spawnSync('tmux', ['-S', this.#socket, 'kill-server'], { stdio: 'ignore' })
    rmSync(this.#socket, { force: true })
  }
}

test('run -m with a terminal: size, Ctrl-C, Ctrl-Z', { skip: noTerminal }, async () => {
  using terminal = new Terminal()
  await terminal.open(90, 30)
  await terminal.type('"$HOLON" run -m n2 sh -c \'stty size; read x; stty size\'', 'Enter')
  await terminal.shows(/^30 90$/m)
  await terminal.tmux('resize-window', '-x', '70', '-y', '20')
  await lab.until('our own terminal has the size', async () => {
    const { stdout } = await lab
      .machine('n2')
      .shell('for f in /dev/pts/[0-9]*; do stty size <$f; done')
    return stdout.includes('20 70')
  })
  await terminal.type('', 'Enter')
  await terminal.shows(/^20 70$/m)
  await terminal.type(
    'stty -g >/tmp/before; "$HOLON" run -m n2 sleep 4005; echo status $?; stty -g | cmp - /tmp/before && echo same',
    'Enter',
  )
  await untilProcess(lab, 'n2', 'sleep 4005')
  await terminal.type('C-c')
  await terminal.shows(/status 130\s+same$/m)
  await terminal.type('clear; "$HOLON" run -m n2 cat -u', 'Enter')
  // What is typed before would be echoed by our own terminal.
  await untilProcess(lab, 'n2', 'cat -u')
  await terminal.type('one', 'Enter')
  await terminal.shows(/one\none/)
  await terminal.type('C-z')
  await terminal.shows(/Stopped/)
  await terminal.type('fg', 'Enter')
  await terminal.type('two', 'Enter')
  await terminal.shows(/two\ntwo/)
  await terminal.type('C-d')
  await terminal.type('echo ended $?', 'Enter')
  await terminal.shows(/^ended 0$/m)
})

test('top: all machines on one screen, live; one that falls silent is named', {
  skip: noTerminal,
}, async () => {
  using terminal = new Terminal()
  await terminal.open(120, 50)
  for (const machine of ['n2', 'n3']) await on(machine, '-d', 'sleep', '4017')
  await terminal.type('clear; echo before-top; "$HOLON" top -c -o pid', 'Enter')
  for (const machine of ['n1', 'n2', 'n3']) {
    await terminal.shows(new RegExp(`^ *${machine} +up .* load .* cpu .* mem `, 'm'))
  }
  for (const machine of ['n2', 'n3']) {
    await terminal.shows(new RegExp(`^ *${machine} +\\d+ root .* sleep 4017$`, 'm'))
  }
  await lab.freeze('n3')
  await terminal.shows(/^n3 .*its processes are not shown$/m)
  assert.doesNotMatch(await terminal.screen(), /^ *n3 +\d+ root /m)
  await lab.thaw('n3')
  await terminal.shows(/^ *n3 +\d+ root .* sleep 4017$/m)
  assert.doesNotMatch(await terminal.screen(), /are not shown/)
  await terminal.type('q')
  await terminal.shows(/^before-top$/m)
  assert.doesNotMatch(await terminal.screen(), /sleep 4017/)
})
