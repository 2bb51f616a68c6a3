/**
 * Three members of real etcd, each in a network namespace of its own on a bridge, so that one can
 * be cut off from the others. Their clients use unix sockets, which no partition touches: a client
 * of a member that is cut off talks to that member. Needs root.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { EtcdMember } from '../support/etcd.ts'

const peerPort = 23_200
const names = ['m1', 'm2', 'm3'] as const

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

export class EtcdCluster implements AsyncDisposable {
  readonly members: readonly EtcdMember[]
  readonly #networks: readonly Network[]
  readonly #hub: Network

  private constructor(hub: Network, networks: readonly Network[]) {
    this.#hub = hub
    this.#networks = networks
    const cluster = names.map((name, i) => `${name}=http://10.99.0.${i + 1}:${peerPort}`).join(',')
    this.members = networks.map(
      ({ within }, i) =>
        new EtcdMember({
          name: names[i] ?? '',
          host: `10.99.0.${i + 1}`,
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
      network.run('ip', 'addr', 'add', `10.99.0.${i + 1}/24`, 'dev', 'eth0')
      network.run('ip', 'link', 'set', 'lo', 'up')
      network.run('ip', 'link', 'set', 'eth0', 'up')
    }
    const cluster = new EtcdCluster(hub, networks)
    for (const member of cluster.members) member.start()
    await Promise.all(cluster.members.map((member) => member.ready()))
    return cluster
  }

  async begin(fault: Fault): Promise<void> {
    if (fault.kind === 'cut' || fault.kind === 'cut all') return this.#links(fault, 'down')
    const member = this.members[fault.member]
    if (fault.kind === 'kill') await member?.kill()
    else member?.signal('SIGSTOP')
  }

  end(fault: Fault): void {
    if (fault.kind === 'cut' || fault.kind === 'cut all') {
      this.#links(fault, 'up')
      return
    }
    const member = this.members[fault.member]
    if (fault.kind === 'kill') member?.start()
    else member?.signal('SIGCONT')
  }

  #links(fault: Extract<Fault, { readonly kind: 'cut' | 'cut all' }>, state: 'up' | 'down'): void {
    const cut = fault.kind === 'cut' ? [fault.member] : this.members.keys()
    for (const member of cut) this.#hub.run('ip', 'link', 'set', `port${member}`, state)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const member of this.members) await member[Symbol.asyncDispose]()
    for (const network of this.#networks) await network[Symbol.asyncDispose]()
    await this.#hub[Symbol.asyncDispose]()
  }
}
