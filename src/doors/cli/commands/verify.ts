/** `holon verify FILE…`: which lines of unit files are honoured, harmless, or refused. */
import { Command } from 'commander'
import { formatUnitProblem } from '../../../unit/parse.ts'
import { isTimerName, judgeTimer, loadTimer } from '../../../unit/timer-unit.ts'
import { judgeUnit, loadUnit } from '../../../unit/unit.ts'
import type { CliContext } from '../context.ts'
import { readUnitFile } from '../unit-arguments.ts'

export function command(context: CliContext): Command {
  return new Command('verify')
    .description('Checks unit files; exits 1 when a line is refused. Needs no agent.')
    .argument('<file...>')
    .option('-q, --quiet', 'refused lines only')
    .action((files: readonly string[], options: { quiet?: boolean }) => {
      for (const path of files) {
        const input = { ...readUnitFile(path), sourcePath: path }
        const timer = isTimerName(input.name)
        if (!options.quiet) {
          const { lines } = timer ? judgeTimer(input) : judgeUnit(input)
          for (const { file, line, name, verdict } of lines) {
            if (verdict.status === 'refused') continue
            const why = 'message' in verdict && verdict.message ? `: ${verdict.message}` : ''
            context.stdout.write(`${file}:${line}: ${verdict.status}: ${name}=${why}\n`)
          }
        }
        const result = timer ? loadTimer(input) : loadUnit(input)
        if (result.kind === 'loaded') continue
        context.setExit(1)
        for (const problem of result.problems) {
          context.stdout.write(`${formatUnitProblem(problem)}\n`)
        }
      }
    })
}
