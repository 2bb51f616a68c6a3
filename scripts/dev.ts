/** `npm run dev -- ARGS…`: the CLI from source, without a build; the agent still runs from dist/. */
import { runProgram } from '../src/doors/cli/program.ts'

await runProgram(process.argv.slice(2), { saveCode: () => {} })
