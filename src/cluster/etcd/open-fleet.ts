/** Opens the fleet's State wherever `engine.json` says that it is. */
import type { State } from '../../state/port.ts'
import { type EngineChoice, readEngineChoice } from './engine-file.ts'
import { FleetState } from './fleet-state.ts'

export interface FleetEngines {
  /** The machine's own store, for a machine that is no fleet yet. Stays the caller's. */
  readonly embedded: State
  /** This machine's etcd, which need not answer yet. */
  readonly managed: () => Promise<State>
  /** The user's etcd. */
  readonly external: (url: string) => Promise<State>
  /** Over a link to a machine that has it. */
  readonly link: () => Promise<State>
}

/** The engine that a choice names. */
export function openChoice(choice: EngineChoice, engines: FleetEngines): Promise<State> {
  switch (choice.engine) {
    case 'embedded':
      return Promise.resolve(engines.embedded)
    case 'etcd':
      return engines.managed()
    case 'external':
      return engines.external(choice.url)
    case 'link':
      return engines.link()
  }
}

/** Errors of `readEngineChoice`. After a change of `engine.json`: `switchTo(openChoice(…))`. */
export async function openFleetState(stateDir: string, engines: FleetEngines): Promise<FleetState> {
  return new FleetState(await openChoice(readEngineChoice(stateDir), engines))
}
