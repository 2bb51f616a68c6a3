/**
 * A small web app that knows which of its unit's instances it is: instance 1 listens on the base
 * port, instance 2 on the next one. It answers what it is, and ends cleanly when told to.
 */
import { createServer } from 'node:http'

const instance = Number(process.env.HOLON_INSTANCE ?? 1)
const port = Number(process.env.BASE_PORT ?? 8080) + instance - 1

const server = createServer((request, response) => {
  console.log(`${request.method} ${request.url}`)
  response.setHeader('content-type', 'application/json')
  response.end(`${JSON.stringify({ instance, pid: process.pid, path: request.url })}\n`)
})

server.listen(port, '127.0.0.1', () => console.log(`instance ${instance} listens on ${port}`))

process.on('SIGTERM', () => {
  console.log('asked to stop')
  server.close(() => process.exit(0))
  server.closeIdleConnections()
})
