/**
 * What a machine's front is told by its agent: which ports to listen on, and where instances are.
 * The front keeps to the last table it was given, whatever becomes of the agent.
 */
import type { PortProtocol } from '../unit/port-terms.ts'

export interface FrontTable {
  readonly routes: readonly Route[]
  /** Absent for a machine on its own: all instances are here. */
  readonly fleet?: FrontFleet
}

/** A unit on a public port. Several may share a port of HTTP, told apart by `hosts`. */
export interface Route {
  readonly unit: string
  readonly port: number
  readonly protocol: PortProtocol
  readonly hosts: readonly string[]
  /** The port speaks TLS with these; PEM. */
  readonly tls?: { readonly certificate: string; readonly key: string }
  /** Those that are being started are not among them. */
  readonly endpoints: readonly Endpoint[]
}

/** An instance, and where it listens. */
export interface Endpoint {
  /** "web.service/2". */
  readonly instance: string
  /** Absent: here. */
  readonly machineId?: string
  /** On its machine. */
  readonly host: string
  readonly port: number
  /** `draining`: it finishes what is under way, and gets nothing new. */
  readonly state: 'ready' | 'draining'
}

export interface FrontFleet {
  /** Where this machine's key and certificate lie. */
  readonly identityDir: string
  /** Changes with the certificate. */
  readonly certificate: string
  /** Where this front listens for others. */
  readonly port: number
  /** Whose fronts may come here, and where to find them. */
  readonly machines: readonly FrontMachine[]
}

export interface FrontMachine {
  readonly machineId: string
  readonly name: string
  /** "10.77.0.2:4660". */
  readonly addresses: readonly string[]
}

/** The same incarnation of an instance has the same key. */
export function endpointKey({ instance, machineId = '', host, port }: Endpoint): string {
  return `${instance} ${machineId} ${host} ${port}`
}

/** What is the same for two tables: another unit or way of speaking is another route. */
export function routeKey({ unit, port, protocol, hosts }: Omit<Route, 'endpoints'>): string {
  return `${port} ${unit} ${protocol} ${hosts.join(',')}`
}
