/** Whether a program on this machine answers: that it accepts connections, or a request. */
import { request } from 'node:http'
import { connectTcp } from './tcp.ts'

/** Where programs listen that say nothing else: by the order in which they are looked for. */
const loopbacks = ['127.0.0.1', '::1'] as const

/** The address at which somebody accepts connections on the port; undefined when nobody does. */
export async function listeningAt(port: number, signal: AbortSignal): Promise<string | undefined> {
  for (const host of loopbacks) {
    try {
      const socket = await connectTcp({ host, port }, signal)
      socket.destroy()
      return host
    } catch {
      if (signal.aborted) return undefined
    }
  }
  return undefined
}

export interface HealthQuestion {
  readonly host: string
  readonly port: number
  readonly path: string
  /** The name that the request is for. */
  readonly name: string
}

/** Why it is not healthy, or undefined: the answer to a GET has a status below 400. */
export function unhealthy(
  question: HealthQuestion,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { host, port, path, name } = question
  return new Promise((resolve) => {
    const headers = { host: name, 'user-agent': 'holon-health', connection: 'close' }
    const asked = request({ host, port, path, headers, agent: false, signal }, (answer) => {
      answer.resume()
      const { statusCode = 0 } = answer
      resolve(statusCode < 400 ? undefined : `GET ${path} is answered with ${statusCode}`)
    })
    asked.once('error', ({ message }) => resolve(`GET ${path}: ${message}`))
    asked.end()
  })
}
