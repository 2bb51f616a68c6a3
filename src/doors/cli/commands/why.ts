/** `holon why UNIT`: the recorded decisions that led here, and what comes next. */
import { Command } from 'commander'
import type { WhyAnswer } from '../../../kernel/types.ts'
import type { CliContext } from '../context.ts'
import { isoTime } from '../time.ts'
import { resolveUnit } from '../unit-arguments.ts'

export function command(context: CliContext): Command {
  return new Command('why')
    .description('Explains how a unit came to its state, from recorded decisions.')
    .argument('<unit>')
    .option('--json', 'as JSON')
    .action(async (text: string, options: { json?: boolean }) => {
      using limit = context.deadline()
      const { signal } = limit
      const { unit, instance } = await resolveUnit(await context.system(), text, {
        signal,
        load: false,
      })
      const answer = await unit.why({ signal })
      const name = instance === undefined ? undefined : `${answer.unit}/${instance}`
      context.stdout.write(
        options.json ? `${JSON.stringify(answer, undefined, 2)}\n` : formatWhy(answer, name),
      )
    })
}

function formatWhy(answer: WhyAnswer, instance: string | undefined): string {
  const { status } = answer
  const lines = [`${answer.unit} is ${status.active} (${status.sub})`]
  for (const note of status.notes) lines.push(`  note: ${note}`)
  const decisions = answer.decisions.filter(
    (d) => instance === undefined || d.instance === undefined || d.instance === instance,
  )
  lines.push('', 'What led here:')
  if (decisions.length === 0) lines.push('  nothing is recorded')
  for (const d of decisions) {
    const about = d.instance === undefined ? answer.unit : d.instance
    lines.push(`  ${isoTime(d.atMs)} ${d.machine} ${about}: ${d.what}: ${d.why}`)
  }
  const next = answer.next.filter((line) => instance === undefined || line.startsWith(instance))
  if (next.length > 0) lines.push('', 'What comes next:', ...next.map((line) => `  ${line}`))
  return `${lines.join('\n')}\n`
}
