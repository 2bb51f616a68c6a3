/**
 * One at a time on this host: a lock that the kernel lets go of when its holder ends, however it
 * ends. It is an abstract socket's name, so there is no file to be stale.
 */
import { createServer } from 'node:net'
import { errnoOf, HolonError } from '../base/errors.ts'

/** Holds `name` until disposed; undefined when somebody else has it. */
export function tryExclusive(name: string): Promise<AsyncDisposable | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy())
    server.once('error', (error) => {
      if (errnoOf(error) === 'EADDRINUSE') resolve(undefined)
      else reject(new HolonError('internal', `lock ${name}: ${error.message}`, { cause: error }))
    })
    server.listen(`\0${name}`, () => {
      server.unref()
      resolve({ [Symbol.asyncDispose]: () => new Promise((done) => server.close(() => done())) })
    })
  })
}
