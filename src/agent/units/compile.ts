/** A unit and one of its instances as the keeper's spec, with what this host knows filled in. */
import { HolonError } from '../../base/errors.ts'
import type { Random } from '../../base/random.ts'
import { readTextIfThere } from '../../io/files.ts'
import { secretsOf } from '../../unit/credentials.ts'
import { accountsOf, compileJob, type JobLease, searchPath } from '../../unit/job-spec.ts'
import type { ServiceUnit } from '../../unit/service-unit.ts'
import type { MachineBundles } from '../bundles/machine-bundles.ts'
import { findExecutable } from '../executables.ts'
import type { Serving } from '../ports/serving.ts'
import type { Credentials } from './credentials.ts'
import type { PreparedJob } from './instance.ts'
import { type SpecifierDeps, specifierContext } from './specifier-context.ts'

export interface CompileDeps extends SpecifierDeps {
  readonly random: Random
  readonly machine: string
  readonly logDir: (job: string) => string
  readonly cgroups: (job: string) => readonly string[]
  readonly credentials: Credentials
  readonly serving: Serving
  readonly bundles: MachineBundles
  /** Holon's own launcher. */
  readonly holonPath: string
  /** Those of this machine that exist, by name. */
  readonly secrets: (
    names: readonly string[],
    signal: AbortSignal,
  ) => Promise<ReadonlyMap<string, Uint8Array>>
  readonly report: (message: string) => void
}

export interface InstanceIdentity {
  readonly number: number
  readonly job: string
  readonly dir: string
}

/** What an instance of the fleet has beside its unit. */
export interface StartTerms {
  readonly fence?: number
  readonly lease?: JobLease
  /** The fleet's, that its unit names. */
  readonly secrets?: ReadonlyMap<string, Uint8Array>
}

export type CompileUnit = (
  unit: ServiceUnit,
  instance: InstanceIdentity,
  reason: string,
  signal: AbortSignal,
  terms?: StartTerms,
) => Promise<PreparedJob>

/**
 * The compiler of this machine's units; it rejects with file and line of what cannot be. What it
 * gives is about to be started: the instance's credentials are in place.
 */
export function unitCompiler(deps: CompileDeps): CompileUnit {
  return async (unit, instance, reason, signal, { secrets: ofFleet, ...terms } = {}) => {
    const { job } = instance
    const credentialsDirectory = deps.credentials.dir(job)
    const specifiers = { ...specifierContext(deps, unit.name), credentialsDirectory }
    const { user } = accountsOf(unit, specifiers)
    if (user !== undefined && deps.host.uid !== 0 && !isSelf(deps, user)) {
      throw new HolonError(
        'permission_denied',
        `start ${unit.name}: User=${user} needs an agent that root runs`,
      )
    }
    const login = deps.users.user(user ?? deps.host.uid)
    if (user !== undefined && login === undefined) {
      throw new HolonError('not_found', `start ${unit.name}: there is no user ${user} (User=)`)
    }
    const secrets = ofFleet ?? (await deps.secrets(secretsOf(unit), signal))
    const uid = login?.uid ?? deps.host.uid
    deps.credentials.provide(unit, { job, uid, specifiers, secrets })
    const lang = deps.host.env['LANG']
    const { serves, bundle } = unit
    const bundleDir = bundle === undefined ? undefined : await deps.bundles.dirFor(bundle, signal)
    const served =
      serves === undefined ? undefined : { terms: serves, port: await deps.serving.reserve() }
    const { spec, warnings } = compileJob(unit, {
      id: instance.job,
      dir: instance.dir,
      logDir: deps.logDir(instance.job),
      ownerUid: deps.host.uid,
      instance: instance.number,
      machine: deps.machine,
      invocationId: Buffer.from(deps.random.bytes(16)).toString('hex'),
      cgroups: deps.cgroups(instance.job),
      reason,
      ...terms,
      ...(served === undefined ? {} : { port: served.port }),
      ...(bundleDir === undefined ? {} : { bundleDir }),
      specifiers,
      ...(lang === undefined ? {} : { lang }),
      ...(login === undefined ? {} : { login }),
      environmentFileText: readTextIfThere,
      resolveExecutable: (name) => findExecutable(name, searchPath) ?? ownProgram(deps, name),
    })
    for (const { file, line, message } of warnings) deps.report(`${file}:${line}: ${message}`)
    return served === undefined ? { spec } : { spec, served }
  }
}

/** A machine without Node has ours: a web app needs no more. `holon-node` is ours in any case. */
function ownProgram({ host, holonPath }: CompileDeps, name: string): string | undefined {
  if (name === 'holon') return holonPath
  return name === 'node' || name === 'holon-node' ? host.nodePath : undefined
}

function isSelf(deps: CompileDeps, user: string): boolean {
  return deps.users.user(user)?.uid === deps.host.uid
}
