/** Certificates of public ports, from files of this machine: read again when they have changed. */
import { asHolonError, HolonError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import { modifiedAtMs, readTextBounded } from '../../io/files.ts'
import { type TlsPair, tlsContext } from '../../io/http-listener.ts'
import type { TlsFiles } from '../../unit/port-terms.ts'

interface Known {
  readonly changed: string
  readonly pair: TlsPair
}

export class TlsPairs {
  readonly #known = new Map<string, Known>()

  /** Throws, with the path, when they cannot be read or are no pair. */
  read({ certificate, key }: TlsFiles): TlsPair {
    const changed = [certificate, key].map((path) => modifiedAtMs(path) ?? 0).join()
    const name = `${certificate} ${key}`
    const known = this.#known.get(name)
    if (known?.changed === changed) return known.pair
    try {
      const pair = {
        certificate: readTextBounded(certificate, limits.secretBytesMax),
        key: readTextBounded(key, limits.secretBytesMax),
      }
      // So that a bad one is noticed here, and the one before serves on.
      tlsContext(pair)
      this.#known.set(name, { changed, pair })
      return pair
    } catch (error) {
      if (known !== undefined) return known.pair
      const { code, message } = asHolonError(error)
      throw new HolonError(code, `TLS=${certificate} ${key}: ${message}`, { cause: error })
    }
  }
}
