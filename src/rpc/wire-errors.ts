/**
 * Errors on the wire: code, retryable, outcome and details travel as properties beside the message;
 * causes and stacks stay at home. What comes in is validated, since the code decides what callers
 * do.
 */
import { HolonError, isErrorCode } from '../base/errors.ts'

const messageCharsMax = 64 * 1024
const detailsCharsMax = 1024 * 1024

/** An Error that capnweb sends with its own properties. */
export class WireError extends Error {
  readonly code: string
  readonly retryable: boolean
  readonly outcome: string
  /** JSON text, so that no key of it can mean anything to the protocol. */
  readonly details: string

  constructor(error: HolonError) {
    super(clip(error.message))
    // Where it was thrown is nobody's business over there.
    this.stack = ''
    this.code = error.code
    this.retryable = error.retryable
    this.outcome = error.outcome
    this.details = detailsText(error.details)
  }
}

/** The expression of docs/protocol.md, for messages that this side writes itself. */
export function wireExpression(error: HolonError): readonly unknown[] {
  const { message, code, retryable, outcome, details } = new WireError(error)
  return ['error', 'Error', message, null, { code, retryable, outcome, details }]
}

/**
 * Any value that arrived as an error. What carries no known code is `internal`, outcome unknown.
 */
export function fromWire(value: unknown): HolonError {
  if (value instanceof HolonError) return value
  const fields = (typeof value === 'object' && value !== null ? value : {}) as Readonly<
    Record<string, unknown>
  >
  const { message, code, retryable, outcome } = fields
  const text =
    typeof message === 'string' && message !== '' ? message : 'an error without a message'
  if (!isErrorCode(code))
    return new HolonError('internal', text, {
      outcome: 'unknown',
      details: typeof code === 'string' ? { unknownCode: clip(code) } : {},
    })
  return new HolonError(code, text, {
    ...(typeof retryable === 'boolean' ? { retryable } : {}),
    outcome: outcome === 'none' ? 'none' : 'unknown',
    details: parseDetails(fields['details']),
  })
}

/** The error of an incoming expression `["error", name, message, stack, properties]`. */
export function fromWireExpression(expression: unknown): HolonError {
  if (!Array.isArray(expression) || expression[0] !== 'error') return fromWire(undefined)
  const properties: unknown = expression[4]
  const fields = typeof properties === 'object' && properties !== null ? properties : {}
  return fromWire({ ...fields, message: expression[2] })
}

function clip(text: string): string {
  return text.length <= messageCharsMax ? text : `${text.slice(0, messageCharsMax)}…`
}

function detailsText(details: Readonly<Record<string, unknown>>): string {
  try {
    const text = JSON.stringify(details)
    return text.length <= detailsCharsMax ? text : '{"detailsDropped":"too long"}'
  } catch {
    // A cycle or a bigint: the error itself matters more than its details.
    return '{"detailsDropped":"not JSON"}'
  }
}

function parseDetails(text: unknown): Readonly<Record<string, unknown>> {
  if (typeof text !== 'string') return {}
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : {}
  } catch {
    return {}
  }
}
