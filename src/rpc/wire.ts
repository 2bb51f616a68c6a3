/** The kernel's interfaces as they cross the wire; docs/protocol.md says how. */
import type { Bundles } from '../kernel/bundles.ts'
import type { Membership, Pages, Process, Run, System, Unit } from '../kernel/kernel.ts'
import type { NameWatch } from '../kernel/names.ts'
import type { Secrets } from '../kernel/secrets.ts'
import type { ProcessPage } from '../kernel/types.ts'
import { defineInterface } from './interface.ts'

export const processInterface = defineInterface<Process>('Process', {
  info: { args: 0, idempotent: true },
  signal: { args: 1, idempotent: false },
})

export const unitInterface = defineInterface<Unit>('Unit', {
  status: { args: 0, idempotent: true },
  start: { args: 0, idempotent: true },
  stop: { args: 0, idempotent: true },
  restart: { args: 1, idempotent: false },
  enable: { args: 0, idempotent: true },
  disable: { args: 0, idempotent: true },
  scale: { args: 1, idempotent: true },
  undo: { args: 1, idempotent: false },
  unload: { args: 0, idempotent: true },
  cat: { args: 0, idempotent: true },
  show: { args: 0, idempotent: true },
  why: { args: 0, idempotent: true },
  logs: { args: 1, idempotent: true },
})

export const runInterface = defineInterface<Run>('Run', {
  info: { args: 0, idempotent: true },
  address: { args: 0, idempotent: true },
  wait: { args: 0, idempotent: true },
  signal: { args: 1, idempotent: false },
  stop: { args: 0, idempotent: true },
  logs: { args: 1, idempotent: true },
  remove: { args: 0, idempotent: true },
})

export const membershipInterface = defineInterface<Membership>('Membership', {
  invite: { args: 1, idempotent: false },
  join: { args: 1, idempotent: true },
  leave: { args: 0, idempotent: true },
  remove: { args: 1, idempotent: true },
  label: { args: 2, idempotent: true },
})

export const secretsInterface = defineInterface<Secrets>('Secrets', {
  list: { args: 0, idempotent: true },
  set: { args: 2, idempotent: false },
  show: { args: 1, idempotent: true },
  remove: { args: 2, idempotent: true },
})

export const bundlesInterface = defineInterface<Bundles>('Bundles', {
  missing: { args: 1, idempotent: true },
  put: { args: 1, idempotent: true },
  finish: { args: 1, idempotent: true },
  modules: { args: 1, idempotent: true },
  finishModules: { args: 1, idempotent: true },
  list: { args: 0, idempotent: true },
})

const processPagesInterface = defineInterface<Pages<ProcessPage>>('ProcessPages', {
  next: { args: 0, idempotent: false, asText: 'nextText' },
})

const nameWatchInterface = defineInterface<NameWatch>('NameWatch', {
  next: { args: 0, idempotent: false },
})

export const systemInterface = defineInterface<System>('System', {
  ping: { args: 1, idempotent: true },
  status: { args: 0, idempotent: true },
  machines: { args: 0, idempotent: true },
  part: { args: 1, idempotent: true, returns: 'itself' },
  processes: { args: 1, idempotent: true, returns: processPagesInterface },
  process: { args: 1, idempotent: true, returns: processInterface },
  run: { args: 1, idempotent: false, returns: runInterface },
  runSocket: { args: 0, idempotent: true },
  place: { args: 1, idempotent: true },
  runs: { args: 0, idempotent: true },
  findRun: { args: 1, idempotent: true, returns: runInterface },
  units: { args: 0, idempotent: true },
  unit: { args: 1, idempotent: true, returns: unitInterface },
  resolve: { args: 1, idempotent: true },
  watchName: { args: 1, idempotent: true, returns: nameWatchInterface },
  load: { args: 1, idempotent: true, returns: unitInterface },
  logUsage: { args: 0, idempotent: true },
  intend: { args: 2, idempotent: true },
  events: { args: 1, idempotent: true },
  shutdown: { args: 1, idempotent: false },
  secrets: { args: 0, idempotent: true, returns: secretsInterface },
  bundles: { args: 0, idempotent: true, returns: bundlesInterface },
  membership: { args: 0, idempotent: true, returns: membershipInterface },
})
