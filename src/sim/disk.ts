/** A simulated machine's disk: what survives its agent and a loss of power. Slow, full or new. */
import { HolonError } from '../base/errors.ts'
import type { WorkMemory } from '../cluster/reconcile/assigned-work.ts'
import type { SlotRecord } from '../cluster/reconcile/records.ts'
import type { TextMemory } from '../cluster/reconcile/spec-texts.ts'

export class Disk {
  isFull = false
  /** How long a write takes, during which the agent that writes stands still. */
  slowMs = 0
  #work: readonly SlotRecord[] = []
  readonly #texts = new Map<string, string>()

  /** What it holds of the machine's work. */
  get work(): readonly SlotRecord[] {
    return this.#work
  }

  /** As one incarnation of the agent uses it; `stall` holds that for a while. */
  workMemory(stall: (ms: number) => void): WorkMemory {
    return {
      read: () => this.#work,
      write: (work) => {
        this.#write(stall)
        this.#work = work
      },
    }
  }

  textMemory(stall: (ms: number) => void): TextMemory {
    return {
      read: (unit, spec) => this.#texts.get(`${unit}/${spec}`),
      write: (unit, spec, text) => {
        this.#write(stall)
        this.#texts.set(`${unit}/${spec}`, text)
      },
    }
  }

  /** Another disk, an empty one. */
  replace(): void {
    this.#work = []
    this.#texts.clear()
  }

  #write(stall: (ms: number) => void): void {
    if (this.slowMs > 0) stall(this.slowMs)
    if (this.isFull) throw new HolonError('exhausted', 'no space left on the disk (simulated)')
  }
}
