/** `etcd://HOST:PORT[,HOST:PORT…]/PREFIX?ca=FILE&cert=FILE&key=FILE`: an etcd of the user's. */
import { HolonError } from '../../base/errors.ts'

export interface ExternalEtcd {
  readonly places: readonly { readonly host: string; readonly port: number }[]
  /** Before every key; ends with "/". */
  readonly prefix: string
  /** Paths of PEM files. */
  readonly tls?: { readonly ca: string; readonly cert: string; readonly key: string }
}

const portDefault = 2379
const prefixDefault = 'holon/'

/** Throws `invalid_argument` with what is wrong. */
export function parseEtcdUrl(text: string): ExternalEtcd {
  const match = /^etcd:\/\/([^/?]+)(?:\/([^?]*))?(?:\?(.*))?$/.exec(text)
  if (match === null) throw invalid(text, 'it is no etcd://HOST:PORT/PREFIX')
  const [, hosts = '', path = '', query = ''] = match
  const places = hosts.split(',').map((place) => parsePlace(place, text))
  const prefix = path === '' ? prefixDefault : `${path.replace(/\/+$/, '')}/`
  const options = new URLSearchParams(query)
  for (const name of options.keys()) {
    if (!['ca', 'cert', 'key'].includes(name)) throw invalid(text, `"${name}" is not known`)
  }
  const [ca, cert, key] = ['ca', 'cert', 'key'].map((name) => options.get(name))
  if (ca && cert && key) return { places, prefix, tls: { ca, cert, key } }
  if (ca || cert || key) throw invalid(text, 'ca=, cert= and key= are needed together')
  return { places, prefix }
}

function parsePlace(place: string, text: string) {
  const match = /^(\[[0-9a-fA-F:]+\]|[^:[\]]+)(?::(\d{1,5}))?$/.exec(place)
  const port = Number(match?.[2] ?? portDefault)
  const host = match?.[1]?.replaceAll(/[[\]]/g, '')
  if (host === undefined || port < 1 || port > 65_535) {
    throw invalid(text, `"${place}" is no HOST:PORT`)
  }
  return { host, port }
}

function invalid(text: string, why: string): HolonError {
  return new HolonError('invalid_argument', `use the etcd at "${text}": ${why}`)
}
