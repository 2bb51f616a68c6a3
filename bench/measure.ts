/**
 * Measuring side by side: two things in turn, A B A B …, so that the machine's drift hits both alike;
 * what is reported is the ratio of medians. Absolute figures of a shared machine say little.
 */
import { spawnSync } from 'node:child_process'

export interface Sample {
  readonly name: string
  /** Milliseconds. */
  readonly run: () => number | Promise<number>
}

export interface Comparison {
  readonly what: string
  readonly ours: number
  readonly peer: number
  readonly unit: string
  /** ours / peer, or its inverse where more is better. */
  readonly ratio: number
  readonly bar: string
  readonly met: boolean
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[sorted.length >> 1] ?? Number.NaN
}

/** Medians of `rounds` runs of each, in turn, after a warm-up of each. */
export async function inTurn(
  rounds: number,
  samples: readonly Sample[],
): Promise<readonly number[]> {
  for (const sample of samples) for (let i = 0; i < 3; i++) await sample.run()
  const times = samples.map((): number[] => [])
  for (let round = 0; round < rounds; round++) {
    for (const [i, sample] of samples.entries()) times[i]?.push(await sample.run())
  }
  return times.map(median)
}

/**
 * The same in blocks of `size` runs of each: for things of milliseconds, which would else be measured
 * with the caches that the others left.
 */
export async function inBlocks(
  blocks: number,
  size: number,
  samples: readonly Sample[],
): Promise<readonly number[]> {
  const times = samples.map((): number[] => [])
  for (let block = 0; block < blocks; block++) {
    for (const [i, sample] of samples.entries()) {
      for (let n = -3; n < size; n++) {
        const ms = await sample.run()
        if (n >= 0) times[i]?.push(ms)
      }
    }
  }
  return times.map(median)
}

/** Wall time of a whole process in ms. Throws when it fails. */
export function timeCommand(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): number {
  const start = performance.now()
  const { status, error, stderr } = spawnSync(command, args, {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 1 << 28,
  })
  if (status !== 0) throw error ?? new Error(`${command} ${args.join(' ')}: ${status} ${stderr}`)
  return performance.now() - start
}

/** `ours` at most `bar` times `peer`. */
export function atMost(
  what: string,
  ours: number,
  peer: number,
  bar: number,
  unit = 'ms',
): Comparison {
  const ratio = ours / peer
  return { what, ours, peer, unit, ratio, bar: `≤ ${bar} ×`, met: ratio <= bar }
}

/** `ours` at least `bar` times `peer`. */
export function atLeast(
  what: string,
  ours: number,
  peer: number,
  bar: number,
  unit = '/s',
): Comparison {
  const ratio = ours / peer
  return { what, ours, peer, unit, ratio, bar: `≥ ${bar} ×`, met: ratio >= bar }
}

export function formatComparisons(rows: readonly Comparison[]): string {
  const line = (c: Comparison) =>
    `| ${c.what} | ${c.ours.toFixed(3)} | ${c.peer.toFixed(3)} ${c.unit} | ${c.ratio.toFixed(2)} | ${c.bar} | ${c.met ? 'met' : 'missed'} |`
  return [
    '| what | Holon | peer | ratio | bar | |',
    '|---|---|---|---|---|---|',
    ...rows.map(line),
  ].join('\n')
}
