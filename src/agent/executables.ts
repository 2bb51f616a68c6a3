/** Finding a program by name along a PATH, as a shell does. */
import { isExecutableFile } from '../io/files.ts'

/** The first match, or undefined. A name with a slash is a path already and comes back as it is. */
export function findExecutable(name: string, path: string): string | undefined {
  if (name.includes('/')) return name
  for (const dir of path.split(':')) {
    if (dir === '') continue
    const candidate = `${dir}/${name}`
    if (isExecutableFile(candidate)) return candidate
  }
  return undefined
}
