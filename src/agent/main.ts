/**
 * The agent's process: starts it with the doors that listen, tells the operator, ends it orderly on
 * SIGTERM and SIGINT.
 */
import { asHolonError, HolonError } from '../base/errors.ts'
import { version } from '../base/version.ts'
import { nameInFleet } from '../cluster/fleet.ts'
import { DnsServer } from '../doors/dns/server.ts'
import { type DnsSettings, settleDns } from '../doors/dns/settings.ts'
import { packageDir } from '../io/agent-process.ts'
import { realClock } from '../io/clock.ts'
import { realHost } from '../io/host.ts'
import { ownDirectories } from '../io/paths.ts'
import { raisePriority } from '../io/priority.ts'
import { realRandom } from '../io/random.ts'
import { Agent } from './agent.ts'
import { machineName } from './machine-name.ts'

const report = (message: string) => {
  process.stderr.write(`${new Date(realClock.wallMs()).toISOString()} ${message}\n`)
}

/** Nobody: what DNS asks for needs no rights. */
const nobody = { uid: 65_534 }

/** The machine has joined a fleet or left it: everything is opened again, in the same process. */
const beginAnew = 'begin anew'

async function main(): Promise<void> {
  // What ps shows; Node would call itself MainThread.
  process.title = 'holon-agent'
  const host = realHost()
  // A busy machine is not a dead one: beats and renewals go before other work.
  const jobNice = raisePriority()
  const directories = ownDirectories(host.env, host.uid)
  const given = { listen: host.env['HOLON_DNS'], forward: host.env['HOLON_DNS_FORWARD'] }
  const dnsSettings = settleDns(directories, given)
  let ending = Promise.withResolvers<string>()
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.on(signal, () => ending.resolve(signal))
  }
  for (;;) {
    const agent = await Agent.start(
      { clock: realClock, random: realRandom, host, report },
      {
        directories,
        machine: nameInFleet(directories.stateDir) ?? machineName(host.hostname()),
        port: {
          listen: host.env['HOLON_LISTEN'],
          advertise: host.env['HOLON_ADVERTISE'],
          state: host.env['HOLON_STATE'],
          stateSilence: host.env['HOLON_STATE_SILENCE'],
        },
        packageDir: packageDir(),
        forceShKeeper: host.env['HOLON_KEEPER'] === 'sh',
        jobNice,
        onEnd: (how) => ending.resolve(how),
      },
    )
    const dns = openDns(agent, dnsSettings)
    report(`holon ${version} is up, pid ${host.pid}, state in ${directories.stateDir}`)
    const why = await ending.promise
    report(`ending: ${why}`)
    // A signal that comes from now on must not be missed by the next round.
    ending = Promise.withResolvers<string>()
    await dns[Symbol.asyncDispose]()
    await agent[Symbol.asyncDispose]()
    if (why !== beginAnew) return
  }
}

function openDns(agent: Agent, settings: DnsSettings): DnsServer {
  const system = agent.system(nobody)
  const dns = new DnsServer({ clock: realClock, random: realRandom, system, report }, settings)
  dns.start()
  return dns
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    // A failed operation is told in its own words; a bug with where it happened.
    const bug = !(error instanceof HolonError) && error instanceof Error
    report(bug ? String(error.stack) : asHolonError(error).message)
    process.exit(1)
  },
)
