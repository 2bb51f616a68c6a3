/**
 * The agent, put together: this machine, the fleet that it belongs to, and a socket for every
 * caller. Ending it leaves everything running unless asked otherwise.
 */
import { deadline } from '../base/clock.ts'
import { version } from '../base/version.ts'
import { Fleet } from '../cluster/fleet.ts'
import { FleetSystem } from '../cluster/fleet-system.ts'
import type { PortSettings } from '../cluster/port-settings.ts'
import type { Directories } from '../io/paths.ts'
import type { System } from '../kernel/kernel.ts'
import { listenRpc } from '../rpc/listen.ts'
import { systemInterface } from '../rpc/wire.ts'
import { BundlesTarget } from './bundles/bundles-target.ts'
import { CallerSockets } from './caller-sockets.ts'
import { LocalMachine, type LocalMachineDeps, type LocalMachineOptions } from './local-machine.ts'
import { RelaySockets } from './relay-sockets.ts'
import { type Caller, requireOwner } from './users.ts'

export type AgentDeps = LocalMachineDeps

export interface AgentOptions extends LocalMachineOptions {
  readonly directories: Directories
  readonly port?: PortSettings
  /** Called once the agent has been asked to end, or to begin anew as another member. */
  readonly onEnd: (how: 'shutdown' | 'begin anew') => void
}

const openTimeoutMs = 60_000

export class Agent implements AsyncDisposable {
  readonly #deps: AgentDeps
  readonly #options: AgentOptions
  readonly #ends = new AsyncDisposableStack()
  readonly #machine: LocalMachine
  readonly #fleet: Fleet
  readonly #relays: RelaySockets

  /** Rejects with what is wrong and what to do when it cannot serve at all. */
  static async start(deps: AgentDeps, options: AgentOptions): Promise<Agent> {
    using limit = deadline(deps.clock, openTimeoutMs)
    await using opened = new AsyncDisposableStack()
    const machine = opened.use(await LocalMachine.open(deps, options, limit.signal))
    const fleet = opened.use(await openFleet(deps, options, machine))
    const agent = new Agent(deps, options, machine, fleet)
    await agent.#open()
    opened.move()
    return agent
  }

  private constructor(deps: AgentDeps, options: AgentOptions, machine: LocalMachine, fleet: Fleet) {
    this.#deps = deps
    this.#options = options
    this.#machine = machine
    this.#fleet = fleet
    this.#relays = new RelaySockets(options.directories.runtimeDir, (socket, caller) =>
      this.#fleet.relay(socket, machine.peerCaller(caller)),
    )
  }

  /** Lets go of everything; jobs go on. Once or twice alike. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#ends.disposeAsync()
  }

  async #open(): Promise<void> {
    const { report, host } = this.#deps
    // In this order they end, last first: no call is answered once its parts are gone.
    this.#ends.use(this.#machine)
    this.#ends.use(this.#fleet)
    this.#ends.use(this.#relays)
    const listen = (path: string, caller: Caller) => this.#listen(path, caller)
    const { runtimeDir } = this.#options.directories
    this.#machine.ports.open()
    const sockets = new CallerSockets({ listen, report }, runtimeDir, host.uid)
    this.#ends.use(sockets)
    await sockets.start()
  }

  #listen(path: string, caller: Caller): Promise<AsyncDisposable> {
    const onInternalError = (error: unknown, action: string) => {
      this.#deps.report(`bug: ${action}: ${error instanceof Error ? error.stack : String(error)}`)
    }
    const accept = () => this.system(caller)
    // Everyone who could enter the directory may connect: the directory is the lock.
    const options = { version, onInternalError, mode: 0o777 }
    return listenRpc(this.#deps.clock, path, systemInterface, accept, options)
  }

  /** For doors: the whole, for a caller whose name they vouch for. */
  system(caller: Caller): System {
    const owns = (what: string) => requireOwner(caller, this.#deps.host.uid, what)
    return new FleetSystem(this.#fleet.view, {
      local: this.#machine.part(caller),
      peer: this.#machine.peerCaller(caller),
      relaySocket: () => this.#relays.socket(caller),
      owns,
      by: `uid ${caller.uid}`,
      bundles: () => {
        owns('deploy; root may')
        return new BundlesTarget(this.#machine.bundles, this.#options.machine)
      },
      membership: () => {
        owns('change who belongs to the fleet; root may')
        return this.#fleet.membership
      },
      shutdown: async ({ stopJobs }, signal) => {
        owns('end the agent; root may')
        if (stopJobs) await this.#machine.stopJobs(signal)
        this.#options.onEnd('shutdown')
      },
    })
  }
}

function openFleet(deps: AgentDeps, options: AgentOptions, machine: LocalMachine): Promise<Fleet> {
  const { clock, random, report } = deps
  const { directories, machine: name, port = {} } = options
  return Fleet.open(
    { clock, random, report, local: machine, service: machine.etcd },
    { directories, name, port, onBeginAnew: () => options.onEnd('begin anew') },
  )
}
