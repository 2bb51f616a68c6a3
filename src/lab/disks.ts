/**
 * A lab's place on the host: its record, its network's number, and its machines' disks. Taking and
 * giving back is done under one lock for all labs, since the numbers and /var/lib/holon, on which
 * every machine mounts its own, are common to them.
 */
import type { Clock } from '../base/clock.ts'
import { HolonError } from '../base/errors.ts'
import { copyTree, removeEmptyDir } from '../io/disks.ts'
import { ensureDir, exists, isDir, joinPath, listDir, removeTree, writeText } from '../io/files.ts'
import { buildKeeper } from '../io/keeper-build.ts'
import { systemDirectories } from '../io/paths.ts'
import { exclusively } from './lock.ts'
import { diskOf, diskParts, type Program } from './machine.ts'
import { networkTaken } from './network.ts'
import {
  defaultDisksDir,
  defaultLab,
  type LabRecord,
  labNames,
  labsDir,
  machineName,
  readRecord,
  writeRecord,
} from './record.ts'

/** In the directory of the disks: it is ours to remove. */
const mark = '.holon-lab'
/** In `labsDir`: a lab made the host's /var/lib/holon. Not a lab's name. */
const madeMark = joinPath(labsDir, '.made-state-dir')
/** 10.77.N.0/24 with N up to here. */
const networkMax = 254

/** Chooses the network, writes the record and makes the disks' directory, empty. */
export function makePlace(
  clock: Clock,
  wanted: Pick<LabRecord, 'name' | 'disksDir' | 'machines' | 'joined'>,
): Promise<LabRecord> {
  checkDisksDir(wanted.disksDir)
  return exclusively(clock, 'labs', async () => {
    const network = freeNetwork(wanted.name)
    const lab: LabRecord = { schema: 1, ...wanted, network, cuts: [], loss: {} }
    if (exists(wanted.disksDir)) removeDisks(wanted.disksDir)
    writeRecord(lab)
    if (!isDir(systemDirectories.stateDir)) {
      writeText(madeMark, '')
      ensureDir(systemDirectories.stateDir, 0o711)
    }
    ensureDir(lab.disksDir, 0o700)
    writeText(joinPath(lab.disksDir, mark), '')
    return lab
  })
}

function freeNetwork(name: string): number {
  const taken = new Set(labNames().map((other) => readRecord(other)?.network))
  // The first one belongs to the lab that has no name of its own: its addresses are in the docs.
  const first = name === defaultLab ? 0 : 1
  for (let network = first; network <= networkMax; network++) {
    if (!taken.has(network) && !networkTaken(network)) return network
  }
  throw new HolonError('exhausted', `all ${networkMax} networks for labs are taken on this host`)
}

/** Makes the disks of new machines, with what every machine would otherwise build by itself. */
export async function makeDisks(
  program: Program,
  lab: LabRecord,
  numbers: readonly number[],
): Promise<void> {
  const binDir = joinPath(lab.disksDir, 'keeper')
  const keeper = await buildKeeper({ sourceDir: joinPath(program.packageDir, 'keeper'), binDir })
  for (const number of numbers) {
    const disk = diskOf(lab, number)
    ensureDir(disk, 0o700)
    for (const part of diskParts) ensureDir(joinPath(disk, part), modes[part])
    writeText(joinPath(disk, 'hostname'), `${machineName(number)}\n`)
    if (keeper.kind === 'c') copyTree(binDir, joinPath(disk, 'state/bin'))
  }
}

const modes = { state: 0o711, root: 0o700, tmp: 0o1777 } as const

/** Removes record and disks, and what all labs have in common with the last of them. */
export function removePlace(clock: Clock, name: string, disksDir: string): Promise<void> {
  return exclusively(clock, 'labs', async () => {
    if (exists(disksDir)) removeDisks(disksDir)
    removeTree(joinPath(labsDir, name))
    removeEmptyDir(defaultDisksDir)
    // While a machine of another lab lives, its state is mounted there, and removing would unmount.
    if (labNames().length > 0) return
    if (exists(madeMark)) {
      removeEmptyDir(systemDirectories.stateDir)
      removeTree(madeMark)
    }
    removeEmptyDir(labsDir)
  })
}

/** Removes what a lab has made in there, and the directory itself when nothing else is in it. */
function removeDisks(disksDir: string): void {
  if (!exists(joinPath(disksDir, mark))) {
    if (removeEmptyDir(disksDir)) return
    throw new HolonError(
      'already_exists',
      `${disksDir} holds something and is no lab's directory; name another one with --dir`,
    )
  }
  for (const name of listDir(disksDir)) {
    if (/^n\d+$/.test(name) || name === 'keeper' || name === 'hosts') {
      removeTree(joinPath(disksDir, name))
    }
  }
  removeTree(joinPath(disksDir, mark))
  removeEmptyDir(disksDir)
}

function checkDisksDir(path: string): void {
  const hidden = ['/run', '/proc', '/sys', '/dev'].find((top) => `${path}/`.startsWith(`${top}/`))
  if (path.startsWith('/') && path !== '/' && hidden === undefined) return
  throw new HolonError(
    'invalid_argument',
    `--dir ${JSON.stringify(path)}: an absolute directory outside /run, /proc, /sys and /dev ` +
      'is expected',
  )
}
