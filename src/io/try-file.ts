/** Kernel files that may or may not be there, or be writable: the answer is all that matters. */
import { readFileSync, writeFileSync } from 'node:fs'

export function tryRead(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

export function tryWrite(path: string, text: string): boolean {
  try {
    writeFileSync(path, text)
    return true
  } catch {
    return false
  }
}
