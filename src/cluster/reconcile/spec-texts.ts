/** Unit files as they were given, by number. One never changes, so what was read once is kept. */
import { HolonError } from '../../base/errors.ts'
import type { State } from '../../state/port.ts'
import { textKey } from './records.ts'

/** Where texts are kept on this machine, to be had while State is away. */
export interface TextMemory {
  read(unit: string, spec: number): string | undefined
  write(unit: string, spec: number, text: string): void
}

export class SpecTexts {
  readonly #state: State
  readonly #memory: TextMemory

  constructor(state: State, memory: TextMemory) {
    this.#state = state
    this.#memory = memory
  }

  /** `not_found` when there never was such a text, or it is too old. */
  async get(unit: string, spec: number, signal: AbortSignal): Promise<string> {
    const known = this.#memory.read(unit, spec)
    if (known !== undefined) return known
    const entry = await this.#state.get(textKey(unit, spec), { signal, stale: true })
    const found = entry ?? (await this.#state.get(textKey(unit, spec), { signal }))
    if (typeof found?.value !== 'string') {
      throw new HolonError('not_found', `there is no text ${spec} of ${unit} in the state`)
    }
    this.#memory.write(unit, spec, found.value)
    return found.value
  }
}
