/**
 * Which machines are alive, fast and unsafe: good enough to choose where to run something and to
 * say who is missing, never to give away what must not run twice.
 *
 * Every machine tells those that keep the state, twice a second, that it is there and how it is
 * (a beat), and at once when there is news in it. Of two keepers only one calls, and the other's
 * beat is the answer. A keeper that has not heard of one for `beatAskMs` asks it directly and asks
 * another machine whether it reaches it; when both fail and the silence is `beatSilenceMs` long it
 * is suspect, and down after `suspectMs`. Any sign of life makes it up again.
 *
 * Silence is counted in ticks that this machine lived through: after a sleep of its own it suspects
 * nobody for that.
 */
import { type Clock, deadline, type Timer } from '../base/clock.ts'
import { limits } from '../base/limits.ts'
import type { Random } from '../base/random.ts'
import type { MachineReport } from '../kernel/types.ts'
import type { Beat } from './beat.ts'
import type { MachineRecord } from './members.ts'
import type { Peer, Sighting } from './peer.ts'
import type { Fitness } from './reconcile/leadership.ts'

/** How others are reached; Links, or a simulated network. */
export interface PeerLinks {
  peer(
    machineId: string,
    signal: AbortSignal,
  ): Promise<Pick<Peer, 'beat' | 'report' | 'reaches' | 'sightings'>>
  seen(machineId: string): void
  seenAtMs(machineId: string): number | undefined
}

export interface LivenessDeps {
  readonly clock: Clock
  readonly random: Random
  readonly links: PeerLinks
  readonly self: () => string
  readonly machines: () => readonly MachineRecord[]
  /** Ids of the machines that are told. */
  readonly keepers: () => readonly string[]
  readonly beat: () => Beat
  /** A beat of that machine came. */
  readonly beatCame: (machineId: string, beat: Beat) => void
  /** A machine that keeps the state did not take a beat in time. */
  readonly keeperSilent: (machineId: string) => void
  /** A machine is seen differently than before. */
  readonly changed: (machineId: string) => void
}

/** What a keeper holds of one machine. */
interface Watched {
  silentMs: number
  /** How long its status has been what it is. */
  forMs: number
  status: 'up' | 'suspect' | 'down'
  asking: boolean
  /** Whether there was a sign of life, or a failed look for one, since this agent started. */
  known: boolean
  report?: MachineReport
  fitness?: Fitness | undefined
  seenAtMs?: number
}

/** An answer of a keeper serves for so long. */
const cacheMs = 1_000
const keeperTimeoutMs = 700
/** Whose beat was answered has ours for so long: until the next one should have come. */
const answerServesMs = 1.5 * limits.beatIntervalMs

export class Liveness implements Disposable {
  readonly #deps: LivenessDeps
  readonly #watched = new Map<string, Watched>()
  readonly #beating = new Set<string>()
  /** When a keeper's beat was answered last. */
  readonly #answeredMs = new Map<string, number>()
  /** Keepers that did not take the last beat in time. */
  readonly #silent = new Set<string>()
  readonly #life = new AbortController()
  #beats: Timer | undefined
  #news: Timer | undefined
  #newsToldMs = Number.NEGATIVE_INFINITY
  #looks: Timer | undefined
  #cache: { readonly atMs: number; readonly sightings: readonly Sighting[] } | undefined

  constructor(deps: LivenessDeps) {
    this.#deps = deps
  }

  start(): void {
    this.#tell()
    this.#look()
  }

  [Symbol.dispose](): void {
    this.#life.abort()
    this.#beats?.[Symbol.dispose]()
    this.#news?.[Symbol.dispose]()
    this.#looks?.[Symbol.dispose]()
  }

  /** A beat came. The answer to one that keeps the state, too, is this machine's own. */
  beatFrom(machineId: string, beat: Beat): Beat | undefined {
    this.#takeBeat(machineId, beat)
    if (!this.#deps.keepers().includes(machineId)) return undefined
    this.#answeredMs.set(machineId, this.#deps.clock.nowMs())
    return this.#deps.beat()
  }

  #takeBeat(machineId: string, beat: Beat): void {
    this.heard(machineId, beat.report)
    this.#watch(machineId).fitness = beat.fitness
    this.#deps.beatCame(machineId, beat)
  }

  /** Any sign of life. */
  heard(machineId: string, report?: MachineReport): void {
    const watched = this.#watch(machineId)
    watched.silentMs = 0
    watched.known = true
    watched.seenAtMs = this.#deps.clock.wallMs()
    if (report !== undefined) watched.report = report
    if (watched.status === 'up') return
    watched.forMs = 0
    watched.status = 'up'
    this.#deps.changed(machineId)
  }

  /** Whether a machine that keeps the state did not take the last beat in time. */
  isSilent(keeper: string): boolean {
    return this.#silent.has(keeper)
  }

  /** What another machine last said of itself. */
  reportOf(machineId: string): MachineReport | undefined {
    return this.#watched.get(machineId)?.report
  }

  /** What a machine that keeps the state last said of its fitness to lead. */
  fitnessOf(machineId: string): Fitness | undefined {
    return this.#watched.get(machineId)?.fitness
  }

  /** How this machine itself sees the others. Without a keeper's beats that is by its links. */
  own(): readonly Sighting[] {
    const { links, self, machines } = this.#deps
    return machines()
      .filter(({ machineId }) => machineId !== self())
      .map(({ machineId }) => {
        const watched = this.#watched.get(machineId)
        const seenAtMs = Math.max(watched?.seenAtMs ?? 0, links.seenAtMs(machineId) ?? 0)
        return {
          machineId,
          status: watched?.status ?? 'down',
          ...(seenAtMs === 0 ? {} : { lastSeenAtMs: seenAtMs }),
          ...(watched?.report === undefined ? {} : { report: watched.report }),
        }
      })
  }

  /**
   * Whether a machine is up, as this one sees it, and for how long that has been so. `doubted`: it
   * was not heard when it should have been, for long enough to ask it.
   */
  presence(machineId: string): {
    readonly up: boolean
    readonly forMs: number
    readonly doubted: boolean
  } {
    if (machineId === this.#deps.self()) {
      return { up: true, forMs: Number.POSITIVE_INFINITY, doubted: false }
    }
    const { status, forMs = 0, silentMs = 0 } = this.#watched.get(machineId) ?? {}
    return { up: status === 'up', forMs, doubted: silentMs >= limits.beatAskMs }
  }

  /**
   * How the fleet's keepers see all machines; when no keeper answers, how they look from here, by
   * asking each of them now. At most a second old.
   */
  async sightings(signal: AbortSignal): Promise<readonly Sighting[]> {
    if (this.isKeeper) return this.ownSightings(signal)
    const { clock } = this.#deps
    const nowMs = clock.nowMs()
    if (this.#cache !== undefined && nowMs - this.#cache.atMs < cacheMs)
      return this.#cache.sightings
    const sightings = (await this.#askKeeper(signal)) ?? (await this.#askEveryone(signal))
    this.#cache = { atMs: clock.nowMs(), sightings }
    return sightings
  }

  /** How this machine itself sees the others; those it knows nothing of yet are asked first. */
  async ownSightings(signal: AbortSignal): Promise<readonly Sighting[]> {
    const { machines, self } = this.#deps
    const unknown = machines().filter(
      ({ machineId }) => machineId !== self() && this.#watched.get(machineId)?.known !== true,
    )
    await Promise.all(
      unknown.map(async ({ machineId }) => {
        const report = await this.probe(machineId, signal)
        const watched = this.#watch(machineId)
        if (report !== undefined) this.heard(machineId, report)
        // One that has just joined has its time to begin.
        else if (watched.silentMs >= limits.beatSilenceMs) this.#suspect(machineId, watched)
      }),
    )
    return this.own()
  }

  /** Whether the others tell this machine that they are alive. */
  get isKeeper(): boolean {
    return this.#deps.keepers().includes(this.#deps.self())
  }

  #watch(machineId: string): Watched {
    let watched = this.#watched.get(machineId)
    if (watched === undefined) {
      watched = { silentMs: 0, forMs: 0, status: 'up', asking: false, known: false }
      this.#watched.set(machineId, watched)
    }
    return watched
  }

  /** What a beat says has changed: the next one goes at once, though not one for every change. */
  tellNews(): void {
    if (this.#news !== undefined) return
    const { clock, keepers } = this.#deps
    const waitMs = Math.max(0, this.#newsToldMs + limits.beatNewsMs - clock.nowMs())
    const tell = () => {
      this.#news = undefined
      this.#newsToldMs = clock.nowMs()
      // What is on its way already tells what was.
      if (keepers().some((keeper) => this.#beating.has(keeper))) this.tellNews()
      this.#tellAllBut(() => false)
    }
    this.#news = clock.timer(waitMs, tell, { background: true })
  }

  #tell(): void {
    const { clock } = this.#deps
    this.#beats = clock.timer(limits.beatIntervalMs, () => this.#tell(), { background: true })
    this.#tellAllBut((keeper) => this.#asksUs(keeper))
  }

  #tellAllBut(isTold: (keeper: string) => boolean): void {
    const { beat, keepers, self } = this.#deps
    const told = keepers().filter(
      (keeper) => keeper !== self() && !this.#beating.has(keeper) && !isTold(keeper),
    )
    if (told.length === 0) return
    // Read from the kernel once for all of them.
    const news = beat()
    for (const keeper of told) void this.#beat(keeper, news)
  }

  /** Of two that keep the state the first by id calls, and the other one while it does not. */
  #asksUs(keeper: string): boolean {
    const { clock, self } = this.#deps
    const answeredMs = this.#answeredMs.get(keeper) ?? Number.NEGATIVE_INFINITY
    return keeper < self() && clock.nowMs() - answeredMs < answerServesMs
  }

  #look(): void {
    const { judgeIntervalMs } = limits
    this.#looks = this.#deps.clock.timer(judgeIntervalMs, () => this.#look(), { background: true })
    if (this.isKeeper) this.#judge(judgeIntervalMs)
  }

  async #beat(keeper: string, news: Beat): Promise<void> {
    this.#beating.add(keeper)
    const { clock, links } = this.#deps
    // As long as it takes to be suspected: a busy machine may be slow, and calls to it go on.
    using limit = deadline(clock, limits.beatSilenceMs, this.#life.signal)
    try {
      const peer = await links.peer(keeper, limit.signal)
      const answer = await peer.beat(news, limit)
      links.seen(keeper)
      if (answer !== undefined) this.#takeBeat(keeper, answer)
      this.#silent.delete(keeper)
    } catch {
      if (this.#life.signal.aborted) return
      // It will hear of us when it is back; who waits for its answers should ask another one.
      this.#silent.add(keeper)
      this.#deps.keeperSilent(keeper)
    } finally {
      this.#beating.delete(keeper)
    }
  }

  #judge(passedMs: number): void {
    const { machines, self } = this.#deps
    const present = new Set<string>()
    for (const { machineId } of machines()) {
      present.add(machineId)
      if (machineId === self()) continue
      const watched = this.#watch(machineId)
      watched.silentMs += passedMs
      watched.forMs += passedMs
      if (watched.status === 'suspect' && watched.forMs >= limits.suspectMs) watched.status = 'down'
      if (watched.silentMs >= limits.beatAskMs && !watched.asking) {
        void this.#ask(machineId, watched)
      }
    }
    for (const machineId of this.#watched.keys()) {
      if (!present.has(machineId)) this.#watched.delete(machineId)
    }
  }

  /** A silent machine is asked, directly and through another one. */
  async #ask(machineId: string, watched: Watched): Promise<void> {
    watched.asking = true
    try {
      const asked = [this.#reaches(machineId), this.#reachesThrough(machineId)]
      const reached = (await Promise.all(asked)).some((each) => each)
      if (reached) this.heard(machineId)
      else if (watched.silentMs >= limits.beatSilenceMs) this.#suspect(machineId, watched)
    } finally {
      watched.asking = false
    }
  }

  #suspect(machineId: string, watched: Watched): void {
    watched.known = true
    if (watched.status !== 'up') return
    watched.status = 'suspect'
    watched.forMs = watched.silentMs
    this.#deps.changed(machineId)
  }

  async #reaches(machineId: string): Promise<boolean> {
    const report = await this.probe(machineId, this.#life.signal)
    if (report !== undefined) this.heard(machineId, report)
    return report !== undefined
  }

  /** Its report, if it answers within a beat's silence. */
  async probe(machineId: string, signal: AbortSignal): Promise<MachineReport | undefined> {
    const { clock, links } = this.#deps
    using limit = deadline(clock, limits.beatSilenceMs / 2, signal)
    try {
      const report = await (await links.peer(machineId, limit.signal)).report(limit)
      links.seen(machineId)
      return report
    } catch {
      return undefined
    }
  }

  async #reachesThrough(machineId: string): Promise<boolean> {
    const { clock, links, machines, random, self } = this.#deps
    const all = machines()
    const mayAsk = (machine: MachineRecord | undefined) =>
      machine?.machineId !== machineId &&
      machine?.machineId !== self() &&
      this.#watched.get(machine?.machineId ?? '')?.status === 'up'
    const anyOf = (some: readonly MachineRecord[]) => some[Math.floor(random.next() * some.length)]
    let other = anyOf(all)
    // Of a large fleet nearly any one will do, and looking through it for each silent one is much.
    if (!mayAsk(other)) other = anyOf(all)
    if (!mayAsk(other)) other = anyOf(all.filter(mayAsk))
    if (other === undefined) return false
    using limit = deadline(clock, limits.beatSilenceMs / 2, this.#life.signal)
    try {
      return await (await links.peer(other.machineId, limit.signal)).reaches(machineId, limit)
    } catch {
      return false
    }
  }

  async #askKeeper(signal: AbortSignal): Promise<readonly Sighting[] | undefined> {
    const { clock, links, keepers } = this.#deps
    // The keeper's own row is not in its answer: that it answers is it.
    const asks = keepers().map(async (keeper) => {
      using limit = deadline(clock, keeperTimeoutMs, signal)
      const peer = await links.peer(keeper, limit.signal)
      const [sightings, report] = await Promise.all([peer.sightings(limit), peer.report(limit)])
      links.seen(keeper)
      const atMs = clock.wallMs()
      return [
        ...sightings,
        { machineId: keeper, status: 'up' as const, lastSeenAtMs: atMs, report },
      ]
    })
    return Promise.any(asks).catch(() => undefined)
  }

  async #askEveryone(signal: AbortSignal): Promise<readonly Sighting[]> {
    const { links, machines, self } = this.#deps
    const others = machines().filter(({ machineId }) => machineId !== self())
    return Promise.all(
      others.map(async ({ machineId }): Promise<Sighting> => {
        const report = await this.probe(machineId, signal)
        const seenAtMs = links.seenAtMs(machineId)
        return {
          machineId,
          status: report === undefined ? 'suspect' : 'up',
          ...(seenAtMs === undefined ? {} : { lastSeenAtMs: seenAtMs }),
          ...(report === undefined ? {} : { report }),
        }
      }),
    )
  }
}
