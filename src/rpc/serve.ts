/**
 * A local object, as what capnweb lets the peer reach: exactly the methods of its descriptor. Its
 * class is made once for each interface. The target's own `[Symbol.dispose]`, if it has one, is
 * called when the peer gives the capability back or the link ends.
 */
import { RpcTarget } from 'capnweb'
import type { Interface, Method } from './interface.ts'
import type { ServerSession } from './server.ts'

type Served = RpcTarget & Disposable
type ServedClass = new (target: object, session: ServerSession) => Served

const classes = new WeakMap<Interface<unknown>, ServedClass>()
const mainClasses = new WeakMap<Interface<unknown>, ServedClass>()

/** A capability that a call returned. The session must adopt it. */
export function serve(
  described: Interface<unknown>,
  target: object,
  session: ServerSession,
): Served {
  let ServedAs = classes.get(described)
  if (ServedAs === undefined) {
    ServedAs = servedClass(described)
    classes.set(described, ServedAs)
  }
  return new ServedAs(target, session)
}

/** The object that a session begins with: through it calls are flushed, too. */
export function serveMain<T extends object>(
  described: Interface<T>,
  target: T,
  session: ServerSession,
): Served {
  const key = described as Interface<unknown>
  let MainAs = mainClasses.get(key)
  if (MainAs === undefined) {
    MainAs = class extends servedClass(key) {
      readonly #session: ServerSession

      constructor(main: object, mainSession: ServerSession) {
        super(main, mainSession)
        this.#session = mainSession
      }

      flush(id: unknown): void {
        this.#session.flush(id)
      }
    }
    mainClasses.set(key, MainAs)
  }
  return new MainAs(target, session)
}

function servedClass(described: Interface<unknown>): ServedClass {
  // Private fields: what else an object carries could be named by the peer.
  const ServedAs = class extends RpcTarget {
    readonly #target: object
    readonly #session: ServerSession

    constructor(target: object, session: ServerSession) {
      super()
      this.#target = target
      this.#session = session
    }

    static run(self: InstanceType<typeof ServedAs>, method: Method, wire: readonly unknown[]) {
      return self.#session.call(self.#target, method, wire, serve)
    }

    [Symbol.dispose](): void {
      const target = this.#target as Partial<Disposable>
      this.#session.released(this, () => target[Symbol.dispose]?.(), described.name)
    }
  }
  for (const method of described.methods)
    Object.defineProperty(ServedAs.prototype, method.name, {
      value(this: InstanceType<typeof ServedAs>, ...wire: readonly unknown[]) {
        return ServedAs.run(this, method, wire)
      },
    })
  return ServedAs
}
