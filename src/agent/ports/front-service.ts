/**
 * The front of this machine, as its agent sees it: kept running while units have public ports, and
 * told whenever something about them changes.
 *
 * The front outlives the agent, which finds it again by its socket. What the agent wants of it is
 * one table, given as a whole each time; giving it twice changes nothing. A front that is lost is
 * started anew by its keeper, and told again.
 */
import { type Clock, deadline, sleep } from '../../base/clock.ts'
import { asHolonError, HolonError } from '../../base/errors.ts'
import { version } from '../../base/version.ts'
import type { ServiceRunner, ServiceSpec } from '../../cluster/etcd/service-runner.ts'
import { type FrontControl, type FrontState, frontInterface } from '../../front/control.ts'
import type { UnitTraffic } from '../../front/stats.ts'
import type { FrontTable } from '../../front/table.ts'
import { connectRpc, type RpcClient } from '../../rpc/connect.ts'
import { Changes } from '../emitter.ts'

export interface FrontProgram {
  /** The pinned Node, and the front's code. */
  readonly argv: readonly string[]
  readonly socketPath: string
  readonly logDir: string
}

export interface FrontServiceDeps {
  readonly clock: Clock
  readonly service: ServiceRunner
  /** What it should do now; undefined while that is not known: then it is left as it is. */
  readonly table: () => FrontTable | undefined
  /** Where others find it has changed. */
  readonly moved: () => void
  readonly report: (message: string) => void
}

const callMs = 5_000
const retryMs = 200
/** It is told again after this when it could not open a port. */
const problemMs = 3_000
/** Without any public port it ends after this: perhaps one comes again. */
const idleMs = 30_000

export class FrontService implements AsyncDisposable {
  readonly #deps: FrontServiceDeps
  readonly #program: FrontProgram
  readonly #life = new AbortController()
  readonly #changes = new Changes()
  #client: RpcClient<FrontControl> | undefined
  #state: FrontState = { problems: [], port: 0 }
  #said = ''
  /** Counts what there is to tell; and how much of that was told. */
  #wanted = 1
  #told = 0
  #running: Promise<void> | undefined

  constructor(deps: FrontServiceDeps, program: FrontProgram) {
    this.#deps = deps
    this.#program = program
  }

  start(): void {
    this.#running = this.#run()
  }

  /** What the table says may be another thing now. */
  changed(): void {
    this.#wanted += 1
    this.#changes.notify()
  }

  /** Resolves when the front works by what the table says now. */
  async applied(signal: AbortSignal): Promise<void> {
    const wanted = this.#wanted
    await this.#changes.until(() => (this.#told >= wanted ? true : undefined), signal)
  }

  /** Ports that it cannot open, and where it is found by others. */
  get state(): FrontState {
    return this.#state
  }

  /** Why a public port is not open, if it should be and is not. */
  problemOf(port: number): string | undefined {
    return this.#state.problems.find((each) => each.port === port)?.why
  }

  async underWay(instance: string, signal: AbortSignal): Promise<number> {
    if (this.#client === undefined) throw new HolonError('unavailable', 'there is no front')
    return await this.#client.main.underWay(instance, { signal })
  }

  /** Empty while there is none. */
  async traffic(signal: AbortSignal): Promise<readonly UnitTraffic[]> {
    return (await this.#client?.main.traffic({ signal })) ?? []
  }

  /** Ends it, for `down --all`: nothing is told to it any more. */
  async stop(signal: AbortSignal): Promise<void> {
    await this[Symbol.asyncDispose]()
    await this.#deps.service.stop('holon down --all', { signal })
  }

  /** Lets go; the front goes on. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#life.abort(new HolonError('cancelled', 'the agent is ending'))
    this.#changes.notify()
    await this.#running
    await this.#client?.[Symbol.asyncDispose]()
  }

  async #run(): Promise<void> {
    const { clock, report } = this.#deps
    const { signal } = this.#life
    while (!signal.aborted) {
      const wanted = this.#wanted
      try {
        if (await this.#tell()) this.#told = wanted
        this.#changes.notify()
        await this.#untilNews(wanted)
      } catch (error) {
        if (signal.aborted) return
        const { message } = asHolonError(error)
        if (message !== this.#said) report(`the front: ${message}`)
        this.#said = message
        await this.#client?.[Symbol.asyncDispose]()
        this.#client = undefined
        await sleep(clock, retryMs, signal).catch(() => {})
      }
    }
  }

  /** False: what to tell is not known yet. */
  async #tell(): Promise<boolean> {
    const table = this.#deps.table()
    if (table === undefined) return false
    const isNeeded = table.routes.length > 0
    if (isNeeded || this.#client !== undefined) {
      using limit = deadline(this.#deps.clock, callMs, this.#life.signal)
      const client = await this.#reach(limit.signal)
      const before = this.#state.port
      this.#state = await client.main.apply(table, limit)
      this.#sayProblems()
      if (this.#state.port !== before) this.#deps.moved()
    } else {
      // Perhaps an earlier agent had one.
      await this.#deps.service.stop('no unit has a public port', { signal: this.#life.signal })
    }
    return true
  }

  async #reach(signal: AbortSignal): Promise<RpcClient<FrontControl>> {
    if (this.#client !== undefined) return this.#client
    const { clock, service } = this.#deps
    await service.start(this.#spec, { signal })
    while (true) {
      try {
        const client = await connectRpc(clock, this.#program.socketPath, frontInterface, {
          version,
          signal,
        })
        this.#client = client
        void client.closed.then(() => {
          if (this.#client !== client) return
          this.#client = undefined
          this.changed()
        })
        return client
      } catch (error) {
        if (signal.aborted) throw error
        await sleep(clock, 10, signal)
      }
    }
  }

  async #untilNews(wanted: number): Promise<void> {
    const { clock } = this.#deps
    const waitMs = this.#state.problems.length > 0 ? problemMs : idleMs
    using limit = deadline(clock, waitMs, this.#life.signal)
    const isNews = () => (this.#wanted > wanted || this.#life.signal.aborted ? true : undefined)
    const news = await this.#changes.until(isNews, limit.signal).catch(() => undefined)
    if (news !== undefined || this.#life.signal.aborted) return
    this.#wanted += 1
    if (this.#deps.table()?.routes.length !== 0 || this.#client === undefined) return
    const client = this.#client
    this.#client = undefined
    await client[Symbol.asyncDispose]()
  }

  #sayProblems(): void {
    const said = this.#state.problems.map(({ port, why }) => `port ${port}: ${why}`).join('; ')
    if (said !== this.#said && said !== '') this.#deps.report(`the front: ${said}`)
    this.#said = said
  }

  get #spec(): ServiceSpec {
    const { argv, socketPath, logDir } = this.#program
    return {
      path: argv[0] ?? '',
      argv,
      // Another version is another program, wherever it lies.
      env: { HOLON_FRONT_SOCKET: socketPath, HOLON_FRONT_VERSION: version },
      cwd: '/',
      removeFirst: [],
      logDir,
    }
  }
}
