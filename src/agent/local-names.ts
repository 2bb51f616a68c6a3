/** This machine's units, as names lead to them. */
import type { LocalNames, LocalUnit } from '../cluster/names/sources.ts'
import type { PlaceState } from '../kernel/names.ts'
import type { Ports } from './ports/ports.ts'
import type { Instance } from './units/instance.ts'
import { activeOf } from './units/unit-status.ts'
import type { MachineUnit } from './units/unit-target.ts'
import type { Units } from './units/units.ts'

export class UnitNames implements LocalNames {
  readonly #units: Units
  readonly #ports: Ports

  constructor(units: Units, ports: Ports) {
    this.#units = units
    this.#ports = ports
  }

  unit(name: string): LocalUnit | undefined {
    const unit = this.#units.get(name)
    if (unit === undefined) return undefined
    const port = portOf(unit)
    return {
      unit: name,
      ...(port === undefined ? {} : { port }),
      instances: unit.instances().flatMap((instance) => {
        const state = this.#stateOf(instance)
        return state === undefined ? [] : [{ number: instance.number, state }]
      }),
    }
  }

  units(): readonly string[] {
    return this.#units.list().map(({ name }) => name)
  }

  onChange(changed: () => void): Disposable {
    const ends = new DisposableStack()
    ends.use(this.#units.changes.listen(changed))
    ends.use(this.#ports.onChange(changed))
    return ends
  }

  /** As it is told to all others, if it has a public port. */
  #stateOf(instance: Instance): PlaceState | undefined {
    const served = this.#ports.serving
      .endpoints()
      .find(({ unit, number }) => unit === instance.unit && number === instance.number)
    const state = states[activeOf(instance)]
    return state === 'ready' && served !== undefined ? served.state : state
  }
}

const states: Readonly<Record<ReturnType<typeof activeOf>, PlaceState | undefined>> = {
  active: 'ready',
  activating: 'starting',
  deactivating: 'draining',
  inactive: undefined,
  failed: undefined,
}

function portOf({ loaded }: MachineUnit): number | undefined {
  return loaded.kind === 'loaded' ? loaded.unit.serves?.port : undefined
}
