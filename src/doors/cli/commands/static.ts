/** `holon static DIR`: serves a directory's files on $PORT; what a deployed static site runs. */

import { resolve } from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import sirv from 'sirv'
import { HolonError } from '../../../base/errors.ts'
import { limits } from '../../../base/limits.ts'
import { isDir } from '../../../io/files.ts'
import { realHost } from '../../../io/host.ts'
import { listenHttp } from '../../../io/http-listener.ts'
import type { CliContext } from '../context.ts'

export function command(context: CliContext): Command {
  return new Command('static')
    .description('Serves the files of a directory over HTTP, on 127.0.0.1.')
    .argument('[dir]', 'the directory', '.')
    .option('--port <port>', 'default: $PORT', parsePort)
    .option('--single', 'answers with index.html for paths that are not there')
    .action(
      async (given: string, options: { readonly port?: number; readonly single?: boolean }) => {
        const dir = resolve(realHost().cwd(), given)
        if (!isDir(dir)) throw new HolonError('not_found', `static: "${dir}" is no directory`)
        const port = options.port ?? parsePort(context.env['PORT'] ?? '')
        const serve = sirv(dir, { etag: true, single: options.single === true })
        const { promise, resolve: end } = Promise.withResolvers<void>()
        const listener = await listenHttp(
          {
            port,
            host: '127.0.0.1',
            connectionsMax: limits.frontConnectionsMax,
            headersMs: limits.frontHeadersMs,
            idleMs: limits.frontIdleMs,
          },
          {
            onRequest: (request, response) =>
              serve(request, response, () => {
                response.writeHead(404, { 'Content-Type': 'text/plain' })
                response.end('not found\n')
              }),
            onUpgrade: (_request, socket) => socket.destroy(),
          },
        )
        for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => end())
        await promise
        await listener[Symbol.asyncDispose]()
      },
    )
}

function parsePort(text: string): number {
  const port = Number(text)
  if (Number.isInteger(port) && port >= 1 && port <= 65_535) return port
  throw new InvalidArgumentError(
    'a port is a number from 1 to 65535; without --port $PORT is used.',
  )
}
