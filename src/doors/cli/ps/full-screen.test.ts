/** The terminal comes back however `top` ends. Needs script(1), which every Debian has. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { type TestContext, test } from 'node:test'
import { realClock } from '../../../io/clock.ts'
import { ProcFs } from '../../../io/proc.ts'

const here = import.meta.dirname
const program = (after: string) => `
  const { command } = await import('${here}/../commands/top.ts')
  const { testContext, testSystem } = await import('${here}/test-system.ts')
  const { context } = testContext(testSystem())
  const { stdin, stdout, stderr } = process
  ${after}
  await command({ ...context, stdin, stdout, stderr }).parseAsync(['-d', '0.2'], { from: 'user' })
  console.log('ended by itself')`

interface Terminal {
  readonly child: ChildProcess
  readonly pid: () => number
  readonly screen: () => string
  readonly until: (what: string, holds: () => boolean) => Promise<void>
}

/** `top` in a terminal of its own, its screen drawn once. */
async function topInTerminal(t: TestContext, after = ''): Promise<Terminal> {
  const quoted = program(after).replaceAll("'", `'\\''`)
  const node = `'${process.execPath}' --input-type=module -e '${quoted}'`
  // A shell around it, as a person has: it tells how top ended and what the terminal is like then.
  const command = `stty rows 20 cols 90; ${node}; echo "status $?"; stty -a | tr ' ' '\\n' | grep icanon`
  const child = spawn('script', ['-qec', command, '/dev/null'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  const proc = new ProcFs()
  const below = () => proc.descendants(child.pid ?? 0)
  t.after(() => {
    for (const each of [...below().reverse(), child.pid ?? 0]) {
      try {
        process.kill(each, 'SIGKILL')
      } catch {
        // It ended by itself.
      }
    }
  })
  const until = async (what: string, holds: () => boolean): Promise<void> => {
    const endMs = realClock.nowMs() + 20_000
    while (!holds()) {
      assert.ok(
        realClock.nowMs() < endMs,
        `not within 20 s: ${what}; screen: ${JSON.stringify(output.slice(-600))}`,
      )
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }
  await until('a first screen', () => output.includes('COMMAND'))
  const isNode = (pid: number) => proc.args(pid, 4096)?.args[0] === process.execPath
  return { child, pid: () => below().findLast(isNode) ?? 0, screen: () => output, until }
}

const taken = '\x1b[?1049h'
const given = '\x1b[?1049l'

async function assertGivenBack(terminal: Terminal, status: RegExp): Promise<void> {
  await terminal.until('the shell again', () => /(^|\s)-?icanon/.test(terminal.screen()))
  const screen = terminal.screen()
  assert.ok(screen.indexOf(taken) < screen.lastIndexOf(given), 'the ordinary screen is back')
  const last = screen.slice(screen.lastIndexOf(given))
  assert.match(last, status)
  assert.match(last, /(^|\s)icanon/, 'the terminal edits lines again')
}

test('FullScreen gives the terminal back after q', async (t) => {
  const terminal = await topInTerminal(t)
  terminal.child.stdin?.write('q')
  await assertGivenBack(terminal, /ended by itself\s+status 0/)
})

test('FullScreen gives the terminal back after signals, and dies of them', async (t) => {
  for (const [signal, status] of [
    ['SIGTERM', /status 143/],
    ['SIGHUP', /status 129/],
  ] as const) {
    const terminal = await topInTerminal(t)
    process.kill(terminal.pid(), signal)
    await assertGivenBack(terminal, status)
  }
})

test('FullScreen gives the terminal back after a crash, and the error is seen', async (t) => {
  const terminal = await topInTerminal(t, "setTimeout(() => { throw new Error('planted') }, 700)")
  await assertGivenBack(terminal, /planted[\s\S]*status 1/)
})

test('FullScreen takes keys, draws anew, and Ctrl-C ends it', async (t) => {
  const terminal = await topInTerminal(t)
  terminal.child.stdin?.write('h')
  await terminal.until('help', () => terminal.screen().includes('Any key goes back'))
  terminal.child.stdin?.write('xu')
  await terminal.until('a prompt', () => terminal.screen().includes('only the user'))
  terminal.child.stdin?.write('\x03')
  await assertGivenBack(terminal, /status 0/)
})
