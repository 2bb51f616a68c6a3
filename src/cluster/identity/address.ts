/** Addresses as people write them: "n1.example", "10.77.0.1:4656", "[fd00::1]:4656". */
import { HolonError } from '../../base/errors.ts'
import { defaultPort } from './protocols.ts'

export interface Address {
  readonly host: string
  readonly port: number
}

const pattern = /^(?:\[([0-9a-fA-F.]*:[0-9a-fA-F:.]*(?:%[\w.]+)?)\]|([\w.-]+))(?::(\d{1,5}))?$/

/** `invalid_argument` for what is no address. An IPv6 address with a port needs brackets. */
export function parseAddress(text: string): Address {
  // "fd00::1" has colons, but no port.
  const colons = text.split(':').length - 1
  if (/^[0-9a-fA-F:.]+$/.test(text) && (text.includes('::') || colons === 7))
    return { host: text, port: defaultPort }
  const [, bracketed, plain, port] = pattern.exec(text) ?? []
  const host = bracketed ?? plain
  const number = port === undefined ? defaultPort : Number(port)
  if (host === undefined || number < 1 || number > 65_535) throw badAddress(text)
  return { host, port: number }
}

export function formatAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

function badAddress(text: string): HolonError {
  return new HolonError(
    'invalid_argument',
    `"${text}" is no address; write "HOST:PORT", and an IPv6 address as "[ADDRESS]:PORT"`,
  )
}
