import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { PortTerms } from './port-terms.ts'
import { loadUnit } from './unit.ts'

function load(lines: string, service = 'ExecStart=/bin/true') {
  return loadUnit({ name: 'web.service', text: `[Service]\n${service}\n[X-Holon]\n${lines}\n` })
}

function terms(lines: string): PortTerms | undefined {
  const result = load(lines)
  assert.equal(result.kind, 'loaded', JSON.stringify(result))
  return result.kind === 'loaded' ? result.unit.serves : undefined
}

function problems(lines: string, service?: string): string {
  const result = load(lines, service)
  assert.equal(result.kind, 'refused')
  if (result.kind !== 'refused') return ''
  return result.problems
    .map(({ line, directive, message }) => `${line} ${directive}: ${message}`)
    .join()
}

test('Port= is a port of bytes unless something says otherwise', () => {
  assert.equal(terms('Instances=2'), undefined)
  assert.deepEqual(terms('Port=8080'), { port: 8080, protocol: 'tcp', hosts: [], drainMs: 10_000 })
  assert.equal(terms('Port=80\nHost=a.example')?.protocol, 'http')
})

test('the port’s directives are read', () => {
  assert.deepEqual(
    terms('Port=443\nProtocol=http\nHost=A.example *.b.example\nHealth=/up?x=1\nDrain=1min 5s'),
    {
      port: 443,
      protocol: 'http',
      hosts: ['a.example', '*.b.example'],
      health: '/up?x=1',
      drainMs: 65_000,
    },
  )
})

test('TLS= names two files', () => {
  const { protocol, tls } = terms('Port=443\nTLS=/etc/a.crt /etc/a.key') ?? {}
  assert.deepEqual([protocol, tls], ['http', { certificate: '/etc/a.crt', key: '/etc/a.key' }])
  assert.match(problems('Port=443\nTLS=/etc/a.crt'), /^5 TLS: .* is not like/)
  assert.match(problems('Port=443\nTLS=a.crt a.key'), /is not like/)
  assert.match(problems('Port=443\nProtocol=tcp\nTLS=/a /b'), /only Protocol=http speaks TLS/)
  assert.match(problems('TLS=/a /b'), /TLS: it needs Port=/)
})

test('what cannot be is refused with its line', () => {
  assert.match(problems('Port=0'), /^4 Port: "0" is no port/)
  assert.match(problems('Port=70000'), /from 1 to 65535/)
  assert.match(problems('Port=80\nHealth=healthz'), /^5 Health: "healthz" is no path/)
  assert.match(problems('Port=80\nHost=exa_mple'), /^5 Host: "exa_mple" is no host name/)
  assert.match(problems('Port=80\nProtocol=udp'), /^5 Protocol: /)
  assert.match(problems('Port=80\nDrain=2h'), /more than 60 minutes/)
  assert.match(problems('Health=/up'), /^4 Health: it needs Port=/)
  assert.match(problems('Port=80\nProtocol=tcp\nHost=a.example'), /only Protocol=http/)
  assert.match(problems('Port=80', 'Type=oneshot\nExecStart=/bin/true'), /Type=oneshot/)
})
