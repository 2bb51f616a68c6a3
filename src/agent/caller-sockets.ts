/**
 * One socket per uid, in a directory that only this uid can enter: so the kernel tells us who is
 * calling. The socket of the agent's own user is there from the start; another user knocks (a
 * directory made in `knock/`, which anyone may do; its owner is the kernel's word for who it was)
 * and gets one. The worst that a knock can do is to have a door made that only its own user can
 * open.
 */
import { HolonError } from '../base/errors.ts'
import { ensureDir, joinPath, listDir, ownerOf, removeTree, watchDir } from '../io/files.ts'
import { callerDir, callerSocket, knockDir } from '../io/paths.ts'
import type { Caller } from './users.ts'

/** Users served at once; a knock beyond it stays unanswered. */
const callersMax = 4096

export interface CallerSocketsDeps {
  /** Serves the kernel to `caller` on the socket at `path`; disposing it closes the socket. */
  readonly listen: (path: string, caller: Caller) => Promise<AsyncDisposable>
  readonly report: (message: string) => void
}

export class CallerSockets {
  readonly #deps: CallerSocketsDeps
  readonly #runtimeDir: string
  readonly #agentUid: number
  readonly #servers = new Map<number, AsyncDisposable>()
  #watching: Disposable | undefined

  constructor(deps: CallerSocketsDeps, runtimeDir: string, agentUid: number) {
    this.#deps = deps
    this.#runtimeDir = runtimeDir
    this.#agentUid = agentUid
  }

  async start(): Promise<void> {
    // Others may pass through, not look: the directories below decide who may enter.
    ensureDir(this.#runtimeDir, 0o711)
    ensureDir(joinPath(this.#runtimeDir, 'user'), 0o711)
    await this.#serve(this.#agentUid)
    if (this.#agentUid !== 0) return
    for (const name of listDir(joinPath(this.#runtimeDir, 'user'))) {
      if (/^\d+$/.test(name) && name !== '0') await this.#tryServe(Number(name))
    }
    const knocks = knockDir(this.#runtimeDir)
    ensureDir(knocks, 0o1733)
    this.#watching = watchDir(knocks, () => void this.#answerKnocks())
    await this.#answerKnocks()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watching?.[Symbol.dispose]()
    for (const server of this.#servers.values()) await server[Symbol.asyncDispose]()
    this.#servers.clear()
  }

  async #answerKnocks(): Promise<void> {
    for (const name of listDir(knockDir(this.#runtimeDir))) {
      const path = joinPath(knockDir(this.#runtimeDir), name)
      const owner = ownerOf(path)
      removeTree(path)
      if (owner !== undefined) await this.#tryServe(owner.uid)
    }
  }

  /** What another user has in its own directory must not keep us from serving the others. */
  async #tryServe(uid: number): Promise<void> {
    try {
      await this.#serve(uid)
    } catch (error) {
      this.#deps.report(`no socket for uid ${uid}: ${String(error)}`)
    }
  }

  async #serve(uid: number): Promise<void> {
    if (this.#servers.has(uid)) return
    if (this.#servers.size >= callersMax) {
      throw new HolonError('exhausted', `${callersMax} users have a socket already`)
    }
    const dir = callerDir(this.#runtimeDir, uid)
    ensureDir(dir, 0o700, { uid })
    const server = await this.#deps.listen(callerSocket(this.#runtimeDir, uid), { uid })
    this.#servers.set(uid, server)
  }
}
