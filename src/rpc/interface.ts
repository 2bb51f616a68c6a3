/**
 * Descriptors of interfaces: what may cross the wire, at run time. A descriptor is the closed list
 * of an interface's methods with what the link must know about each. Its type is derived from the
 * TypeScript interface, so a method that is missing, or described wrongly, does not compile.
 */
import { assert } from '../base/assert.ts'
import type { CallOptions } from '../kernel/types.ts'

export interface Method {
  /** For messages: "System.ping()". */
  readonly label: string
  readonly name: string
  /** Whether doing it twice is the same as doing it once: only then is it ever repeated. */
  readonly idempotent: boolean
  /** Arguments before CallOptions. */
  readonly args: number
  /** Set when the result is a capability, not a value. */
  readonly returns?: Interface<unknown>
  /** The result is a string that crosses as it is, not once more as JSON: for large ones. */
  readonly isText?: true
  /**
   * Another method that a target may have: it gives the same value as JSON text, for answers so
   * large that making objects of them only to pass them on would cost more than all the rest.
   */
  readonly asText?: string
}

export interface Interface<T> {
  readonly name: string
  readonly methods: readonly Method[]
  /** Only for the type checker: ties the descriptor to its interface. */
  readonly type?: (value: T) => T
}

type AnyFunction = (...args: never[]) => unknown

/** An object all of whose members are functions is a capability; everything else is a value. */
type IsCapability<R> = R extends object
  ? [keyof R] extends [never]
    ? false
    : R[keyof R] extends AnyFunction
      ? true
      : false
  : false

type MethodOf<F> = F extends (...args: [...infer A, CallOptions]) => Promise<infer R>
  ? {
      readonly idempotent: boolean
      readonly args: A['length']
      readonly asText?: string
      readonly isText?: true
    } & (IsCapability<R> extends true
      ? { readonly returns: Interface<R> | 'itself' }
      : { readonly returns?: never })
  : never

export type MethodsOf<T> = { readonly [K in keyof T & string]: MethodOf<T[K]> }

/** Names that the session itself or its stubs use. */
const reserved: ReadonlySet<string> = new Set([
  'flush',
  'constructor',
  'then',
  'catch',
  'finally',
  'map',
  'dup',
  'onRpcBroken',
  'toString',
])

/** `name` is for messages: "System". `returns: 'itself'`: a capability of this very interface. */
export function defineInterface<T>(name: string, methods: MethodsOf<T>): Interface<T> {
  type Described = Omit<Method, 'label' | 'name' | 'returns'> & {
    readonly returns?: Interface<unknown> | 'itself'
  }
  const entries = Object.entries(methods as Readonly<Record<string, Described>>)
  const described: { readonly name: string; methods: readonly Method[] } = { name, methods: [] }
  described.methods = entries.map(([method, { returns, ...rest }]) => {
    assert(!reserved.has(method), `"${name}.${method}" is a name that the link itself uses`)
    const label = `${name}.${method}()`
    if (returns === undefined) return { ...rest, name: method, label }
    return { ...rest, name: method, label, returns: returns === 'itself' ? described : returns }
  })
  return described
}
