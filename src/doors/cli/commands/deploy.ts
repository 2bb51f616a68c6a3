/** `holon deploy [DIR]`: a project's directory, up on the machines and kept up; docs/deploy.md. */

import { resolve } from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import { HolonError } from '../../../base/errors.ts'
import { exists, isDir, joinPath, writeText } from '../../../io/files.ts'
import { realHost } from '../../../io/host.ts'
import type { System, Unit } from '../../../kernel/kernel.ts'
import type { CliContext } from '../context.ts'
import { detectProject, projectUnit } from '../deploy/detect.ts'
import { addressesOf, lastTakenBack, untilOut } from '../deploy/follow.ts'
import { installModules } from '../deploy/modules.ts'
import { firstUnit, type Release, releaseOf, releaseText } from '../deploy/release-text.ts'
import { type PackedProject, packProject, upload } from '../deploy/upload.ts'
import { bytes } from '../time.ts'

const deployTimeoutMs = 30 * 60_000
/** Of a first unit file: on so many machines at most without being asked. */
const firstInstancesMax = 3

interface DeployOptions {
  readonly name?: string
  readonly port: number
  readonly dryRun?: boolean
}

export function command(context: CliContext): Command {
  return new Command('deploy')
    .description('Brings the program in a directory up on the machines, or a change of it.')
    .argument('[dir]', 'the project', '.')
    .option('--name <name>', "the unit's name; else the package's, or the directory's")
    .option('--port <port>', `public port, for a first ${projectUnit}`, parsePort, 8080)
    .option('--dry-run', 'say what would be deployed, and change nothing')
    .action((dir: string, options: DeployOptions) => deploy(context, dir, options))
}

async function deploy(context: CliContext, given: string, options: DeployOptions): Promise<void> {
  using limit = context.deadline(deployTimeoutMs)
  const { signal } = limit
  const dir = resolve(realHost().cwd(), given)
  if (!isDir(dir)) throw new HolonError('not_found', `deploy: "${dir}" is no directory`)
  const system = await context.system()
  const file = await unitFile(context, system, dir, options, signal)
  const unitName = `${options.name ?? file.name}.service`
  const isLocked = exists(joinPath(dir, 'package-lock.json'))
  const packed = await packProject(dir, { unitFile: file.base, isLocked })
  say(context, unitName, packed)
  if (options.dryRun === true) {
    for (const path of pathsOf(packed)) context.stdout.write(`${path}\n`)
    return
  }
  const bundles = await system.bundles({ signal })
  await upload(bundles, dir, packed, signal)
  const { hash } = await bundles.finish(packed.manifest, { signal })
  const modules = await installModules(context, system, bundles, hash, signal)
  const before = await known(system, unitName, signal)
  const env = before === undefined ? undefined : releaseOf(before.text).env
  const release: Release = { bundle: hash, modules, ...(env === undefined ? {} : { env }) }
  const text = releaseText(file.text, release)
  const earlier = before === undefined ? undefined : await lastTakenBack(before.unit, signal)
  const unit = await system.load({ name: unitName, text, sourcePath: file.path }, { signal })
  if (before?.text === text) context.stderr.write(`holon: ${unitName}: nothing has changed\n`)
  context.setExit(await bringOut(context, unit, before?.text !== text, earlier, signal))
  for (const address of await addressesOf(system, await unit.status({ signal }), signal)) {
    context.stdout.write(`${address}\n`)
  }
}

/** What runs is brought out by the fleet itself; a unit of one machine is restarted. */
export async function bringOut(
  context: CliContext,
  unit: Unit,
  isChanged: boolean,
  earlier: number | undefined,
  signal: AbortSignal,
): Promise<number> {
  const { scope, wanted, enabled } = await unit.status({ signal })
  if (!enabled) await unit.enable({ signal })
  if (wanted && scope === 'machine' && isChanged) await unit.restart({}, { signal })
  else if (!wanted || scope === 'machine') await start(unit, signal)
  return untilOut(context, unit, earlier, signal)
}

/** How it goes is looked at meanwhile, so nothing is waited for here. */
async function start(unit: Unit, signal: AbortSignal): Promise<void> {
  const { scope } = await unit.status({ signal })
  if (scope === 'machine') await unit.start({ signal })
  else void unit.start({ signal }).catch(() => {})
}

interface ProjectFile {
  readonly name: string
  readonly path: string
  /** Its name in the directory. */
  readonly base: string
  readonly text: string
}

async function unitFile(
  context: CliContext,
  system: System,
  dir: string,
  { name, port, dryRun }: DeployOptions,
  signal: AbortSignal,
): Promise<ProjectFile> {
  const project = await detectProject(dir)
  if (project.kind === 'unit') {
    return { ...project, base: project.path.slice(dir.length + 1) }
  }
  const { machines } = await system.machines({ signal })
  const instances = Math.max(1, Math.min(machines.length, firstInstancesMax))
  const program = { ...project.program, ...(name === undefined ? {} : { name }) }
  const text = firstUnit({ ...program, instances, port })
  const path = joinPath(dir, projectUnit)
  if (dryRun === true) context.stdout.write(`# ${projectUnit} would be:\n${text}`)
  else {
    writeText(path, text)
    context.stderr.write(`holon: ${projectUnit} is written: ${program.what} on port ${port}\n`)
  }
  return { name: program.name, path, base: projectUnit, text }
}

async function known(
  system: System,
  name: string,
  signal: AbortSignal,
): Promise<{ readonly unit: Unit; readonly text: string } | undefined> {
  try {
    const unit = await system.unit(name, { signal })
    return { unit, text: (await unit.cat({ signal })).text }
  } catch (error) {
    if (error instanceof HolonError && error.code === 'not_found') return undefined
    throw error
  }
}

function say({ stderr }: CliContext, name: string, packed: PackedProject): void {
  const { files, bytes: size, secrets, leftOut, hash } = packed
  stderr.write(`holon: ${name}: ${files} files, ${bytes(size)}, bundle ${hash.slice(0, 12)}\n`)
  for (const path of secrets) {
    const unit = name.replace(/\.service$/, '')
    const hint = `: \`holon env set ${unit} --file ${path}\` gives the program what is in it`
    const isEnv = !path.endsWith('.npmrc')
    stderr.write(`holon: ${path} stays here${isEnv ? hint : ', it holds a secret'}\n`)
  }
  for (const path of leftOut) {
    stderr.write(`holon: ${path} stays here: it is no file, or a link that leads away\n`)
  }
}

function pathsOf({ manifest }: PackedProject): readonly string[] {
  const { entries } = JSON.parse(manifest) as { entries: readonly { path: string }[] }
  return entries.map(({ path }) => path)
}

function parsePort(text: string): number {
  const port = Number(text)
  if (Number.isInteger(port) && port >= 1 && port <= 65_535) return port
  throw new InvalidArgumentError('a port is a number from 1 to 65535.')
}
