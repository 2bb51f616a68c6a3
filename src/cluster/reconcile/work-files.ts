/** What a machine must know of the fleet's units while State is away, on its disk. */
import { asHolonError } from '../../base/errors.ts'
import {
  ensureDir,
  joinPath,
  listDir,
  readTextIfThere,
  removeTree,
  writeTextDurably,
} from '../../io/files.ts'
import type { SecretMemory } from '../secrets/instance-secrets.ts'
import type { WorkMemory } from './assigned-work.ts'
import { parseSlot, textsKept } from './records.ts'
import type { TextMemory } from './spec-texts.ts'

/** Damage is told and counts as nothing known: State has it all. */
export function workFile(dir: string, report: (message: string) => void): WorkMemory {
  const path = joinPath(dir, 'work.json')
  return {
    read() {
      const text = readTextIfThere(path)
      if (text === undefined) return []
      try {
        const value: unknown = JSON.parse(text)
        return Array.isArray(value) ? value.map(parseSlot) : []
      } catch (error) {
        report(`read "${path}": ${asHolonError(error).message}; the state is asked instead`)
        return []
      }
    },
    write(work) {
      ensureDir(dir, 0o700)
      writeTextDurably(path, `${JSON.stringify(work)}\n`, 0o600)
    },
  }
}

/** Unit files by number, one file each. */
export function textFiles(dir: string): TextMemory {
  const texts = joinPath(dir, 'texts')
  const path = (unit: string, spec: number) => joinPath(texts, `${unit}.${spec}`)
  return {
    read: (unit, spec) => readTextIfThere(path(unit, spec)),
    write(unit, spec, text) {
      ensureDir(dir, 0o700)
      ensureDir(texts, 0o700)
      writeTextDurably(path(unit, spec), text, 0o600)
      const numbers = listDir(texts).filter((name) => name.startsWith(`${unit}.`))
      const old = numbers.filter((name) => Number(name.slice(unit.length + 1)) <= spec - textsKept)
      for (const name of old) removeTree(joinPath(texts, name))
    },
  }
}

/** Sealed secrets of instances: UNIT/SLOT/NAME, one file each. */
export function secretFiles(dir: string): SecretMemory {
  const secrets = joinPath(dir, 'secrets')
  const dirOf = (unit: string, slot: number) => joinPath(secrets, unit, String(slot))
  return {
    read: ({ unit, slot, name }) => readTextIfThere(joinPath(dirOf(unit, slot), name)),
    write({ unit, slot, name }, sealed) {
      for (const path of [dir, secrets, dirOf(unit, slot)]) ensureDir(path, 0o700)
      writeTextDurably(joinPath(dirOf(unit, slot), name), sealed, 0o600)
    },
    remove: ({ unit, slot, name }) => removeTree(joinPath(dirOf(unit, slot), name)),
    keepOnly(instances) {
      const kept = new Set(instances.map(({ unit, slot }) => dirOf(unit, slot)))
      for (const unit of listDir(secrets)) {
        const slots = listDir(joinPath(secrets, unit)).map((slot) => joinPath(secrets, unit, slot))
        const left = slots.filter((path) => kept.has(path))
        for (const path of slots) if (!kept.has(path)) removeTree(path)
        if (left.length === 0) removeTree(joinPath(secrets, unit))
      }
    },
  }
}
