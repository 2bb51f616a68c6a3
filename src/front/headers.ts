/**
 * Headers on their way through: those that are between two neighbours only stay behind (RFC 9110,
 * 7.6.1), and an instance is told who the client is.
 */

/** As Node has them: name, value, name, value. */
export type RawHeaders = readonly string[]

const ofOneHop: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  // Node has answered it.
  'expect',
])

export interface Client {
  readonly address: string
  readonly protocol: 'http' | 'https'
}

/** Of a request, for an instance. `isUpgrade`: what asks for another protocol goes along. */
export function forwardedHeaders(raw: RawHeaders, client: Client, isUpgrade = false): string[] {
  const kept: string[] = []
  const named = namedByConnection(raw)
  let forwardedFor = client.address
  let host = ''
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? ''
    const value = raw[i + 1] ?? ''
    const lower = name.toLowerCase()
    if (lower === 'x-forwarded-for') forwardedFor = `${value}, ${client.address}`
    else if (lower === 'x-forwarded-proto' || lower === 'x-forwarded-host') continue
    else if (isUpgrade && (lower === 'connection' || lower === 'upgrade')) kept.push(name, value)
    else if (!ofOneHop.has(lower) && named?.has(lower) !== true) {
      if (lower === 'host') host = value
      kept.push(name, value)
    }
  }
  kept.push('X-Forwarded-For', forwardedFor, 'X-Forwarded-Proto', client.protocol)
  if (host !== '') kept.push('X-Forwarded-Host', host)
  return kept
}

/** Of an instance's answer, for the client. */
export function answerHeaders(raw: readonly Buffer[]): string[] {
  const kept: string[] = []
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i]?.toString('latin1') ?? ''
    if (!ofOneHop.has(name.toLowerCase())) kept.push(name, raw[i + 1]?.toString('latin1') ?? '')
  }
  return kept
}

function namedByConnection(raw: RawHeaders): ReadonlySet<string> | undefined {
  for (let i = 0; i + 1 < raw.length; i += 2) {
    if (raw[i]?.toLowerCase() !== 'connection') continue
    const names = (raw[i + 1] ?? '').toLowerCase().split(/[ \t]*,[ \t]*/)
    if (names.some((name) => name !== 'keep-alive' && name !== 'close')) return new Set(names)
  }
  return undefined
}

/** Without its port, in lower case: "app.example.com". */
export function hostName(host: string | undefined): string {
  return (host ?? '').replace(/:\d*$/, '').toLowerCase()
}
