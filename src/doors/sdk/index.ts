/** The public surface of the package: `import { connect } from 'holon'`. */
export { type ErrorCode, errorCodes, HolonError, type Outcome } from '../../base/errors.ts'
export type * from '../../kernel/decisions.ts'
export type * from '../../kernel/kernel.ts'
export type * from '../../kernel/log-types.ts'
export type * from '../../kernel/names.ts'
export type * from '../../kernel/secrets.ts'
export type * from '../../kernel/types.ts'
export {
  type ConnectOptions,
  connect,
  type Holon,
  type RunHandle,
  type RunOptions,
  type RunResult,
  type Verbs,
} from './connect.ts'
export type { NameVerbs } from './names.ts'
