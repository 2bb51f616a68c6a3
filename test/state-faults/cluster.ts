/**
 * Three members of real etcd, each in a network namespace of its own on a bridge, so that one can
 * be cut off from the others. Their clients use unix sockets, which no partition touches: a client
 * of a member that is cut off talks to that member. Needs root.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { EtcdMember } from '../support/etcd.ts'

const peerPort = 23_200
const names = ['m1', 'm2', 'm3'] as const

/** The address of a member. */
const addressOf = (member: number) => `10.99.0.${member + 1}`

/** A network namespace, alive as long as its process. */
class Network implements AsyncDisposable {
  readonly #holder: ChildProcess = spawn('unshare', ['--net', 'sleep', '600'], { stdio: 'ignore' })

  get pid(): string {
    return String(this.#holder.pid)
  }

  get within(): readonly string[] {
    return ['nsenter', `--target=${this.pid}`, '--net']
  }

  run(...command: readonly string[]): void {
    const [nsenter = '', ...args] = this.within
    execFileSync(nsenter, [...args, ...command], { stdio: 'pipe' })
  }

  /** From now on drops, silently, what comes from these addresses alone. */
  drop(addresses: readonly string[]): void {
    this.run('nft', 'add table ip cut; flush table ip cut')
    this.run('nft', 'add chain ip cut input { type filter hook input priority 0; }')
    for (const each of addresses) this.run('nft', `add rule ip cut input ip saddr ${each} drop`)
  }

  /** Resolves when the namespace is not ours any more. */
  async ready(): Promise<void> {
    const link = (pid: string) => execFileSync('readlink', [`/proc/${pid}/ns/net`]).toString()
    const endMs = Date.now() + 5000
    while (link(this.pid) === link('self')) {
      if (Date.now() > endMs) throw new Error('unshare: no network namespace')
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.#holder.once('exit', resolve))
    if (this.#holder.kill('SIGKILL')) await ended
  }
}

export type Fault =
  | { readonly kind: 'kill' | 'freeze'; readonly member: number }
  | { readonly kind: 'cut'; readonly member: number }
  | { readonly kind: 'cut all' }
  /** Nothing that these send arrives at those; the other way all does. */
  | { readonly kind: 'one way'; readonly from: readonly number[]; readonly to: readonly number[] }

export class EtcdCluster implements AsyncDisposable {
  readonly members: readonly EtcdMember[]
  readonly #networks: readonly Network[]
  readonly #hub: Network

  private constructor(hub: Network, networks: readonly Network[]) {
    this.#hub = hub
    this.#networks = networks
    const cluster = names.map((name, i) => `${name}=http://${addressOf(i)}:${peerPort}`).join(',')
    this.members = networks.map(
      ({ within }, i) =>
        new EtcdMember({
          name: names[i] ?? '',
          host: addressOf(i),
          peerPort,
          cluster,
          within,
          flags: ['--heartbeat-interval=100', '--election-timeout=1000', '--pre-vote'],
        }),
    )
  }

  static async start(): Promise<EtcdCluster> {
    const hub = new Network()
    const networks = names.map(() => new Network())
    await hub.ready()
    hub.run('ip', 'link', 'add', 'name', 'br0', 'type', 'bridge')
    hub.run('ip', 'link', 'set', 'br0', 'up')
    for (const [i, network] of networks.entries()) {
      await network.ready()
      const port = `port${i}`
      const peer = ['peer', 'name', 'eth0', 'netns', network.pid]
      hub.run('ip', 'link', 'add', 'name', port, 'type', 'veth', ...peer)
      hub.run('ip', 'link', 'set', port, 'master', 'br0', 'up')
      network.run('ip', 'addr', 'add', `${addressOf(i)}/24`, 'dev', 'eth0')
      network.run('ip', 'link', 'set', 'lo', 'up')
      network.run('ip', 'link', 'set', 'eth0', 'up')
    }
    const cluster = new EtcdCluster(hub, networks)
    for (const member of cluster.members) member.start()
    await Promise.all(cluster.members.map((member) => member.ready()))
    return cluster
  }

  async begin(fault: Fault): Promise<void> {
    if (fault.kind === 'cut' || fault.kind === 'cut all') this.#links(fault, 'down')
    else if (fault.kind === 'one way') this.#drop(fault.to, fault.from)
    else if (fault.kind === 'kill') await this.members[fault.member]?.kill()
    else this.members[fault.member]?.signal('SIGSTOP')
  }

  end(fault: Fault): void {
    if (fault.kind === 'cut' || fault.kind === 'cut all') this.#links(fault, 'up')
    else if (fault.kind === 'one way') this.#drop(fault.to, [])
    else if (fault.kind === 'kill') this.members[fault.member]?.start()
    else this.members[fault.member]?.signal('SIGCONT')
  }

  #links(fault: Extract<Fault, { readonly kind: 'cut' | 'cut all' }>, state: 'up' | 'down'): void {
    const cut = fault.kind === 'cut' ? [fault.member] : this.members.keys()
    for (const member of cut) this.#hub.run('ip', 'link', 'set', `port${member}`, state)
  }

  #drop(at: readonly number[], from: readonly number[]): void {
    for (const member of at) this.#networks[member]?.drop(from.map(addressOf))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const member of this.members) await member[Symbol.asyncDispose]()
    for (const network of this.#networks) await network[Symbol.asyncDispose]()
    await this.#hub[Symbol.asyncDispose]()
  }
}
