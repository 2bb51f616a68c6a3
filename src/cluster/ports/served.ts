/** What machines tell each other about units with a public port. */
import type { PortTerms } from '../../unit/port-terms.ts'

export interface ServedInstance {
  readonly number: number
  /** Where it listens on its machine. */
  readonly host: string
  readonly port: number
  /** `draining`: it finishes what is under way and gets nothing new. */
  readonly state: 'starting' | 'ready' | 'draining'
}

/** A unit that belongs to a machine and has a public port; perhaps nothing of it is up. */
export interface ServedUnit {
  readonly unit: string
  readonly terms: PortTerms
  readonly instances: readonly ServedInstance[]
}

/** All that one machine serves. */
export interface PortReport {
  /** Another one whenever something changes; of another agent, too. */
  readonly number: number
  /** Where its front is found by others; 0 while it is not. */
  readonly frontPort: number
  readonly units: readonly ServedUnit[]
}

/** This machine, as the fleet asks and tells it. */
export interface LocalPorts {
  report(): PortReport
  onChange(changed: () => void): Disposable
  /** Resolves when this machine's front works by all that is known here. */
  applied(signal: AbortSignal): Promise<void>
  /** What is served elsewhere, until disposed of. */
  join(others: OtherPorts): Disposable
}

/** The rest of the fleet, as a machine's front needs it. */
export interface OtherPorts {
  /** By machine. Undefined until it is known. */
  reports(): ReadonlyMap<string, PortReport> | undefined
  /** For the front's own way to other fronts. */
  fleet(): FleetFronts
  onChange(changed: () => void): Disposable
  /** Resolves when who listens to this machine has heard what it now says, or is lost. */
  heard(signal: AbortSignal): Promise<void>
}

export interface FleetFronts {
  readonly identityDir: string
  /** Changes with this machine's certificate. */
  readonly certificate: string
  /** Where the front should listen. */
  readonly port: number
  readonly machines: readonly {
    readonly machineId: string
    readonly name: string
    readonly addresses: readonly string[]
  }[]
}
