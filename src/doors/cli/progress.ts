/** Says on stderr what takes long, and nothing about what does not. */
import type { CliContext } from './context.ts'

const quietMs = 1_000
const everyMs = 10_000

/** Says `what` after a second, and that it goes on every ten; until disposed. */
export function progress(context: CliContext, what: string): Disposable {
  const startMs = context.clock.nowMs()
  const say = () => {
    const seconds = Math.round((context.clock.nowMs() - startMs) / 1000)
    context.stderr.write(`holon: ${what} (${seconds} s) …\n`)
    timer = context.clock.timer(everyMs, say)
  }
  let timer = context.clock.timer(quietMs, say)
  return { [Symbol.dispose]: () => timer[Symbol.dispose]() }
}
