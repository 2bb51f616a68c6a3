/**
 * An object on the other side, as a plain object of its interface. Its class is made once for each
 * interface, with one method for each of the descriptor's: no proxy is on the way of a call.
 *
 * Holding one keeps its target alive over there. It is released by `using` or `[Symbol.dispose]()`,
 * with the link, or, for who knows nothing of it, when it is garbage.
 */
import { HolonError } from '../base/errors.ts'
import { type ClientSession, type Stub, type WireFunction, wireFunction } from './client.ts'
import type { Interface, Method } from './interface.ts'

export type Remote<T> = T & Disposable

type RemoteClass = new (stub: Stub, session: ClientSession) => RemoteObject

const classes = new WeakMap<Interface<unknown>, RemoteClass>()

const garbage = new FinalizationRegistry<Holding>((holding) => holding.release())

/** `stub` is owned by the result. */
export function remote<T>(target: Interface<T>, stub: Stub, session: ClientSession): Remote<T> {
  const key = target as Interface<unknown>
  let RemoteOf = classes.get(key)
  if (RemoteOf === undefined) {
    RemoteOf = remoteClass(key)
    classes.set(key, RemoteOf)
  }
  return new RemoteOf(stub, session) as unknown as Remote<T>
}

/** What is left to give back, apart from the object so that it does not keep that one alive. */
class Holding {
  readonly #stub: Stub
  readonly #session: ClientSession
  released = false

  constructor(stub: Stub, session: ClientSession) {
    this.#stub = stub
    this.#session = session
    session.held(1)
  }

  release(): void {
    if (this.released) return
    this.released = true
    this.#session.held(-1)
    this.#stub[Symbol.dispose]()
  }
}

class RemoteObject implements Disposable {
  readonly #stub: Stub
  readonly #session: ClientSession
  readonly #holding: Holding
  // A stub makes a new function at each access; each is asked for once.
  readonly #functions: (WireFunction | undefined)[] = []

  constructor(stub: Stub, session: ClientSession) {
    this.#stub = stub
    this.#session = session
    this.#holding = new Holding(stub, session)
    garbage.register(this, this.#holding, this)
  }

  /** Gives the capability back; once or twice alike. */
  [Symbol.dispose](): void {
    garbage.unregister(this)
    this.#holding.release()
  }

  static run(self: RemoteObject, index: number, method: Method, args: unknown[]): Promise<unknown> {
    if (self.#holding.released) return Promise.reject(released(method))
    self.#functions[index] ??= wireFunction(self.#stub, method.name)
    const session = self.#session
    const answer = session.call(method, self.#functions[index], args)
    const { returns } = method
    if (returns === undefined) return answer
    return answer.then((stub) => remote(returns, stub as Stub, session))
  }
}

function remoteClass(target: Interface<unknown>): RemoteClass {
  const RemoteOf = class extends RemoteObject {}
  Object.defineProperty(RemoteOf, 'name', { value: `Remote${target.name}` })
  target.methods.forEach((method, index) => {
    Object.defineProperty(RemoteOf.prototype, method.name, {
      value(this: RemoteObject, ...args: unknown[]) {
        return RemoteObject.run(this, index, method, args)
      },
    })
  })
  return RemoteOf
}

function released(method: Method): HolonError {
  return new HolonError('invalid_argument', `${method.label}: the object was disposed of before`)
}
