// An API over SQLite: GET /cities?country=PT. Each instance reads the data that came with it, so any
// of them can answer, on any machine.
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { DatabaseSync } from 'node:sqlite'

const database = new DatabaseSync(':memory:')
database.exec(readFileSync(new URL('cities.sql', import.meta.url), 'utf8'))
const byCountry = database.prepare('SELECT * FROM city WHERE country = ? ORDER BY inhabitants DESC')
const all = database.prepare('SELECT * FROM city ORDER BY inhabitants DESC')

const server = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://localhost')
  if (pathname === '/healthz') return response.end('well\n')
  if (pathname !== '/cities') {
    response.statusCode = 404
    return response.end('not found\n')
  }
  const country = searchParams.get('country')
  const cities = country === null ? all.all() : byCountry.all(country)
  response.setHeader('Content-Type', 'application/json')
  response.setHeader('X-Answered-By', `${process.env.HOLON_MACHINE}/${process.env.HOLON_INSTANCE}`)
  response.end(JSON.stringify(cities))
})
server.listen(process.env.PORT, '127.0.0.1')

// What is under way is finished; nothing new comes once this is asked.
process.on('SIGTERM', () => {
  server.close(() => process.exit(0))
  server.closeIdleConnections()
})
