/** The error for a command line that cannot be understood: exit status 2. */
import { HolonError } from '../../../base/errors.ts'

export function usageError(message: string): HolonError {
  return new HolonError('invalid_argument', message)
}
