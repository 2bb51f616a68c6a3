/** UDP: answering datagrams, and asking somebody with one. */
import { createSocket, type Socket } from 'node:dgram'
import { abortError } from '../base/clock.ts'
import { asHolonError, errnoOf, HolonError } from '../base/errors.ts'
import { formatPlace, type TcpPlace } from './tcp.ts'

export interface UdpListener extends AsyncDisposable {
  readonly port: number
  /** Never throws: a datagram may be lost anyway. */
  send(message: Uint8Array, to: TcpPlace): void
  [Symbol.asyncDispose](): Promise<void>
}

/** `already_exists` when the port is taken, `permission_denied` when it is not for this user. */
export function listenUdp(
  { host, port }: TcpPlace,
  onMessage: (message: Buffer, from: TcpPlace) => void,
): Promise<UdpListener> {
  return new Promise((resolve, reject) => {
    const socket = makeSocket(host)
    socket.once('error', (error) => {
      socket.close()
      const action = `listen on ${formatPlace({ host, port })}, UDP`
      if (errnoOf(error) !== 'EADDRINUSE') return reject(asHolonError(error, action))
      const why = `${action}: another program listens there`
      reject(new HolonError('already_exists', why, { cause: error }))
    })
    socket.bind({ address: host, port, exclusive: true }, () => {
      socket.removeAllListeners('error')
      // Of a datagram that could not be delivered; the next ones may be.
      socket.on('error', () => {})
      socket.on('message', (message, from) => onMessage(message, { ...from, host: from.address }))
      resolve({
        port: socket.address().port,
        send: (message, to) => socket.send(message, to.port, to.host, () => {}),
        [Symbol.asyncDispose]: () => new Promise((closed) => socket.close(() => closed())),
      })
    })
  })
}

/**
 * Sends a datagram and resolves with the first answer from exactly there that `isAnswer` takes.
 * `unavailable` when nobody listens there.
 */
export function askUdp(
  { host, port }: TcpPlace,
  message: Uint8Array,
  isAnswer: (answer: Buffer) => boolean,
  signal: AbortSignal,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(abortError(signal))
    const socket = makeSocket(host)
    const end = () => {
      signal.removeEventListener('abort', onAbort)
      socket.close()
    }
    const onAbort = () => {
      end()
      reject(abortError(signal))
    }
    signal.addEventListener('abort', onAbort, { once: true })
    socket.on('error', (error) => {
      end()
      const action = `ask ${formatPlace({ host, port })}`
      reject(new HolonError('unavailable', `${action}: ${error.message}`, { cause: error }))
    })
    socket.on('message', (answer) => {
      if (!isAnswer(answer)) return
      end()
      resolve(answer)
    })
    // Connected: the kernel drops what comes from elsewhere.
    socket.connect(port, host, () => socket.send(message, () => {}))
  })
}

function makeSocket(host: string): Socket {
  return createSocket({ type: host.includes(':') ? 'udp6' : 'udp4' })
}
