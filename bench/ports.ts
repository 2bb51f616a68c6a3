/**
 * Public ports beside nginx and HAProxy, all before the same instance, on the same processors: requests
 * over kept connections (wrk), and bytes through a connection. nginx has one worker for each processor,
 * as its packages have it; a front is one process. Needs nginx, haproxy, wrk and hey.
 */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import type { TestAgent } from '../test/e2e/harness.ts'
import { atLeast, atMost, type Comparison, median } from './measure.ts'

const ports = { http: 18_080, tcp: 18_081, nginx: 18_082, haproxy: 18_083 }
const seconds = 4
const rounds = 3

const program = `
const http = require('node:http')
const net = require('node:net')
const body = 'a small answer of a small web app\\n'
const server = process.argv[2] === 'http'
  ? http.createServer((asked, answer) => {
      answer.writeHead(200, { 'content-type': 'text/plain', 'content-length': body.length })
      answer.end(body)
    })
  : net.createServer((socket) => {
      const chunk = Buffer.alloc(65536)
      const more = () => { while (socket.write(chunk)); }
      socket.on('drain', more).on('error', () => {})
      more()
    })
server.listen(process.env.PORT, '127.0.0.1')
`

function unit(agent: TestAgent, protocol: 'http' | 'tcp'): number {
  agent.unit('server.cjs', program)
  const lines = [
    '[Service]',
    `ExecStart=${process.execPath} ${agent.dir}/server.cjs ${protocol}`,
    '[X-Holon]',
    `Port=${ports[protocol]}`,
    `Protocol=${protocol}`,
  ]
  agent.ok(['start', agent.unit(`${protocol}.service`, `${lines.join('\n')}\n`)])
  const [status] = agent.json<readonly { instances: readonly { port: number }[] }[]>([
    'status',
    protocol,
    '--json',
  ])
  return status?.instances[0]?.port ?? 0
}

/** Runs a peer until disposed of, once it accepts connections. */
async function peer(argv: readonly string[], port: number): Promise<Disposable> {
  const [command = '', ...args] = argv
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'inherit'] })
  const endMs = performance.now() + 10_000
  for (;;) {
    const socket = connect(port, '127.0.0.1')
    const listens = await once(socket, 'connect').then(
      () => true,
      () => false,
    )
    socket.destroy()
    if (listens) return { [Symbol.dispose]: () => void child.kill() }
    if (performance.now() > endMs) throw new Error(`${command} does not listen on ${port}`)
  }
}

/** Requests a second, as many as there can be. */
function mostPerSecond(port: number): number {
  const args = ['-t1', '-c32', `-d${seconds}s`, `http://127.0.0.1:${port}/`]
  const { stdout } = spawnSync('wrk', args, { encoding: 'utf8' })
  if (/Non-2xx|Socket errors/.test(stdout)) throw new Error(stdout)
  return Number(/Requests\/sec: +([\d.]+)/.exec(stdout)?.[1])
}

/** Of so many requests a second, over eight connections. */
function p99Ms(port: number, perSecond: number): number {
  const each = String(Math.round(perSecond / 8))
  const args = ['-z', `${seconds}s`, '-c', '8', '-q', each, `http://127.0.0.1:${port}/`]
  const { stdout } = spawnSync('hey', args, { encoding: 'utf8' })
  if (!/\[200\]/.test(stdout)) throw new Error(stdout)
  return 1000 * Number(/99% in ([\d.]+) secs/.exec(stdout)?.[1])
}

export async function httpPort(agent: TestAgent): Promise<readonly Comparison[]> {
  const direct = unit(agent, 'http')
  const config = join(agent.dir, 'nginx.conf')
  writeFileSync(
    config,
    `worker_processes auto; daemon off; error_log /dev/null; pid ${agent.dir}/nginx.pid;
events { worker_connections 1024; }
http {
  access_log off; keepalive_requests 1000000;
  upstream app { server 127.0.0.1:${direct}; keepalive 64; keepalive_requests 1000000; }
  server { listen ${ports.nginx}; location / {
    proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection "";
    proxy_set_header X-Forwarded-For $remote_addr;
  } }
}
`,
  )
  using _nginx = await peer(['nginx', '-c', config], ports.nginx)
  const places = { ours: ports.http, nginx: ports.nginx, direct }
  const rates: Record<keyof typeof places, number[]> = { ours: [], nginx: [], direct: [] }
  const tails: Record<keyof typeof places, number[]> = { ours: [], nginx: [], direct: [] }
  const names = ['ours', 'nginx', 'direct'] as const
  for (let round = 0; round < rounds; round++) {
    for (const name of names) rates[name].push(mostPerSecond(places[name]))
  }
  const ours = median(rates.ours)
  for (let round = 0; round < rounds; round++) {
    for (const name of names) tails[name].push(p99Ms(places[name], ours / 2))
  }
  const added = (name: 'ours' | 'nginx') => median(tails[name]) - median(tails.direct)
  return [
    atLeast('requests/s through Port= / nginx proxy_pass', ours, median(rates.nginx), 0.35),
    atLeast('requests/s through Port= / direct', ours, median(rates.direct), 0),
    atMost('p99 that Port= adds at half of its load / 1.5 ms', added('ours'), 1.5, 1),
    atMost('p99 that nginx adds at the same load / 1.5 ms', added('nginx'), 1.5, 1),
  ]
}

/** Milliseconds for so many bytes through a connection. */
function bytesThrough(port: number, count: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const startMs = performance.now()
    let left = count
    const buffer = Buffer.alloc(256 * 1024)
    const socket = connect({
      port,
      host: '127.0.0.1',
      onread: {
        buffer,
        callback: (read) => {
          left -= read
          if (left > 0) return true
          socket.destroy()
          resolve(performance.now() - startMs)
          return false
        },
      },
    })
    socket.once('error', reject)
  })
}

export async function tcpPort(agent: TestAgent): Promise<readonly Comparison[]> {
  const direct = unit(agent, 'tcp')
  const config = join(agent.dir, 'haproxy.cfg')
  writeFileSync(
    config,
    `global
  maxconn 1000
defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
listen app
  bind 127.0.0.1:${ports.haproxy}
  server one 127.0.0.1:${direct}
`,
  )
  using _haproxy = await peer(['haproxy', '-f', config, '-db'], ports.haproxy)
  const count = 2 * 1024 ** 3
  const times: Record<'ours' | 'haproxy', number[]> = { ours: [], haproxy: [] }
  for (let round = 0; round < rounds; round++) {
    times.ours.push(await bytesThrough(ports.tcp, count))
    times.haproxy.push(await bytesThrough(ports.haproxy, count))
  }
  const rate = (ms: readonly number[]) => count / 1024 ** 2 / (median(ms) / 1000)
  return [
    atLeast('MiB/s of TCP through Port= / HAProxy', rate(times.ours), rate(times.haproxy), 0.5),
  ]
}

void createServer
