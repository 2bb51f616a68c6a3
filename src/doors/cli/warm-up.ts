/**
 * Runs the everyday commands once, unseen, right after `holon up`: the compiled code of whatever
 * this process has run is then kept for all that follow (io/program-code.ts). Without it every
 * command would compile its own part each time, for some 10 ms.
 */
import { PassThrough, Writable } from 'node:stream'
import type { CliContext } from './context.ts'

const everyday: readonly (readonly string[])[] = [
  ['run', '-T', 'true'],
  ['ps', '-ef'],
  ['status'],
  ['list-units'],
  ['runs'],
]

/** Never fails: a cold cache is only slower. */
export async function warmUp(
  dispatch: (args: readonly string[], context: CliContext) => Promise<void>,
  context: CliContext,
): Promise<void> {
  const nowhere = () => new Writable({ write: (_chunk, _encoding, done) => done() })
  for (const args of everyday) {
    const unseen: CliContext = {
      ...context,
      stdin: new PassThrough().end() as unknown as NodeJS.ReadStream,
      stdout: nowhere() as unknown as NodeJS.WriteStream,
      stderr: nowhere() as unknown as NodeJS.WriteStream,
      setExit: () => {},
    }
    try {
      await dispatch(args, unseen)
    } catch {
      // It is told when somebody really asks for it.
    }
  }
}
