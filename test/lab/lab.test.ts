/** `holon lab`: every verb, on machines that talk to each other. Needs root. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { readRecord } from '../../src/lab/record.ts'
import { isRoot, launcher, root } from '../e2e/harness.ts'
import { assertNothingLeft, Lab, labName, noLab } from './harness.ts'

const name = labName('lab')
const skip = noLab
const node = process.execPath

/** One try to connect and to be greeted, at most half a second. */
async function reaches(lab: Lab, from: string, to: string): Promise<boolean> {
  const { address } = lab.machine(to)
  const line = `exec 3<>/dev/tcp/${address}/7000 && read -r word <&3 && [ "$word" = hello ]`
  const { status } = await lab.machine(from).exec(['timeout', '0.5', 'bash', '-c', line])
  return status === 0
}

/** A server on port 7000 that greets. */
async function greet(lab: Lab, machine: string): Promise<void> {
  const server = `require('net').createServer(s=>{s.on('error',()=>{});s.write('hello\\n')}).listen(7000)`
  await lab.machine(machine).shell(`setsid ${node} -e "${server}" </dev/null >/dev/null 2>&1 &`)
  await lab.until(`${machine} listens`, () => reaches(lab, machine, machine))
}

/** "n1>n2" for every pair that can connect. */
async function links(lab: Lab, names: readonly string[]): Promise<readonly string[]> {
  const pairs = names.flatMap((from) =>
    names.filter((to) => to !== from).map((to) => [from, to] as const),
  )
  const found = await Promise.all(
    pairs.map(async ([from, to]) => ((await reaches(lab, from, to)) ? [`${from}>${to}`] : [])),
  )
  return found.flat()
}

/** Counts to stdout what arrives on UDP port 7001; `count` packets are sent to it from `from`. */
async function delivered(lab: Lab, from: string, to: string, count: number): Promise<number> {
  const program = `let n=0;const s=require('dgram').createSocket('udp4');
    s.on('message',m=>{if(String(m)==='end'){console.log(n);process.exit()}else n++});
    s.bind(7001,()=>console.log('ready'))`
  const receiver = lab.machine(to).startCommand([node, '-e', program])
  let said = ''
  receiver.stdout?.on('data', (chunk) => {
    said += String(chunk)
  })
  await lab.until('the receiver listens', () => said.includes('ready'))
  const address = lab.machine(to).address
  // The end is repeated until it arrives.
  const sender = `const s=require('dgram').createSocket('udp4');let n=0;
    const next=()=>{const end=n>=${count};s.send(end?'end':'x',7001,'${address}');
    if(++n<${count}+200)setTimeout(next,end?20:0);else process.exit()};next()`
  const sending = lab.machine(from).startCommand([node, '-e', sender])
  await lab.until('the end arrives', () => /ready\n\d+\n/.test(said))
  sending.kill('SIGKILL')
  return Number(/ready\n(\d+)/.exec(said)?.[1])
}

test('lab up: machines with own name, network, disks, processes and agent', { skip }, async () => {
  await Lab.with(3, { name, join: false }, async (lab) => {
    assert.deepEqual(
      lab.status().map(({ name: machine, status, cuts }) => [machine, status, cuts]),
      ['n1', 'n2', 'n3'].map((machine) => [machine, 'up', []]),
    )
    const agents = lab.status().map(({ agentPid }) => agentPid)
    for (const name of ['n1', 'n2', 'n3']) {
      const machine = lab.machine(name)
      const { stdout } = await machine.shell('hostname; cat /etc/hostname; pwd; echo $PPID')
      assert.equal(stdout, `${name}\n${name}\n/root\n0\n`)
      const status = await machine.json<{ agentPid: number; stateDir: string }>([
        'status',
        '--json',
      ])
      assert.equal(status.stateDir, '/var/lib/holon')
      assert.ok(agents.includes(status.agentPid))
    }
    await lab.machine('n1').shell('echo mine >/root/f; echo mine >/tmp/f; echo mine >/run/f')
    const there = await lab.machine('n2').shell('ls /root/f /tmp/f /run/f 2>/dev/null')
    assert.equal(there.stdout, '')
    const boots = new Set<string>()
    for (const name of ['n1', 'n2']) {
      boots.add((await lab.machine(name).shell('cat /proc/sys/kernel/random/boot_id')).stdout)
    }
    assert.equal(boots.size, 2)
    for (const name of ['n1', 'n2', 'n3']) await greet(lab, name)
    assert.equal((await links(lab, ['n1', 'n2', 'n3'])).length, 6)
    assert.equal((await lab.machine('n1').shell('getent hosts n3')).stdout.split(/\s+/)[1], 'n3')
    // Jobs in control groups, seen as on any host.
    assert.equal((await lab.machine('n1').holon(['run', 'hostname'])).stdout, 'n1\n')
    const { stdout } = await lab.machine('n1').shell('cat /proc/self/cgroup')
    assert.doesNotMatch(stdout, /holon-lab/)
  })
})

test('the first process reaps what is orphaned', { skip }, async () => {
  await Lab.with(1, { name, join: false }, async (lab) => {
    await lab.machine('n1').shell('for i in 1 2 3; do (sleep 0.1 &) ; done')
    const zombies = 'grep -lE "^State:.Z" /proc/[0-9]*/status 2>/dev/null; pgrep -x sleep -P 1'
    await lab.until('no orphan is left, dead or alive', async () => {
      const { stdout } = await lab.machine('n1').shell(`${zombies} | grep -v "^1$"`)
      return stdout === ''
    })
  })
})

test('lab sh: exit status, stdio, terminal; its end ends the command', { skip }, async () => {
  await Lab.with(1, { name, join: false }, async (lab) => {
    const run = (args: readonly string[], input?: string) =>
      lab.lab(['sh', ...args], input === undefined ? {} : { input })
    assert.equal((await run(['n1', '--', 'sh', '-c', 'exit 7'])).status, 7)
    assert.equal((await run(['n1', 'sh', '-c', 'exit 7'])).status, 7)
    assert.equal((await run(['n1', '--', 'sh', '-c', 'kill -9 $$'])).status, 137)
    assert.equal((await run(['n1', 'cat'], 'through')).stdout, 'through')
    const missing = await run(['n1', 'no-such-program'])
    assert.equal(missing.status, 127)
    assert.equal((await run(['n9', 'true'])).status, 4)

    const typed = 'tty; hostname; stty size; exit 3\n'
    const shell = `${launcher} lab sh --name ${name} n1`
    const terminal = spawn('script', ['-qec', shell, '/dev/null'], { stdio: 'pipe' })
    let screen = ''
    terminal.stdout.on('data', (chunk) => {
      screen += String(chunk)
    })
    await lab.until('the shell is there', () => screen.includes('n1'))
    terminal.stdin.write(typed)
    const status = await new Promise((resolve) => terminal.on('close', resolve))
    assert.equal(status, 3)
    assert.match(screen, /\/dev\/pts\/\d+/)
    assert.doesNotMatch(screen, /job control/)

    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      const child = spawn(launcher, ['lab', 'sh', '--name', name, 'n1', 'sleep', '4242'])
      const there = async () => (await lab.machine('n1').shell('pgrep -f "^sleep 4242"')).stdout
      await lab.until('the command runs', async () => (await there()) !== '')
      child.kill(signal)
      await lab.until(`${signal} ended it`, async () => (await there()) === '')
    }
  })
})

test('lab kill and restart: gone at once and silently; its disks stay', { skip }, async () => {
  await Lab.with(2, { name, join: false }, async (lab) => {
    await greet(lab, 'n2')
    const { address } = lab.machine('n2')
    const watcher = lab.machine('n1').startCommand([
      node,
      '-e',
      `const s=require('net').connect(7000,'${address}');
       for (const e of ['data','end','error','close']) s.on(e,x=>console.log(e,String(x)))`,
    ])
    let seen = ''
    watcher.stdout?.on('data', (chunk) => {
      seen += String(chunk)
    })
    await lab.until('they are connected', () => seen.includes('hello'))
    await lab.machine('n2').shell('echo kept >/var/lib/holon/kept; echo lost >/run/lost')
    await lab.machine('n2').ok(['run', '-d', 'sleep', '1000'])
    const bootId = 'cat /proc/sys/kernel/random/boot_id'
    const before = (await lab.machine('n2').shell(bootId)).stdout
    await lab.kill('n2')
    await lab.kill('n2')
    assert.deepEqual(
      lab.status().map(({ status }) => status),
      ['up', 'off'],
    )
    const refused = await lab.lab(['sh', 'n2', 'true'])
    assert.match(refused.stderr, /n2 is off; `holon lab restart n2`/)
    assert.equal(refused.status, 69)
    // Nobody told the other side: neither its end nor a reset arrives.
    await sleep(300)
    assert.equal(seen.replace(/^data hello\n+/, ''), '')
    watcher.kill('SIGKILL')

    await lab.restart('n2')
    const after = await lab
      .machine('n2')
      .shell('cat /var/lib/holon/kept; ls /run/lost 2>/dev/null; pgrep -x sleep | grep -v "^1$"')
    assert.equal(after.stdout, 'kept\n')
    assert.notEqual((await lab.machine('n2').shell(bootId)).stdout, before)
    assert.equal((await lab.machine('n2').holon(['status'])).status, 0)
    await greet(lab, 'n2')
    await lab.until('n1 reaches it again', () => reaches(lab, 'n1', 'n2'))
    // On a machine that runs it is a power cycle.
    await lab.restart('n1', 'n2')
    assert.equal((await lab.machine('n1').holon(['status'])).status, 0)
  })
})

test('lab freeze and thaw: everything stands still, and goes on', { skip }, async () => {
  await Lab.with(2, { name, join: false }, async (lab) => {
    // Something of everybody's: a shell's child, a job of the agent's.
    const tick = 'while :; do date +%s%N >/tmp/tick-$NAME; sleep 0.01; done'
    await lab
      .machine('n2')
      .shell(`NAME=shell setsid bash -c '${tick}' </dev/null >/dev/null 2>&1 &`)
    await lab.machine('n2').ok(['run', '-d', '-e', 'NAME=job', 'bash', '-c', tick])
    const disk = join(lab.record().disksDir, 'n2/tmp')
    const times = () =>
      ['shell', 'job'].map((who) => {
        const file = readdirSync(disk).includes(`tick-${who}`) ? join(disk, `tick-${who}`) : ''
        return file === '' ? 0 : Number(readFileSync(file, 'utf8'))
      })
    await lab.until('both tick', () => times().every((time) => time > 0))
    await lab.freeze('n2')
    assert.equal(lab.status()[1]?.status, 'frozen')
    const frozenAt = times()
    await sleep(300)
    assert.deepEqual(times(), frozenAt)
    const refused = await lab.lab(['sh', 'n2', 'true'])
    assert.match(refused.stderr, /n2 is frozen; `holon lab thaw n2` first/)
    // Its kernel lives: a connection is taken, and nobody answers.
    await lab.thaw('n2')
    assert.equal(lab.status()[1]?.status, 'up')
    await lab.until('both tick on', () => times().every((time, i) => time > (frozenAt[i] ?? 0)))
    await lab.freeze('n1', 'n2')
    await lab.kill('n2')
    assert.deepEqual(
      lab.status().map(({ status }) => status),
      ['frozen', 'off'],
    )
  })
})

test('lab cut, partition, heal: exactly those links, both ways or one', { skip }, async () => {
  await Lab.with(4, { name, join: false }, async (lab) => {
    const names = ['n1', 'n2', 'n3', 'n4']
    for (const machine of names) await greet(lab, machine)
    const all = await links(lab, names)
    assert.equal(all.length, 12)
    const without = (...gone: readonly string[]) => all.filter((link) => !gone.includes(link))

    await lab.cut('n1', 'n3')
    assert.deepEqual(await links(lab, names), without('n1>n3', 'n3>n1'))
    await lab.heal('n3')
    assert.deepEqual(await links(lab, names), all)

    await lab.cut('n2')
    assert.deepEqual(
      await links(lab, names),
      all.filter((link) => !link.includes('n2')),
    )
    // Also who comes later, and who takes another address.
    await lab.machine('n1').shell(`ip address add ${hostPart(lab, 99)}/24 dev eth0`)
    const from = `ping() { timeout 0.5 bash -c ": <>/dev/tcp/$1/7000"; }; ping`
    assert.notEqual((await lab.machine('n2').shell(`${from} ${hostPart(lab, 99)}`)).status, 0)
    assert.equal((await lab.machine('n3').shell(`${from} ${hostPart(lab, 99)}`)).status, 0)
    assert.equal(await lab.ok(['add']), '')
    await greet(lab, 'n5')
    assert.equal(await reaches(lab, 'n5', 'n2'), false)
    assert.equal(await reaches(lab, 'n5', 'n1'), true)
    assert.match((await lab.machine('n1').shell('cat /etc/hosts')).stdout, / n5\n/)
    await lab.heal()
    assert.equal(await reaches(lab, 'n5', 'n2'), true)

    await lab.partition('n1,n2 / n3,n4')
    const inGroup = ['n1>n2', 'n2>n1', 'n3>n4', 'n4>n3']
    assert.deepEqual(await links(lab, names), inGroup)
    // A cut outlives a power cycle.
    await lab.restart('n4')
    await greet(lab, 'n4')
    assert.deepEqual(await links(lab, names), inGroup)
    await lab.heal()
    assert.deepEqual(await links(lab, names), all)

    await lab.cutOneWay('n1', 'n2')
    assert.equal(await delivered(lab, 'n2', 'n1', 50), 50)
    await lab.heal()
    await lab.cutOneWay('n1', 'n3')
    assert.deepEqual(lab.status()[0]?.cuts, ['→ n3'])
    assert.deepEqual(lab.status()[2]?.cuts, ['← n1'])
  })
})

test('lab cut: a connection goes silent, is not reset, and goes on when healed', {
  skip,
}, async () => {
  await Lab.with(2, { name, join: false }, async (lab) => {
    const { address } = lab.machine('n2')
    const echo = `require('net').createServer(s=>{s.on('error',()=>{});s.pipe(s)}).listen(7000,()=>console.log('up'))`
    const server = lab.machine('n2').startCommand([node, '-e', echo])
    await new Promise((resolve) => server.stdout?.once('data', resolve))
    const client = lab.machine('n1').startCommand([
      node,
      '-e',
      `const s=require('net').connect(7000,'${address}');s.on('data',d=>process.stdout.write(d));
       for (const e of ['end','error']) s.on(e,()=>console.log(e));process.stdin.pipe(s)`,
    ])
    let seen = ''
    client.stdout?.on('data', (chunk) => {
      seen += String(chunk)
    })
    client.stdin?.write('one\n')
    await lab.until('the first line is back', () => seen === 'one\n')
    await lab.cutOneWay('n2', 'n1')
    client.stdin?.write('two\n')
    await sleep(500)
    assert.equal(seen, 'one\n')
    await lab.heal()
    await lab.until('the second line is back', () => seen === 'one\ntwo\n')
    client.kill('SIGKILL')
    server.kill('SIGKILL')
  })
})

test('lab loss: about that part of the packets, both ways', { skip }, async () => {
  await Lab.with(3, { name, join: false }, async (lab) => {
    assert.equal(await delivered(lab, 'n1', 'n2', 400), 400)
    await lab.loss('n2', 50)
    assert.equal(lab.status()[1]?.lossPercent, 50)
    for (const [from, to] of [
      ['n1', 'n2'],
      ['n2', 'n1'],
    ] as const) {
      const count = await delivered(lab, from, to, 400)
      // 10 standard deviations: never by chance.
      assert.ok(count > 100 && count < 300, `${from} → ${to}: ${count} of 400 arrived`)
    }
    assert.equal(await delivered(lab, 'n1', 'n3', 400), 400)
    await lab.loss('n2', 0)
    assert.equal(await delivered(lab, 'n1', 'n2', 400), 400)
  })
})

test('several labs live side by side', { skip }, async () => {
  await Lab.with(1, { name, join: false }, async (lab) => {
    const other = `${name}-2`
    await Lab.with(1, { name: other, join: false }, async (second) => {
      assert.notEqual(lab.record().network, second.record().network)
      await greet(lab, 'n1')
      assert.equal((await second.machine('n1').shell('hostname')).stdout, 'n1\n')
    })
    // The end of one has taken nothing of the other's, what they share included.
    await lab.machine('n1').shell('echo kept >/var/lib/holon/kept')
    assert.equal((await lab.machine('n1').holon(['status'])).status, 0)
    const taken = await lab.lab(['up', '1'])
    assert.equal(taken.status, 1)
    assert.match(taken.stderr, new RegExp(`lab "${name}" is there, with 1 machines`))
  })
})

test('lab down leaves nothing after a crash anywhere in `up`', { skip }, async () => {
  for (const afterMs of [60, 120, 200, 300, 450, 700, 1000, 1500]) {
    const up = spawn(launcher, ['lab', 'up', '--name', name, '--no-join', '3'], {
      detached: true,
      stdio: 'ignore',
    })
    const ended = new Promise((resolve) => up.on('close', resolve))
    await sleep(afterMs)
    if (up.pid !== undefined && up.exitCode === null) process.kill(-up.pid, 'SIGKILL')
    await ended
    const record = readRecord(name)
    for (const _ of [1, 2]) {
      const down = spawn(launcher, ['lab', 'down', '--name', name], { stdio: 'ignore' })
      assert.equal(await new Promise((resolve) => down.on('close', resolve)), 0)
    }
    assertNothingLeft(name, record)
  }
})

test('lab --dir: disks elsewhere; what is not the lab’s stays', { skip }, async () => {
  const dir = mkdtempSync(join(tmpdir(), 'holon-lab-'))
  try {
    const run = async (...args: readonly string[]) => {
      const child = spawn(launcher, ['lab', ...args, '--name', name], { stdio: 'ignore' })
      return new Promise((resolve) => child.on('close', resolve))
    }
    assert.equal(await run('up', '1', '--no-join', '--dir', join(dir, 'disks')), 0)
    writeFileSync(join(dir, 'disks/note'), 'not the lab’s')
    assert.equal(await run('down'), 0)
    assert.deepEqual(readdirSync(join(dir, 'disks')), ['note'])
    assert.equal(await run('up', '1', '--no-join', '--dir', join(dir, 'disks')), 1)
    assert.equal(await run('down'), 0)
    assertNothingLeft(name, undefined)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
})

test('without root or without a tool it says what is missing', {
  skip: !isRoot && 'needs root',
}, async () => {
  const told = (argv: readonly string[], env: NodeJS.ProcessEnv) => {
    const [file = '', ...args] = argv
    const child = spawn(file, args, { env, cwd: root, stdio: ['ignore', 'ignore', 'pipe'] })
    let stderr = ''
    child.stderr.on('data', (chunk) => {
      stderr += String(chunk)
    })
    return new Promise<string>((resolve) =>
      child.on('close', (code) => resolve(`${code} ${stderr}`)),
    )
  }
  const asUser = ['setpriv', '--reuid', '65534', '--clear-groups', launcher, 'lab', 'up', '2']
  assert.match(await told(asUser, process.env), /^77 holon: a lab needs root/)
})

function hostPart(lab: Lab, number: number): string {
  return `10.77.${lab.record().network}.${number}`
}
