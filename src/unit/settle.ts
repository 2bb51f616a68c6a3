/**
 * Settling what a unit's words left open, where an instance starts: specifiers expanded, and errors
 * that name file, line and directive.
 */
import { HolonError } from '../base/errors.ts'
import type { Place } from './service-unit.ts'
import { expandSpecifiers, type SpecifierContext } from './specifiers.ts'
import type { Parsed } from './values.ts'

/** A value with its specifiers expanded; it was not judged when the unit was loaded, but is now. */
export function settled(
  text: string,
  directive: string,
  place: Place,
  specifiers: SpecifierContext,
  parse: (text: string) => Parsed<string>,
): string {
  const expanded = expandAt(directive, place, text, specifiers)
  const parsed = parse(expanded)
  const stillOpen = expanded.startsWith('%')
  if (parsed.kind === 'ok' && !stillOpen) return parsed.value
  const message =
    parsed.kind === 'bad' ? parsed.message : `${JSON.stringify(expanded)} is no valid value`
  throw settleFailure('invalid_argument', directive, place, message)
}

/** `text` with its specifiers expanded; a failure names the directive and its place. */
export function expandAt(
  directive: string,
  place: Place,
  text: string,
  specifiers: SpecifierContext,
): string {
  try {
    return expandSpecifiers(text, specifiers)
  } catch (error) {
    if (!(error instanceof HolonError)) throw error
    throw settleFailure('unavailable', directive, place, error.message)
  }
}

/** A HolonError that begins with where the directive stands. */
export function settleFailure(
  code: 'invalid_argument' | 'not_found' | 'unavailable',
  directive: string,
  place: Place,
  message: string,
): HolonError {
  const where = place.line === 0 ? place.file : `${place.file}:${place.line}`
  return new HolonError(code, `${where}: ${directive}=: ${message}`, {
    // Repeating it changes nothing before the unit or the machine is changed.
    retryable: false,
    details: { ...place, directive },
  })
}
