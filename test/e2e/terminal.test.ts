import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { after, before, test } from 'node:test'
import { launcher, TestAgent, until } from './harness.ts'

const hasTmux = spawnSync('tmux', ['-V']).status === 0
const skip = hasTmux ? false : 'tmux is not installed'

let agent: TestAgent

before(async () => {
  if (hasTmux) agent = await TestAgent.up()
})
after(() => agent?.[Symbol.asyncDispose]())

/** Waits until a process with exactly this command line runs. */
async function runs(line: string): Promise<void> {
  await until(`${line} runs`, () => agent.holon(['pgrep', '-fx', line]).status === 0)
}

/** A shell in a terminal of its own, with "$HOLON" set. */
class Terminal implements Disposable {
  readonly #socket: string

  constructor(columns = 80, rows = 24) {
    this.#socket = `${agent.dir}/tmux-${Math.random().toString(36).slice(2)}`
    const env = { ...agent.env, HOLON: launcher, PS1: '$ ', TERM: 'xterm' }
    spawnSync(
      'tmux',
      [
        '-S',
        this.#socket,
        '-f',
        '/dev/null',
        'new-session',
        '-c',
        agent.dir,
        '-d',
        '-x',
        String(columns),
        '-y',
        String(rows),
        'bash --norc --noprofile',
      ],
      { env },
    )
  }

  type(...keys: string[]): void {
    spawnSync('tmux', ['-S', this.#socket, 'send-keys', ...keys])
  }

  screen(): string {
    return spawnSync('tmux', ['-S', this.#socket, 'capture-pane', '-p'], { encoding: 'utf8' })
      .stdout
  }

  resize(columns: number, rows: number): void {
    spawnSync('tmux', [
      '-S',
      this.#socket,
      'resize-window',
      '-x',
      String(columns),
      '-y',
      String(rows),
    ])
  }

  async shows(pattern: RegExp): Promise<void> {
    await until(`the screen shows ${pattern}`, () => pattern.test(this.screen()), {
      state: () => this.screen(),
    })
  }

  [Symbol.dispose](): void {
    spawnSync('tmux', ['-S', this.#socket, 'kill-server'])
  }
}

test('a program gets a terminal of our size, which follows ours', { skip }, async () => {
  using terminal = new Terminal(90, 30)
  terminal.type('"$HOLON" run sh -c \'stty size; read x; stty size\'', 'Enter')
  await terminal.shows(/^30 90$/m)
  terminal.resize(70, 20)
  terminal.type('', 'Enter')
  await terminal.shows(/^20 70$/m)
})

test('Ctrl-C reaches the program, and our terminal is as it was', { skip }, async () => {
  using terminal = new Terminal()
  terminal.type(
    'stty -g > before; "$HOLON" run sleep 1000; echo status $?; stty -g | cmp - before && echo same',
    'Enter',
  )
  await runs('sleep 1000')
  terminal.type('C-c')
  await terminal.shows(/^same$/m)
})

test('Ctrl-Z gives the shell back, fg goes on', { skip }, async () => {
  using terminal = new Terminal()
  terminal.type('"$HOLON" run cat', 'Enter')
  terminal.type('one', 'Enter')
  await terminal.shows(/one\none/)
  terminal.type('C-z')
  await terminal.shows(/Stopped/)
  terminal.type('echo shell-is-back', 'Enter')
  await terminal.shows(/^shell-is-back$/m)
  terminal.type('fg', 'Enter')
  terminal.type('two', 'Enter')
  await terminal.shows(/two\ntwo/)
  terminal.type('C-d')
  await terminal.shows(/two\n[^\n]*[$#] *\n*$/)
  terminal.type('echo ended $?', 'Enter')
  await terminal.shows(/^ended 0$/m)
})

test('the terminal is restored when the client is killed by SIGTERM', { skip }, async () => {
  using terminal = new Terminal()
  terminal.type(
    'stty -g > before; "$HOLON" run sleep 1001; stty -g | cmp - before && echo same',
    'Enter',
  )
  await runs('sleep 1001')
  const [pid = ''] = agent.ok(['pgrep', '-f', 'cli.cjs run sleep 1001$']).trim().split('\n')
  agent.ok(['kill', '-TERM', pid])
  await terminal.shows(/^same$/m)
})

test('top shows processes and leaves the screen as it was', { skip }, async () => {
  using terminal = new Terminal(120, 30)
  terminal.type('echo before-top; "$HOLON" top', 'Enter')
  await terminal.shows(/MACHINE/)
  terminal.type('q')
  await terminal.shows(/before-top/)
})

test('attach and detach', { skip }, async () => {
  using terminal = new Terminal()
  terminal.type('ID=$("$HOLON" run -d -t cat); "$HOLON" attach $ID', 'Enter')
  await until('cat runs', () =>
    agent.json<{ argv: string[] }[]>(['runs', '--json']).some((r) => r.argv[0] === 'cat'),
  )
  terminal.type('hello', 'Enter')
  await terminal.shows(/hello\n+hello/)
  terminal.type('C-]')
  await terminal.shows(/goes on\n.*[$#]/)
  terminal.type('"$HOLON" runs --stop $ID; echo stopped $?', 'Enter')
  await terminal.shows(/^stopped 0$/m)
})

test('a secret that is typed is not shown, and our terminal is as it was', { skip }, async () => {
  using terminal = new Terminal()
  terminal.type('stty -g > before; "$HOLON" secret set typed', 'Enter')
  await terminal.shows(/value of typed \(not shown\):/)
  terminal.type('opensezamex', 'BSpace', 'BSpace', 'e', 'Enter')
  await terminal.shows(/typed has version 1 now, 10 bytes/)
  terminal.type('stty -g | cmp - before && echo same; "$HOLON" secret set typed', 'Enter')
  await terminal.shows(/^same$[\s\S]*value of typed/m)
  assert.doesNotMatch(terminal.screen(), /openseza/)
  terminal.type('C-c')
  await terminal.shows(/nothing was set/)
  assert.equal(agent.ok(['secret', 'show', 'typed']), 'opensezame')
})
