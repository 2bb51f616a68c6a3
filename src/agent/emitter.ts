/** Something happened: the smallest observer there is, and a wait for a condition on top of it. */
import { abortError } from '../base/clock.ts'

export class Changes {
  readonly #listeners = new Set<() => void>()

  /** Calls every listener, in the order of their coming. */
  notify(): void {
    for (const listener of [...this.#listeners]) listener()
  }

  /** `listener` is called at every change until disposed. */
  listen(listener: () => void): Disposable {
    this.#listeners.add(listener)
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) }
  }

  /**
   * Resolves with the first value of `look` that is not undefined; rejects when `signal` aborts.
   */
  until<T>(look: () => T | undefined, signal: AbortSignal): Promise<T> {
    return new Promise((resolve, reject) => {
      const found = look()
      if (found !== undefined) return resolve(found)
      if (signal.aborted) return reject(abortError(signal))
      const onAbort = () => {
        listening[Symbol.dispose]()
        reject(abortError(signal))
      }
      const listening = this.listen(() => {
        const value = look()
        if (value === undefined) return
        listening[Symbol.dispose]()
        signal.removeEventListener('abort', onAbort)
        resolve(value)
      })
      signal.addEventListener('abort', onAbort, { once: true })
    })
  }
}
