/**
 * What conditions of units ask about paths. All but the one about links follow links; what cannot
 * be looked at is answered with no.
 */
import { globSync, lstatSync, readdirSync, realpathSync, type Stats, statSync } from 'node:fs'
import { isExecutableFile } from './files.ts'
import { tryRead } from './try-file.ts'

export const pathTests = {
  PathExists: (path: string) => statOf(path) !== undefined,
  // glob(3) knows no "**"; Node takes it for any depth.
  PathExistsGlob: (pattern: string) =>
    tried(() => globSync(pattern.replace(/\*+/g, '*')).length > 0),
  PathIsDirectory: (path: string) => statOf(path)?.isDirectory() === true,
  PathIsSymbolicLink: (path: string) => tried(() => lstatSync(path).isSymbolicLink()),
  PathIsMountPoint: (path: string) => tried(() => mountOf(path)?.point === realpathSync(path)),
  PathIsReadWrite: (path: string) => tried(() => mountOf(path)?.readOnly === false),
  PathIsSocket: (path: string) => statOf(path)?.isSocket() === true,
  // Hidden files do not count, and neither do editors' backups.
  DirectoryNotEmpty: (path: string) =>
    tried(() => readdirSync(path).some((name) => !name.startsWith('.') && !name.endsWith('~'))),
  FileNotEmpty: (path: string) => {
    const stat = statOf(path)
    return stat?.isFile() === true && stat.size > 0
  },
  FileIsExecutable: isExecutableFile,
}

function tried(work: () => boolean): boolean {
  try {
    return work()
  } catch {
    return false
  }
}

function statOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false })
  } catch {
    return undefined
  }
}

/** The mount that holds `path`; throws when there is no such path. */
function mountOf(path: string): { readonly point: string; readonly readOnly: boolean } | undefined {
  const real = realpathSync(path)
  const mounts = (tryRead('/proc/self/mountinfo') ?? '')
    .split('\n')
    .map((line) => line.split(' '))
    .map((fields) => ({
      point: (fields[4] ?? '').replace(/\\([0-7]{3})/g, (_, octal: string) =>
        String.fromCharCode(Number.parseInt(octal, 8)),
      ),
      // Of the mount, and at the line's end of the file system.
      readOnly: /^ro(,|$)/.test(fields[5] ?? '') || /^ro(,|$)/.test(fields.at(-1) ?? ''),
    }))
    .filter(({ point }) => point === '/' || point === real || real.startsWith(`${point}/`))
  const longest = Math.max(0, ...mounts.map(({ point }) => point.length))
  // Of several mounts in one place the last is on top.
  return mounts.findLast(({ point }) => point.length === longest)
}
