/**
 * What [X-Holon] says about a unit's public port: `Port=` and the directives that go with it. Every
 * machine listens on that port and passes what comes on to instances; each of them listens on a
 * port of its own, `$PORT`.
 */
import { limits } from '../base/limits.ts'
import { expandNameSpecifiers } from './specifiers.ts'
import {
  bad,
  ok,
  type Parsed,
  parseAbsolutePath,
  parseChoice,
  parseCount,
  parseDuration,
} from './values.ts'

/**
 * `tcp`: bytes. `proxy`: bytes, after a line that names the client (the PROXY protocol, version 1).
 * `http`: requests, each balanced by itself, with the client in `X-Forwarded-For`.
 */
export const portProtocols = ['tcp', 'proxy', 'http'] as const
export type PortProtocol = (typeof portProtocols)[number]

/** Paths of PEM files, the same on every machine. */
export interface TlsFiles {
  /** The certificate, and behind it those of its issuers. */
  readonly certificate: string
  readonly key: string
}

/** How a unit is reached from outside. */
export interface PortTerms {
  /** On every machine. */
  readonly port: number
  readonly protocol: PortProtocol
  /** Names by which requests are told apart on a port of several units; none: all others. */
  readonly hosts: readonly string[]
  /** The public port speaks TLS; instances do not. */
  readonly tls?: TlsFiles
  /** An instance is ready while a GET of this path is answered with a status below 400. */
  readonly health?: string
  /** What an instance under way has at most to finish, before it is asked to stop. */
  readonly drainMs: number
}

/** What the lines have said so far. What none has said is undefined. */
export interface PortSettings {
  port?: number
  protocol?: PortProtocol
  hosts: string[]
  health?: string
  drainMs?: number
  tls?: TlsFiles
}

const defaultDrainMs = 10_000

/** Why the value is refused, or undefined. */
type Handler = (settings: PortSettings, value: string) => string | undefined

const handlers: Readonly<Record<string, Handler>> = {
  Port: (settings, value) => {
    const parsed = parseCount(value, 1, 65_535)
    if (parsed.kind === 'bad') return `${JSON.stringify(value)} is no port, from 1 to 65535`
    settings.port = parsed.value
    return undefined
  },
  Protocol: (settings, value) => {
    const parsed = parseChoice(value, portProtocols)
    if (parsed.kind === 'bad') return parsed.message
    settings.protocol = parsed.value
    return undefined
  },
  Host: (settings, value) => {
    if (value === '') settings.hosts.length = 0
    for (const word of value.split(/[ \t]+/).filter((each) => each !== '')) {
      const wrong = hostError(word)
      if (wrong !== undefined) return wrong
      settings.hosts.push(word.toLowerCase())
    }
    if (settings.hosts.length <= limits.portHostsMax) return undefined
    return `more than ${limits.portHostsMax} names`
  },
  Health: (settings, value) => {
    if (!/^\/[!-~]*$/.test(value)) return `${JSON.stringify(value)} is no path like "/healthz"`
    settings.health = value
    return undefined
  },
  TLS: (settings, value) => {
    const [certificate = '', key = '', ...more] = value.split(/[ \t]+/)
    const isPath = (path: string) => parseAbsolutePath(path).kind === 'ok'
    if (more.length > 0 || !isPath(certificate) || !isPath(key)) {
      return `${JSON.stringify(value)} is not like "/etc/tls/app.crt /etc/tls/app.key"`
    }
    settings.tls = { certificate, key }
    return undefined
  },
  Drain: (settings, value) => {
    const parsed = parseDuration(value)
    if (parsed.kind === 'bad') return parsed.message
    if (parsed.value > limits.drainMsMax) return `more than ${limits.drainMsMax / 60_000} minutes`
    settings.drainMs = parsed.value
    return undefined
  },
}

/** Whether the directive of [X-Holon] is one of these. */
export function isPortDirective(name: string): boolean {
  return Object.hasOwn(handlers, name)
}

/** Reads one line into `settings`. */
export function applyPort(
  settings: PortSettings,
  { name, value }: { readonly name: string; readonly value: string },
  unitName: string,
): Parsed<readonly string[]> {
  const expanded = expandNameSpecifiers(value, unitName)
  if (expanded.kind === 'bad') return expanded
  const wrong = handlers[name]?.(settings, expanded.value)
  return wrong === undefined ? ok([]) : bad(wrong)
}

/** Undefined for a unit without a public port. */
export function makePortTerms(settings: PortSettings): PortTerms | undefined {
  const { port, hosts, health, tls, drainMs = defaultDrainMs } = settings
  if (port === undefined) return undefined
  const protocol = settings.protocol ?? (hosts.length > 0 || tls !== undefined ? 'http' : 'tcp')
  return {
    port,
    protocol,
    hosts,
    drainMs,
    ...(health === undefined ? {} : { health }),
    ...(tls === undefined ? {} : { tls }),
  }
}

/** A directive that is wrong given the others, and why. */
export function portContradiction(
  settings: PortSettings,
  type: string,
): { readonly directive: string; readonly message: string } | undefined {
  const { port, protocol, hosts, health, drainMs, tls } = settings
  if (port === undefined) {
    const given = { Protocol: protocol, Health: health, Host: hosts[0], Drain: drainMs, TLS: tls }
    const directive = Object.entries(given).find(([, value]) => value !== undefined)?.[0]
    return directive === undefined ? undefined : { directive, message: 'it needs Port=' }
  }
  if (type === 'oneshot') {
    return { directive: 'Port', message: 'a service of Type=oneshot ends before it could serve' }
  }
  if (protocol === undefined || protocol === 'http') return undefined
  if (tls !== undefined) {
    return { directive: 'TLS', message: `only Protocol=http speaks TLS, not ${protocol}` }
  }
  if (hosts.length === 0) return undefined
  return { directive: 'Host', message: `only Protocol=http tells hosts apart, not ${protocol}` }
}

// A name as in DNS, or one with a star for its first label.
function hostError(word: string): string | undefined {
  const label = '[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?'
  const isName = new RegExp(`^(\\*\\.)?${label}(\\.${label})*$`).test(word)
  if (isName && word.length <= 253) return undefined
  return `${JSON.stringify(word)} is no host name like "app.example.com" or "*.example.com"`
}
