// A chat room over WebSocket. There is one instance, which every machine leads to, so everybody is in
// the same room wherever they came in; when its machine dies it is up elsewhere, and clients come back.
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { WebSocketServer } from 'ws'

const page = readFileSync(new URL('index.html', import.meta.url))
const server = createServer((_request, response) => {
  response.setHeader('Content-Type', 'text/html; charset=utf-8')
  response.end(page)
})
const room = new WebSocketServer({ server, path: '/room', maxPayload: 4096 })
room.on('connection', (socket) => {
  socket.on('error', () => {})
  socket.on('message', (data) => {
    for (const each of room.clients) if (each.readyState === 1) each.send(data.toString())
  })
})
server.listen(process.env.PORT, '127.0.0.1')

process.on('SIGTERM', () => {
  // 1012: the service restarts; the page connects again at once.
  for (const each of room.clients) each.close(1012)
  server.close(() => process.exit(0))
})
