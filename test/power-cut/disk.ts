/**
 * A disk that loses power, as root: an ext4 in a file, whose file lies in another ext4. Freezing the
 * outer one stops every write to the inner one's disk at one instant, while what the inner one
 * holds only in memory stays in memory. The copy made then is what a disk holds after a power cut.
 */
import { execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Why these tests cannot run here, or false. */
export function cannotMount(): string | false {
  if (process.getuid?.() !== 0) return 'needs root, to mount'
  const dir = mkdtempSync(join(tmpdir(), 'holon-mount-'))
  try {
    const image = join(dir, 'image')
    execFileSync('truncate', ['-s', '1M', image], { stdio: 'pipe' })
    execFileSync('mkfs.ext4', ['-q', image], { stdio: 'pipe' })
    mkdirSync(join(dir, 'at'))
    execFileSync('mount', ['-o', 'loop', image, join(dir, 'at')], { stdio: 'pipe' })
    execFileSync('umount', [join(dir, 'at')], { stdio: 'pipe' })
    return false
  } catch (error) {
    return `needs loop mounts: ${error instanceof Error ? error.message.trim() : error}`
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

/** A directory on a file system of its own, unmounted when disposed. */
export class Mount implements AsyncDisposable {
  readonly at: string
  readonly #options: readonly string[]

  private constructor(at: string, options: readonly string[]) {
    this.at = at
    this.#options = options
  }

  static async image(image: string, at: string): Promise<Mount> {
    return Mount.#mount(at, ['-o', 'loop,noatime', image, at])
  }

  static async memory(bytes: number, at: string): Promise<Mount> {
    return Mount.#mount(at, ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', at])
  }

  static async #mount(at: string, options: readonly string[]): Promise<Mount> {
    mkdirSync(at, { recursive: true })
    await run('mount', options)
    return new Mount(at, options)
  }

  async remount(option: 'ro' | 'rw'): Promise<void> {
    await run('mount', ['-o', `remount,${option}`, this.at])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A process that was just killed may hold it for a moment.
    for (let i = 0; ; i++) {
      try {
        await run('umount', [this.at])
        return rmdirSync(this.at)
      } catch (error) {
        if (i === 100) throw new Error(`umount ${this.#options.join(' ')}`, { cause: error })
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    }
  }
}

export async function makeExt4(image: string, size: string): Promise<void> {
  await run('truncate', ['-s', size, image])
  await run('mkfs.ext4', ['-q', image])
}

export class FragileDisk implements AsyncDisposable {
  readonly #dir: string
  readonly #mounts: Mount[] = []

  private constructor(dir: string) {
    this.#dir = dir
  }

  static async make(): Promise<FragileDisk> {
    const disk = new FragileDisk(mkdtempSync(join(tmpdir(), 'holon-power-cut-')))
    try {
      for (const [name, size] of [
        ['outer', '160M'],
        ['outer.at/inner', '48M'],
      ] as const) {
        const image = join(disk.#dir, name)
        await makeExt4(image, size)
        disk.#mounts.push(await Mount.image(image, `${join(disk.#dir, name.replace('/', '-'))}.at`))
      }
      return disk
    } catch (error) {
      await disk[Symbol.asyncDispose]()
      throw error
    }
  }

  /** Where the disk is mounted. */
  get at(): string {
    return join(this.#dir, 'outer.at-inner.at')
  }

  /**
   * Cuts the power of a copy: `atCut` runs while nothing can reach the disk, so whatever is durable
   * by then is in the copy. Returns the copy, mounted again as after a restart.
   */
  async cut(atCut: () => void): Promise<Mount> {
    const copy = join(this.#dir, 'copy')
    rmSync(copy, { force: true })
    // One shell does it all, and thaws also when this process dies: its input ends then.
    const script =
      'fsfreeze -f "$1" || exit 1; cp --sparse=always "$1/inner" "$2"; echo copied; read -r go; ' +
      'fsfreeze -u "$1"'
    const shell = spawn('sh', ['-c', script, 'sh', join(this.#dir, 'outer.at'), copy], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    const ended = once(shell, 'close')
    try {
      await Promise.race([once(shell.stdout, 'data'), ended])
      atCut()
    } finally {
      shell.stdin.end('go\n')
    }
    const [code] = await ended
    if (code !== 0) throw new Error(`fsfreeze: exit status ${code}`)
    return Mount.image(copy, join(this.#dir, 'copy.at'))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const mount of this.#mounts.reverse()) await mount[Symbol.asyncDispose]()
    rmSync(this.#dir, { recursive: true, force: true })
  }
}
