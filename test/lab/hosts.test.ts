/**
 * `holon lab` on other kinds of hosts than this one: other control groups, no nftables, a firewall
 * that forwards nothing. Each is this host with something covered up, in Linux namespaces of its
 * own. Needs root.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { test } from 'node:test'
import { launcher, type Result } from '../e2e/harness.ts'
import { assertNothingLeft, labName, noLab } from './harness.ts'

const name = labName('hosts')
const lab = (line: string) => {
  const [verb = '', ...rest] = line.split(' ')
  return [`"$HOLON" lab ${verb} --name ${name}`, ...rest].join(' ')
}
const connect = (from: string, to: string) =>
  lab(`sh ${from} timeout 1 bash -c "echo hello >/dev/tcp/${to}/4700"`)
/** A server on n2, gone with it. */
const serve = lab(
  `sh n2 sh -c "setsid ${process.execPath} -e \\"require('net').createServer(s=>s.resume()).listen(4700)\\" </dev/null >/dev/null 2>&1 &"`,
)
const waitFor = (line: string) =>
  `for i in $(seq 50); do ${line} 2>/dev/null && break; sleep 0.1; done`

/** Everything that the kind of host could change, ended by the lab's end. */
const story = [
  'set -eu',
  `trap '${lab('down >/dev/null')}' EXIT`,
  lab('up 2 --no-join'),
  serve,
  waitFor(connect('n1', 'n2')),
  connect('n1', 'n2'),
  lab('cut n1 n2'),
  `if ${connect('n1', 'n2')} 2>/dev/null; then echo "cut n1 n2 cuts nothing"; exit 1; fi`,
  lab('heal'),
  connect('n1', 'n2'),
  lab('freeze n2'),
  `${lab('ls --no-headers')} | grep -q "^n2 .*frozen"`,
  lab('thaw n2'),
  connect('n1', 'n2'),
  lab('sh n1 holon run true'),
  lab('freeze n1'),
  lab('restart n1'),
  lab('sh n1 holon run true'),
].join('\n')

/** The story after `before`, in new namespaces. */
function tell(namespaces: readonly string[], before: string): Promise<Result> {
  const argv = [...namespaces, 'bash', '-c', `${before}\n${story}`]
  const child = spawn('unshare', argv, {
    env: { ...process.env, HOLON: launcher, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const text = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].on('data', (chunk) => {
      text[name] += String(chunk)
    })
  }
  return new Promise((resolve) => {
    child.on('close', (code) => resolve({ status: code ?? 255, ...text }))
  })
}

const kinds: readonly (readonly [string, readonly string[], string])[] = [
  [
    'with cgroup v2 alone',
    ['-m'],
    'umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup',
  ],
  [
    'with cgroup v1 alone',
    ['-m'],
    'for path in $(awk \'$3 == "cgroup2" { print $2 }\' /proc/self/mounts); do umount "$path"; done',
  ],
  ['without control groups', ['-m'], 'umount -R /sys/fs/cgroup'],
  [
    'without nftables',
    ['-m'],
    'for path in $(which -a nft); do mount --bind /dev/null "$path"; done',
  ],
  ['whose firewall forwards nothing', ['-n'], 'ip link set lo up; iptables -P FORWARD DROP'],
]

for (const [kind, namespaces, before] of kinds) {
  test(`a lab works on a host ${kind}`, { skip: noLab }, async () => {
    const { status, stdout, stderr } = await tell(namespaces, before)
    assert.equal(status, 0, `${stdout}${stderr}`)
    assertNothingLeft(name, undefined)
  })
}

test('where nothing can drop packets, cuts refuse with the reason', { skip: noLab }, async () => {
  const cover = `for path in $(which -a nft iptables-restore ip6tables-restore); do
    mount --bind /dev/null "$path"
  done`
  const { status, stderr } = await tell(['-m'], cover)
  assert.equal(status, 2)
  assert.match(
    stderr,
    /a lab needs nft, not found here; on Debian and Ubuntu: apt install nftables/,
  )
  assertNothingLeft(name, undefined)
})
