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
  ? { readonly idempotent: boolean; readonly args: A['length'] } & (IsCapability<R> extends true
      ? { readonly returns: Interface<R> }
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

/** `name` is for messages: "System". */
export function defineInterface<T>(name: string, methods: MethodsOf<T>): Interface<T> {
  const entries = Object.entries(
    methods as Readonly<Record<string, Omit<Method, 'label' | 'name'>>>,
  )
  for (const [method] of entries)
    assert(!reserved.has(method), `"${name}.${method}" is a name that the link itself uses`)
  return {
    name,
    methods: entries.map(([method, described]) => ({
      ...described,
      name: method,
      label: `${name}.${method}()`,
    })),
  }
}
