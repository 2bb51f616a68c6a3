/**
 * Stands for an agent that is killed: `keeper-agent.ts JSON` starts the job of the JSON's spec with
 * the JSON's launcher options, says so, and stays until it is killed.
 */
import { openLauncher } from '../../src/agent/keeper/launcher.ts'
import { deadline } from '../../src/base/clock.ts'
import { realClock } from '../../src/io/clock.ts'

const { options, spec } = JSON.parse(process.argv[2] ?? '')
const report = (message: string) => console.error(message)
const launcher = await openLauncher({ clock: realClock, report }, options)
using limit = deadline(realClock, 30_000)
await launcher.start(spec, { afterSeq: 0, onState: () => {}, onEvent: () => {} }, limit)
process.stdout.write('started\n')
setInterval(() => {}, 1000)
