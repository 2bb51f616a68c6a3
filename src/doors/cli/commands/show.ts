/** `holon show UNIT`: systemctl's properties, for programs. */
import { Command } from 'commander'
import type { CliContext } from '../context.ts'
import { resolveWholeUnit } from '../unit-arguments.ts'

export function command(context: CliContext): Command {
  return new Command('show')
    .description("Prints properties of units, named as systemctl's.")
    .argument('<unit...>')
    .option('-p, --property <names>', 'only these, like MainPID,ActiveState')
    .option('--value', 'values without names')
    .option('--json', 'as JSON')
    .action(async (units: readonly string[], options: ShowOptions) => {
      using limit = context.deadline()
      const { signal } = limit
      const system = await context.system()
      const how = { signal, load: false, verb: 'show', forOne: 'why' } as const
      const wanted = options.property?.split(',')
      const answers: Record<string, string>[] = []
      for (const text of units) {
        const { unit } = await resolveWholeUnit(system, text, how)
        const all = Object.entries(await unit.show({ signal }))
        answers.push(Object.fromEntries(all.filter(([name]) => wanted?.includes(name) ?? true)))
      }
      if (options.json) {
        context.stdout.write(`${JSON.stringify(answers, undefined, 2)}\n`)
        return
      }
      const blocks = answers.map((properties) =>
        Object.entries(properties)
          .map(([name, value]) => (options.value ? `${value}\n` : `${name}=${value}\n`))
          .join(''),
      )
      context.stdout.write(blocks.join('\n'))
    })
}

interface ShowOptions {
  readonly property?: string
  readonly value?: boolean
  readonly json?: boolean
}
