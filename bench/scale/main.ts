/**
 * `npm run bench -- scale [MACHINES…]`: what a fleet of 100, 1,000 and 10,000 machines with ten
 * instances each takes of its leader's processor, memory and network, and of the state, in one
 * process on a simulated clock. The leader is real, all else is a model: docs/scale.md.
 */
import { type Measured, measureFleet } from './scale.ts'

const sizes = [100, 1_000, 10_000]

export async function scaleBench(wanted: readonly string[]): Promise<string> {
  const unknown = wanted.filter((each) => !(Number(each) >= 100 && Number(each) % 100 === 0))
  if (unknown.length > 0) throw new Error(`${unknown.join(', ')}: no hundreds of machines`)
  const rows: Measured[] = []
  for (const size of wanted.length > 0 ? wanted.map(Number) : sizes) {
    rows.push(...(await measureFleet(size)))
  }
  const kinds = [...new Set(rows.map(({ what }) => what))]
  const inOrder = kinds.flatMap((kind) => rows.filter(({ what }) => what === kind))
  return [
    '| what happens | machines | until done | leader: CPU | longest | txns | puts | written | messages | received |',
    '|---|---|---|---|---|---|---|---|---|---|',
    ...inOrder.map(line),
  ].join('\n')
}

function line({ machines, what, seconds, leaderMs, longestMs, all, peak, heapBytes }: Measured) {
  const messages = peak.beats + 2 * peak.reports
  const cells = [
    what,
    machines.toLocaleString('en'),
    `${seconds.toFixed(1)} s`,
    `${leaderMs.toFixed(0)} ms`,
    `${longestMs.toFixed(0)} ms`,
    `${all.txns}, ${peak.txns}/s`,
    `${all.puts}, ${peak.puts}/s`,
    `${megabytes(all.putBytes)}, ${megabytes(peak.putBytes)}/s`,
    `${messages}/s`,
    `${megabytes(peak.messageBytes)}/s`,
    ...(heapBytes === undefined ? [] : [`heap ${megabytes(heapBytes)}`]),
  ]
  return `| ${cells.join(' | ')} |`
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`
}
