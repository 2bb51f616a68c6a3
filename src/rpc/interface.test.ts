import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CallOptions } from '../kernel/types.ts'
import { defineInterface } from './interface.ts'

interface Part {
  name(options: CallOptions): Promise<string>
}

interface Whole {
  size(unit: string, options: CallOptions): Promise<number>
  part(options: CallOptions): Promise<Part>
}

const part = defineInterface<Part>('Part', { name: { args: 0, idempotent: true } })

test('defineInterface() does not compile when the descriptor is not the interface', () => {
  const size = { args: 1, idempotent: true } as const
  // @ts-expect-error a method is missing
  defineInterface<Whole>('Whole', { size })
  // @ts-expect-error a method is not in the interface
  defineInterface<Part>('Part', { name: { args: 0, idempotent: true }, other: size })
  // @ts-expect-error it takes another number of arguments
  defineInterface<Part>('Part', { name: size })
  // @ts-expect-error its result is a capability
  defineInterface<Whole>('Whole', { size, part: { args: 0, idempotent: true } })
  // @ts-expect-error its result is a value
  defineInterface<Part>('Part', { name: { args: 0, idempotent: true, returns: part } })
  const whole = defineInterface<Whole>('Whole', {
    size,
    part: { args: 0, idempotent: true, returns: part },
  })
  assert.deepEqual(
    whole.methods.map(({ label }) => label),
    ['Whole.size()', 'Whole.part()'],
  )
})

test('defineInterface() refuses names that the link itself uses', () => {
  interface Bad {
    flush(options: CallOptions): Promise<void>
  }
  assert.throws(
    () => defineInterface<Bad>('Bad', { flush: { args: 0, idempotent: true } }),
    /"Bad\.flush" is a name that the link itself uses/,
  )
})
