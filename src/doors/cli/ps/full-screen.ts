/**
 * Owns the terminal while a full-screen command runs: alternate screen, hidden cursor, raw keys.
 *
 * However the command ends (return, exception, signal, the terminal's hang-up), the terminal is as
 * it was before; only SIGKILL cannot be helped. Ctrl-Z gives it back and takes it again at `fg`.
 */

export interface FullScreenHandlers {
  /** What was typed, as it came. */
  readonly onInput: (text: string) => void
  /** The size changed, or the screen is ours again: draw it. */
  readonly onRedraw: () => void
  /** No more keys will come: the terminal is gone. */
  readonly onHangUp: () => void
}

const enterSequence = '\x1b[?1049h\x1b[?25l\x1b[?7l'
const leaveSequence = '\x1b[?7h\x1b[?25h\x1b[?1049l'
const endingSignals = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const

export class FullScreen implements Disposable {
  readonly #stdin: NodeJS.ReadStream
  readonly #stdout: NodeJS.WriteStream
  readonly #handlers: FullScreenHandlers
  #entered = false

  /** Takes the terminal; disposing gives it back. */
  constructor(stdin: NodeJS.ReadStream, stdout: NodeJS.WriteStream, handlers: FullScreenHandlers) {
    this.#stdin = stdin
    this.#stdout = stdout
    this.#handlers = handlers
    stdin.setEncoding('utf8')
    stdin.on('data', this.#onData)
    stdin.on('end', handlers.onHangUp)
    stdin.on('error', handlers.onHangUp)
    stdout.on('resize', handlers.onRedraw)
    for (const signal of endingSignals) process.on(signal, this.#onEnding)
    process.on('SIGCONT', this.#onContinue)
    // Before the exception's text is printed, so that it lands on the ordinary screen.
    process.on('uncaughtExceptionMonitor', this.#leave)
    process.on('exit', this.#leave)
    this.#enter()
  }

  get size(): { readonly rows: number; readonly columns: number } {
    return { rows: this.#stdout.rows || 24, columns: this.#stdout.columns || 80 }
  }

  /** Shows `lines`; the one numbered `inverse` stands out. */
  draw(lines: readonly string[], inverse: number): void {
    if (!this.#entered) return
    const { columns } = this.size
    const text = lines.map((line, i) =>
      i === inverse ? `\x1b[7m${line.padEnd(columns)}\x1b[0m` : `${line}\x1b[K`,
    )
    this.#stdout.write(`\x1b[H${text.join('\r\n')}\x1b[J`)
  }

  /** Gives the terminal back and stops this process group, as Ctrl-Z does. */
  suspend(): void {
    this.#leave()
    process.kill(0, 'SIGTSTP')
    // Continued, or never stopped: a process group without a shell above it cannot be.
    this.#onContinue()
  }

  [Symbol.dispose](): void {
    this.#leave()
    this.#stdin.off('data', this.#onData)
    this.#stdin.off('end', this.#handlers.onHangUp)
    this.#stdin.off('error', this.#handlers.onHangUp)
    this.#stdout.off('resize', this.#handlers.onRedraw)
    for (const signal of endingSignals) process.off(signal, this.#onEnding)
    process.off('SIGCONT', this.#onContinue)
    process.off('uncaughtExceptionMonitor', this.#leave)
    process.off('exit', this.#leave)
  }

  #enter(): void {
    this.#entered = true
    this.#stdin.setRawMode(true)
    this.#stdin.resume()
    this.#stdout.write(enterSequence)
  }

  readonly #leave = (): void => {
    if (!this.#entered) return
    this.#entered = false
    this.#stdout.write(leaveSequence)
    try {
      this.#stdin.setRawMode(false)
    } catch {
      // The terminal hung up: it has no mode to go back to.
    }
    this.#stdin.pause()
  }

  readonly #onData = (text: string): void => this.#handlers.onInput(text)

  // Ends as the signal alone would have ended us, so that a shell sees the right status.
  readonly #onEnding = (signal: NodeJS.Signals): void => {
    this[Symbol.dispose]()
    process.kill(process.pid, signal)
  }

  readonly #onContinue = (): void => {
    if (!this.#entered) this.#enter()
    this.#handlers.onRedraw()
  }
}
