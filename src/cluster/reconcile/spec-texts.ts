/** Unit files as they were given, by number. One never changes, so what was read once is kept. */
import { asHolonError, HolonError } from '../../base/errors.ts'
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
  readonly #report: (message: string) => void

  constructor(state: State, memory: TextMemory, report: (message: string) => void) {
    this.#state = state
    this.#memory = memory
    this.#report = report
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
    try {
      this.#memory.write(unit, spec, found.value)
    } catch (error) {
      // Needed again when State is away, not now: a leader with a full disk goes on.
      this.#report(`keep the text ${spec} of ${unit}: ${asHolonError(error).message}`)
    }
    return found.value
  }
}
