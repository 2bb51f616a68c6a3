/** Over a real link, with an agent's side that is real but for the machines behind it. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { temporaryDirectory, until } from '../../../test/support/rpc-toy.ts'
import { deadline } from '../../base/clock.ts'
import { HolonError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import { FleetPages, type FleetPagesOptions } from '../../cluster/fleet-pages.ts'
import { writeTextPage } from '../../cluster/text-page.ts'
import { realClock } from '../../io/clock.ts'
import type { System } from '../../kernel/kernel.ts'
import type { ProcessPage } from '../../kernel/types.ts'
import { connectRpc } from '../../rpc/connect.ts'
import { listenRpc } from '../../rpc/listen.ts'
import { systemInterface } from '../../rpc/wire.ts'
import { allProcesses } from './all-pages.ts'

interface Machine {
  readonly machineId: string
  readonly name: string
}

type Ask = FleetPagesOptions<Machine>['ask']

const machines: readonly Machine[] = Array.from({ length: 40 }, (_, i) => {
  const name = `n${String(i + 1).padStart(2, '0')}`
  return { name, machineId: name }
})

/** So many processes on each, with arguments that make the whole far longer than a message. */
const perMachine = 150
const args = ['"quoted"', 'ü\n\u2028', 'x'.repeat(4000)]

const table: Ask = async ({ name }, { bytes, cursor = '0' }) => {
  const rows: string[] = []
  let at = Number(cursor)
  for (let length = 0; at < perMachine && length < bytes; at++) {
    const row = JSON.stringify({ machine: name, pid: at + 1, args })
    rows.push(row)
    length += row.length
  }
  const facts = at < perMachine ? '' : JSON.stringify({ machine: name })
  const lists = [rows.join(','), facts]
  return writeTextPage(at < perMachine ? { lists, cursor: String(at) } : { lists })
}

async function linkTo(ask: Ask) {
  const directory = temporaryDirectory()
  const path = join(directory.path, 'sock')
  const system = {
    processes: async () =>
      new FleetPages<Machine, ProcessPage>(realClock, machines, {
        lists: ['processes', 'machines'],
        ask,
        timeoutMs: 20_000,
        lastSeenAtMs: () => undefined,
      }),
  } as unknown as System
  const bugs: unknown[] = []
  const options = { version: '1.2.3', onInternalError: (error: unknown) => bugs.push(error) }
  const listener = await listenRpc(realClock, path, systemInterface, () => system, options)
  using limit = deadline(realClock, 10_000)
  const client = await connectRpc(realClock, path, systemInterface, { ...options, ...limit })
  return {
    client,
    listener,
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]()
      await listener[Symbol.asyncDispose]()
      directory[Symbol.dispose]()
      assert.deepEqual(bugs, [])
    },
  }
}

test('allProcesses() puts together whole what is longer than a message may be', async () => {
  await using link = await linkTo(table)
  using limit = deadline(realClock, 60_000)
  const listing = await allProcesses(link.client.main, {}, limit)
  assert.ok(JSON.stringify(listing).length > 1.2 * limits.rpcFrameBytesMax)
  assert.deepEqual(listing.missing, [])
  const names = machines.map(({ name }) => name)
  assert.deepEqual(
    listing.machines.map(({ machine }) => machine),
    names,
  )
  assert.deepEqual(
    listing.processes.map(({ machine, pid }) => `${machine}:${pid}`),
    names.flatMap((name) => Array.from({ length: perMachine }, (_, i) => `${name}:${i + 1}`)),
  )
  assert.ok(listing.processes.every((row) => row.args[1] === args[1]))
  const [session] = link.listener.sessions
  await until(
    () => session?.stats.capabilities === 1,
    () => session?.stats,
  )
})

test('allProcesses() that ends in the middle has all questions end, and gives everything back', async () => {
  for (const how of ['signal', 'link'] as const) {
    let underWay = 0
    // Later pages come only when nobody wants them any more.
    const ask: Ask = (machine, page, signal) => {
      if (page.cursor === undefined) return table(machine, page, signal)
      underWay++
      return new Promise<never>((_, reject) => {
        const ended = () => {
          underWay--
          reject(new HolonError('cancelled', 'nobody waits for it'))
        }
        signal.addEventListener('abort', ended, { once: true })
      })
    }
    await using link = await linkTo(ask)
    const [session] = link.listener.sessions
    const enough = new AbortController()
    const asked = allProcesses(link.client.main, {}, { signal: enough.signal })
    asked.catch(() => {})
    await until(
      () => underWay === machines.length,
      () => underWay,
    )
    if (how === 'signal') enough.abort(new HolonError('cancelled', 'enough'))
    else await link.client[Symbol.asyncDispose]()
    await assert.rejects(asked, { code: 'cancelled' })
    const left = how === 'signal' ? 1 : 0
    await until(
      () => underWay === 0 && session?.stats.capabilities === left,
      () => ({ underWay, stats: session?.stats }),
    )
    assert.equal(session?.stats.callsInFlight, 0)
  }
})
