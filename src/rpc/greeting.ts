/**
 * The hello: the first line in each direction, `holon/1 0.1.0`: the protocol's number and, for
 * people, the program's version. It costs no round trip: calls follow it at once, and the answer
 * says whether they were understood.
 */
import { HolonError } from '../base/errors.ts'

export const protocolVersion = 1

export function greeting(version: string): string {
  return `holon/${protocolVersion} ${version}`
}

export interface GreetingContext {
  readonly role: 'client' | 'server'
  readonly version: string
  readonly peer: string
}

/** Throws `unsupported`, saying which side to upgrade, unless `line` greets in our protocol. */
export function readGreeting(line: string, context: GreetingContext): void {
  const { role, version, peer } = context
  const match = /^holon\/(\d{1,9}) ([!-~]{1,64})$/.exec(line)
  if (match === null) throw new HolonError('unsupported', `${peer} does not speak Holon's protocol`)
  const theirs = Number(match[1])
  if (theirs === protocolVersion) return
  const theyAreOlder = theirs < protocolVersion
  const upgrade =
    theyAreOlder === (role === 'client')
      ? 'upgrade the agent: install the newer holon, then `holon down` and `holon up`'
      : 'upgrade the program that calls it'
  throw new HolonError(
    'unsupported',
    `${peer} speaks protocol ${theirs} (holon ${match[2]}), ` +
      `this side ${protocolVersion} (holon ${version}); ${upgrade}`,
    { details: { theirs, ours: protocolVersion } },
  )
}
