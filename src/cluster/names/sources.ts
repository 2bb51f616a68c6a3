/** What names are made of: this machine's units, and what it knows of the fleet's. */

import type { PlaceState } from '../../kernel/names.ts'
import type { MissingMachine } from '../../kernel/types.ts'

/** A unit that this machine has, perhaps without an instance. */
export interface LocalUnit {
  readonly unit: string
  /** Its public one. */
  readonly port?: number
  readonly instances: readonly { readonly number: number; readonly state: PlaceState }[]
}

export interface LocalNames {
  /** By its full name. */
  unit(name: string): LocalUnit | undefined
  /** Full names. */
  units(): readonly string[]
  onChange(changed: () => void): Disposable
}

export interface FleetPlace {
  readonly instance: number
  readonly machineId: string
  readonly state: PlaceState
  readonly port?: number
}

/** Of all machines but this one. */
export interface FleetPlacesOfUnit {
  readonly places: readonly FleetPlace[]
  readonly missing: readonly MissingMachine[]
}

/** How much of what is known of the fleet can be relied on. */
export interface FleetFreshness {
  /** Since when the state does not answer; undefined: it does. */
  readonly staleSinceMs: number | undefined
}

export interface FleetNames {
  /** Resolves when what can be known by now is, or has been waited for long enough. */
  prepare(signal: AbortSignal): Promise<FleetFreshness>
  has(unit: string): boolean
  units(): Iterable<string>
  placesOf(unit: string): Promise<FleetPlacesOfUnit>
  /** Undefined while it is up; for all that is known. */
  missing(machineId: string): Promise<MissingMachine | undefined>
  onChange(changed: () => void): Disposable
}
