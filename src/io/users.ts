/**
 * Users and groups of this machine: names and numbers from /etc/passwd and /etc/group, read again
 * when a file changed. Users that only a directory service knows (LDAP) are asked of `getent`, in
 * the background: until it has answered they show as numbers, as they do when there is no getent.
 */
import { execFile } from 'node:child_process'
import { readFileSync, statSync } from 'node:fs'

export interface User {
  readonly name: string
  readonly uid: number
  readonly gid: number
  readonly home: string
  readonly shell: string
}

export interface Group {
  readonly name: string
  readonly gid: number
  readonly members: readonly string[]
}

export interface UsersOptions {
  readonly passwdPath?: string
  readonly groupPath?: string
  /** Whether to ask `getent` for numbers that the files do not have. */
  readonly getent?: boolean
}

/** A numbered entry and how a table file's line becomes one. */
class TableFile<T extends { readonly name: string }> {
  byId: ReadonlyMap<number, T> = new Map()
  byName: ReadonlyMap<string, T> = new Map()
  readonly #path: string
  readonly #idOf: (entry: T) => number
  readonly #parse: (fields: readonly string[]) => T | undefined
  #stamp = ''

  constructor(
    path: string,
    idOf: (entry: T) => number,
    parse: (fields: readonly string[]) => T | undefined,
  ) {
    this.#path = path
    this.#idOf = idOf
    this.#parse = parse
  }

  /** A machine without the file has no names, and numbers still work. */
  refresh(): void {
    const stat = statSync(this.#path, { throwIfNoEntry: false })
    const stamp = stat === undefined ? 'none' : `${stat.mtimeMs} ${stat.size} ${stat.ino}`
    if (stamp === this.#stamp) return
    const byId = new Map<number, T>()
    const byName = new Map<string, T>()
    for (const line of stat === undefined ? [] : readFileSync(this.#path, 'utf8').split('\n')) {
      const entry = this.parseLine(line)
      if (entry === undefined) continue
      // The first of several entries counts, as with getpwuid(3).
      if (!byId.has(this.#idOf(entry))) byId.set(this.#idOf(entry), entry)
      if (!byName.has(entry.name)) byName.set(entry.name, entry)
    }
    this.byId = byId
    this.byName = byName
    this.#stamp = stamp
  }

  parseLine(line: string): T | undefined {
    return line === '' || line.startsWith('#') ? undefined : this.#parse(line.split(':'))
  }
}

// Ids asked of getent, answered or not: each at most once, and not without end.
const askedMax = 1000

export class Users {
  readonly #users: TableFile<User>
  readonly #groups: TableFile<Group>
  readonly #getent: boolean
  readonly #asked = new Map<string, string | undefined>()

  constructor(options: UsersOptions = {}) {
    this.#users = new TableFile(options.passwdPath ?? '/etc/passwd', (user) => user.uid, parseUser)
    this.#groups = new TableFile(
      options.groupPath ?? '/etc/group',
      (group) => group.gid,
      parseGroup,
    )
    this.#getent = options.getent ?? true
  }

  /** Looks whether the files changed. The lookups below do not, so a table calls this once. */
  refresh(): void {
    this.#users.refresh()
    this.#groups.refresh()
  }

  /** The name, or the number as text. */
  userName(uid: number): string {
    return this.#users.byId.get(uid)?.name ?? this.#fromDirectory('passwd', uid)
  }

  /** The name, or the number as text. */
  groupName(gid: number): string {
    return this.#groups.byId.get(gid)?.name ?? this.#fromDirectory('group', gid)
  }

  /** By name or number, from the files as they are now. */
  user(nameOrUid: string | number): User | undefined {
    this.#users.refresh()
    const byName = this.#users.byName.get(String(nameOrUid))
    return byName ?? this.#users.byId.get(idOf(nameOrUid))
  }

  /** By name or number, from the files as they are now. */
  group(nameOrGid: string | number): Group | undefined {
    this.#groups.refresh()
    const byName = this.#groups.byName.get(String(nameOrGid))
    return byName ?? this.#groups.byId.get(idOf(nameOrGid))
  }

  #fromDirectory(database: 'passwd' | 'group', id: number): string {
    const key = `${database} ${id}`
    if (this.#getent && !this.#asked.has(key) && this.#asked.size < askedMax) {
      this.#asked.set(key, undefined)
      execFile('getent', [database, String(id)], { timeout: 5000 }, (error, stdout) => {
        const name = error === null ? stdout.split(':', 1)[0] : undefined
        if (name) this.#asked.set(key, name)
      }).unref()
    }
    return this.#asked.get(key) ?? String(id)
  }
}

function idOf(nameOrId: string | number): number {
  return /^\d+$/.test(String(nameOrId)) ? Number(nameOrId) : -1
}

function parseUser(fields: readonly string[]): User | undefined {
  const [name = '', , uid = '', gid = '', , home = '', shell = ''] = fields
  if (name === '' || !/^\d+$/.test(uid)) return undefined
  return { name, uid: Number(uid), gid: Number(gid), home, shell }
}

function parseGroup(fields: readonly string[]): Group | undefined {
  const [name = '', , gid = '', members = ''] = fields
  if (name === '' || !/^\d+$/.test(gid)) return undefined
  return { name, gid: Number(gid), members: members.split(',').filter((member) => member !== '') }
}
