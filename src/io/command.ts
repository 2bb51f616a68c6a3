/**
 * Running a tool of the host to its end without blocking: what it printed, or an error that names
 * the command, how it ended and what it said. Every tool has a deadline; one that passes it is
 * killed, and then it may or may not have done its work.
 */
import { spawn } from 'node:child_process'
import { delimiter, join } from 'node:path'
import { type ErrorCode, errnoOf, HolonError } from '../base/errors.ts'
import { isExecutableFile } from './files.ts'

export interface CommandOptions {
  /** Given to its stdin; nothing by default. */
  readonly input?: string
  /** Default 30,000. */
  readonly timeoutMs?: number
  /** The whole environment; ours by default. */
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly cwd?: string
  /** In a session of its own: signals of our terminal do not reach it. */
  readonly detached?: boolean
}

export interface CommandResult {
  /** As a shell gives it: 128 + N when signal N ended it. */
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

const timeoutMsDefault = 30_000
/** What is kept of each output; a tool that says more is not one of those this is for. */
const outputBytesMax = 16 * 1024 * 1024

/**
 * Runs `argv` and resolves however it ends. Rejects with `not_found` when there is no such program,
 * `deadline_exceeded` (outcome unknown) when it had to be killed.
 */
export function runCommand(
  argv: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const [file = '', ...args] = argv
  const timeoutMs = options.timeoutMs ?? timeoutMsDefault
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: options.detached === true,
      cwd: options.cwd ?? '/',
      ...(options.env === undefined ? {} : { env: options.env }),
    })
    let overdue = false
    const timer = setTimeout(() => {
      overdue = true
      child.kill('SIGKILL')
      // What it started may hold the pipes open; nobody waits for that.
      child.stdout.destroy()
      child.stderr.destroy()
    }, timeoutMs)
    const stdout = collect(child.stdout)
    const stderr = collect(child.stderr)
    child.stdin.on('error', () => {})
    child.stdin.end(options.input ?? '')
    child.on('error', (error) => {
      clearTimeout(timer)
      reject(spawnError(argv, error))
    })
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      if (overdue) return reject(overdueError(argv, timeoutMs, stderr()))
      const status = code ?? 128 + (signal === null ? 0 : signalNumber(signal))
      resolve({ status, stdout: stdout(), stderr: stderr() })
    })
  })
}

/** As `runCommand`, and its stdout; rejects with `code` when the status is not 0. */
export async function mustRun(
  argv: readonly string[],
  options: CommandOptions = {},
  code: ErrorCode = 'internal',
): Promise<string> {
  const { status, stdout, stderr } = await runCommand(argv, options)
  if (status === 0) return stdout
  const said = stderr.trim() || stdout.trim() || 'nothing said'
  throw new HolonError(code, `${line(argv)} ended with status ${status}: ${said}`)
}

/** The program's path as a shell would find it; undefined when there is none. */
export function findTool(name: string, path: string | undefined): string | undefined {
  // Tools of the administrator are often missing in the PATH of services and of su.
  const dirs = [...(path ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin']
  return dirs
    .filter((dir) => dir.startsWith('/'))
    .map((dir) => join(dir, name))
    .find(isExecutableFile)
}

function collect(stream: NodeJS.ReadableStream): () => string {
  const chunks: Buffer[] = []
  let bytes = 0
  stream.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes <= outputBytesMax) chunks.push(chunk)
  })
  stream.on('error', () => {})
  return () => Buffer.concat(chunks).toString('utf8')
}

function signalNumber(signal: NodeJS.Signals): number {
  return { SIGHUP: 1, SIGINT: 2, SIGQUIT: 3, SIGKILL: 9, SIGTERM: 15 }[signal as string] ?? 0
}

/** A script in the arguments would drown what matters. */
function line(argv: readonly string[]): string {
  const words = argv.map((word) => (word.includes('\n') ? '…' : word)).join(' ')
  return words.length > 200 ? `${words.slice(0, 200)}…` : words
}

function spawnError(argv: readonly string[], error: Error): HolonError {
  const [file = ''] = argv
  if (errnoOf(error) === 'ENOENT') {
    return new HolonError('not_found', `there is no program ${JSON.stringify(file)}`)
  }
  return new HolonError('internal', `${line(argv)}: ${error.message}`, { cause: error })
}

function overdueError(argv: readonly string[], timeoutMs: number, stderr: string): HolonError {
  const said = stderr.trim() === '' ? '' : `: ${stderr.trim()}`
  return new HolonError(
    'deadline_exceeded',
    `${line(argv)} did not end within ${timeoutMs / 1000} s and was killed${said}`,
    { outcome: 'unknown' },
  )
}
