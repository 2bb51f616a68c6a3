/** Runs the suite on every engine there is. */
import { after, before, describe } from 'node:test'
import { wildChaos } from '../../src/state/chaos.ts'
import { type EtcdMember, etcdMissing, startEtcd } from '../support/etcd.ts'
import { embedded, etcd, remote, simulated } from './engines.ts'
import { stateSuite } from './state.ts'

stateSuite('embedded', embedded)
stateSuite('simulated', simulated({}))
stateSuite('simulated, slow', simulated({ latencyMsMax: 2 }))
stateSuite('simulated, chaos', simulated(wildChaos), { chaos: true })

const unmoved = 'a link does not serve what is private'
stateSuite('over a link, embedded', remote(embedded), { unmoved })
stateSuite('over a link, simulated, chaos', remote(simulated(wildChaos)), { chaos: true, unmoved })

describe('etcd', { skip: etcdMissing ?? false }, () => {
  let member: EtcdMember
  before(async () => {
    member = await startEtcd({ peerPort: 23_100 })
  })
  after(() => member[Symbol.asyncDispose]())
  stateSuite(
    'etcd',
    etcd(() => member),
  )
  stateSuite('over a link, etcd', remote(etcd(() => member)), { unmoved })
})
