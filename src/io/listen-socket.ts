/**
 * Listening on unix sockets without a moment in which the socket is absent, has the wrong mode, or
 * is somebody else's.
 *
 * A listener binds a temporary name with its mode, sets the owner, and renames it into place. A
 * socket file that a dead process left behind is thereby replaced; one that still answers is not.
 */
import { lchown, lstat, rename, unlink } from 'node:fs/promises'
import { connect, createServer, type Server, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { asHolonError, errnoOf, HolonError } from '../base/errors.ts'

// sockaddr_un holds 108 bytes with the final NUL; the temporary name takes eight of them.
const pathBytesMax = 107 - 8

export interface ListenOptions {
  /** Mode of the socket file. Default 0600. */
  readonly mode?: number
  /** Owner of the socket file; only root may give it away. Default: this process. */
  readonly owner?: { readonly uid: number; readonly gid: number }
}

export interface UnixListener extends AsyncDisposable {
  readonly path: string
  /** Accepts no more, and removes the socket file if it is still its own. Connections stay open. */
  [Symbol.asyncDispose](): Promise<void>
}

/** Listens at `path`. `already_exists` when somebody answers there. The directory must exist. */
export async function listenUnix(
  path: string,
  onConnection: (socket: Duplex) => void,
  options: ListenOptions = {},
): Promise<UnixListener> {
  if (Buffer.byteLength(path) > pathBytesMax)
    throw new HolonError(
      'invalid_argument',
      `listen at "${path}": a unix socket's path holds at most ${pathBytesMax} bytes; ` +
        'choose a shorter runtime directory',
    )
  await refuseLiveSocket(path)
  const server = createServer(onConnection)
  const temporary = `${path}~${process.pid.toString(36)}`
  try {
    await removeIfThere(temporary)
    await listenAt(server, temporary, options.mode ?? 0o600)
    if (options.owner !== undefined) await lchown(temporary, options.owner.uid, options.owner.gid)
    await rename(temporary, path)
    const { dev, ino } = await lstat(path)
    return { path, [Symbol.asyncDispose]: () => stopListening(server, path, { dev, ino }) }
  } catch (error) {
    server.close()
    await removeIfThere(temporary)
    throw asHolonError(error, `listen at "${path}"`)
  }
}

// The mode is set by the umask while the socket is made, not by chmod afterwards: root listens in
// directories that belong to others, who could put a link in between.
function listenAt(server: Server, path: string, mode: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    const umask = process.umask(0o777 & ~mode)
    try {
      // The socket is bound before this returns; only the event comes later.
      server.listen({ path }, () => {
        server.off('error', reject)
        // A connection lost while it is accepted (EMFILE and the like) must not end the process.
        server.on('error', () => {})
        resolve()
      })
    } finally {
      process.umask(umask)
    }
  })
}

/** Whether something accepts connections at `path` is known only by trying. */
async function refuseLiveSocket(path: string): Promise<void> {
  if (!(await isSocketOrNothing(path)))
    throw new HolonError('already_exists', `listen at "${path}": a file that is no socket is there`)
  const answer = await new Promise<string>((resolve) => {
    const socket: Socket = connect({ path })
    socket.once('connect', () => {
      socket.destroy()
      resolve('live')
    })
    socket.once('error', (error) => resolve(errnoOf(error) ?? 'EIO'))
  })
  if (answer === 'ENOENT' || answer === 'ECONNREFUSED') return
  if (answer === 'live' || answer === 'EAGAIN')
    throw new HolonError('already_exists', `listen at "${path}": a running process listens there`)
  throw asHolonError(Object.assign(new Error(answer), { code: answer }), `listen at "${path}"`)
}

async function isSocketOrNothing(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isSocket()
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return true
    throw asHolonError(error, `listen at "${path}"`)
  }
}

async function removeIfThere(path: string): Promise<void> {
  try {
    await unlink(path)
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw asHolonError(error, `remove "${path}"`)
  }
}

async function stopListening(
  server: Server,
  path: string,
  own: { readonly dev: number; readonly ino: number },
): Promise<void> {
  // close() calls back only once every connection has ended; those are not the listener's.
  server.close()
  try {
    const now = await lstat(path)
    if (now.dev === own.dev && now.ino === own.ino) await removeIfThere(path)
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw asHolonError(error, `remove "${path}"`)
  }
}
