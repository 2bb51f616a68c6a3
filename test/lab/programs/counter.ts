/**
 * A counter that several machines could run, and only one may: it keeps the count in memory and
 * writes each new one to a database that all machines share, with its fence. Two of them at once
 * would count the same number twice; the database refuses the one that should not be there any more.
 *
 *     node counter.ts serve DATABASE PORT      answers each line with the next number
 *     node counter.ts ask LOG PORT ADDRESS…    asks for numbers, and writes down what became of it
 */
import { appendFileSync } from 'node:fs'
import { createConnection, createServer, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'

const connectMs = 500
const answerMs = 3_000
/** Whoever holds the lock may be frozen, until its lease is over. */
const lockMs = 30_000

const [, , verb, file = '', port = '', ...addresses] = process.argv
if (verb === 'serve') serve(Number(process.env['HOLON_FENCE']))
else await ask()

function serve(fence: number): void {
  const database = new DatabaseSync(file, { timeout: lockMs })
  const write = database.prepare('UPDATE counter SET value = ?, fence = ? WHERE fence <= ?')
  const claim = database.prepare('UPDATE counter SET fence = ? WHERE fence <= ? RETURNING value')
  const row = claim.get(fence, fence)
  if (row === undefined) throw new Error(`fence ${fence} is too low`)
  let value = Number(row['value'])
  const server = createServer((socket) => {
    socket.on('error', () => {})
    createInterface({ input: socket }).on('line', () => {
      value += 1
      if (write.run(value, fence, fence).changes === 0) {
        console.error(`fence ${fence} is too low now`)
        process.exit(1)
      }
      socket.write(`${value}\n`)
    })
  })
  server.listen(Number(port))
}

/** "done VALUE BEGANMS ENDEDMS" or "unknown". What was not sent is not written down. */
async function ask(): Promise<void> {
  for (;;) {
    for (const address of addresses) {
      const socket = await connected(address)
      if (socket === undefined) continue
      await exchange(socket)
      socket.destroy()
    }
    await sleep(20)
  }
}

function connected(address: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = createConnection(Number(port), address)
    const none = () => {
      socket.destroy()
      resolve(undefined)
    }
    const timer = setTimeout(none, connectMs)
    socket.on('error', none)
    socket.on('connect', () => {
      clearTimeout(timer)
      resolve(socket)
    })
  })
}

/** Numbers until one does not come. */
async function exchange(socket: Socket): Promise<void> {
  const reader = createInterface({ input: socket })
  // It passes the socket's errors on.
  reader.on('error', () => {})
  const lines = reader[Symbol.asyncIterator]()
  const gone = new Promise<undefined>((resolve) => socket.on('close', () => resolve(undefined)))
  for (;;) {
    const beganMs = Date.now()
    socket.write('\n')
    const none = sleep(answerMs).then(() => undefined)
    const line = lines.next().catch(() => undefined)
    const answer = await Promise.race([line, none, gone])
    if (answer === undefined || answer.done === true) break
    appendFileSync(file, `done ${answer.value} ${beganMs} ${Date.now()}\n`)
    await sleep(20)
  }
  appendFileSync(file, 'unknown\n')
}
