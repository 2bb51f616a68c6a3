/** Byte stream jobs: stdio, signals and hanging up. */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { test } from 'node:test'
import { withSignal } from '../../src/base/clock.ts'
import { openStdio } from '../../src/rpc/stdio.ts'
import { alive, type Bench, command, eventually, jobSpec } from './keeper-support.ts'

/** Jobs with `output: stream`. */
export function streamTests(bench: Bench): void {
  const { newDir, limit, root } = bench
  test('a byte stream job: stdin, both outputs, exit status; nothing is left of it', async () => {
    const line = 'read x; echo "got $x"; echo err >&2; echo "$HOLON_JOB"; exit 7'
    const spec = jobSpec(newDir(), line, { output: 'stream', stdin: 'stream' })
    using bound = limit()
    const { socketPath } = await bench.launcher.startStream(spec, bound)
    using stdio = await openStdio({ runId: 'x', socketPath }, { stdin: true }, bound)
    stdio.stdin.end('hello\n')
    const collect = async (stream: AsyncIterable<Buffer>) => {
      let text = ''
      for await (const chunk of stream) text += chunk.toString()
      return text
    }
    const [exit, out, err] = await Promise.all([
      stdio.exit,
      collect(stdio.stdout),
      collect(stdio.stderr),
    ])
    assert.deepEqual([exit, out, err], [{ code: 7 }, `got hello\n${spec.dir}\n`, 'err\n'])
    await eventually(
      () => !readdirSync(root).includes(spec.dir.split('/').at(-1) ?? ''),
      () => 'the directory is still there',
    )
  })

  test('a byte stream job ends with its client', async () => {
    const spec = jobSpec(newDir(), 'echo $$; exec sleep 1000', {
      output: 'stream',
      timeoutStopMs: 500,
    })
    using bound = limit()
    const { socketPath } = await bench.launcher.startStream(spec, bound)
    using stdio = await openStdio({ runId: 'x', socketPath }, { stdin: false }, bound)
    let text = ''
    for await (const chunk of stdio.stdout) {
      text += chunk.toString()
      if (text.includes('\n')) break
    }
    const pid = Number(text)
    assert.ok(alive(pid))
    stdio[Symbol.dispose]()
    await eventually(
      () => !alive(pid),
      () => `process ${pid} is still there`,
    )
  })

  test('a byte stream job: a closed output is SIGPIPE, signals arrive, a slow reader is waited for', async () => {
    const attach = async (line: string, stdin = false) => {
      const stream = { output: 'stream', stdin: stdin ? 'stream' : 'null' } as const
      using bound = limit()
      const { socketPath } = await bench.launcher.startStream(
        jobSpec(newDir(), line, stream),
        bound,
      )
      return await openStdio({ runId: 'x', socketPath }, { stdin }, bound)
    }
    using endless = await attach('exec yes')
    for await (const chunk of endless.stdout) {
      assert.equal(chunk.toString().slice(0, 2), 'y\n')
      break
    }
    assert.deepEqual(await endless.exit, { signal: 'SIGPIPE' })

    using asleep = await attach("trap 'exit 9' USR1; echo up; while :; do sleep 0.02; done")
    for await (const _ of asleep.stdout) {
      asleep.signal(10)
      break
    }
    assert.deepEqual(await asleep.exit, { code: 9 })

    const size = 20 * 1024 * 1024
    using echo = await attach('exec cat', true)
    void (async () => {
      const block = Buffer.alloc(64 * 1024, 'b')
      for (let sent = 0; sent < size; sent += block.length) {
        if (!echo.stdin.write(block)) {
          await new Promise((resolve) => echo.stdin.once('drain', resolve))
        }
      }
      echo.stdin.end()
    })()
    let got = 0
    for await (const chunk of echo.stdout) got += chunk.length
    assert.equal(got, size)
    using bound = limit()
    assert.deepEqual(await withSignal(echo.exit, bound.signal), { code: 0 })
  })

  test('a byte stream job whose program is not there', async () => {
    const path = '/nonexistent'
    const missing = { ...command('start', ''), path, argv: [path] }
    const spec = { ...jobSpec(newDir(), '', { output: 'stream' }), commands: [missing] }
    using bound = limit()
    const { socketPath } = await bench.launcher.startStream(spec, bound)
    using stdio = await openStdio({ runId: 'x', socketPath }, { stdin: false }, bound)
    assert.deepEqual(await stdio.exit, { execErrno: 'ENOENT' })
  })
}
