/** The front's process: it does what its agent says on a socket, and goes on when that is gone. */
import { asHolonError } from '../base/errors.ts'
import { version } from '../base/version.ts'
import { realClock } from '../io/clock.ts'
import { realHost } from '../io/host.ts'
import { listenRpc } from '../rpc/listen.ts'
import { frontInterface } from './control.ts'
import { Front } from './front.ts'

const report = (message: string) => {
  process.stderr.write(`${message}\n`)
}

async function main(): Promise<void> {
  process.title = 'holon-front'
  const path = realHost().env['HOLON_FRONT_SOCKET']
  if (path === undefined) throw new Error('HOLON_FRONT_SOCKET says where its agent finds it')
  const ending = Promise.withResolvers<void>()
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => ending.resolve())
  const front = new Front(realClock)
  const listener = await listenRpc(realClock, path, frontInterface, () => front, {
    version,
    onInternalError: (error, action) => report(`bug: ${action}: ${String(error)}`),
  })
  await ending.promise
  await front[Symbol.asyncDispose]()
  await listener[Symbol.asyncDispose]()
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    report(asHolonError(error).message)
    process.exit(1)
  },
)
