/**
 * The text of a release: the project's unit file, and behind it what `holon deploy` and `holon env`
 * add: which files it runs with, and its environment.
 */

const marker = '# ---- what follows was added by `holon deploy`'

export interface Release {
  /** Hash of its files. */
  readonly bundle?: string
  /** Bundles of modules by kind of machine. */
  readonly modules: ReadonlyMap<string, string>
  /** The secret with its environment, and that one's version. */
  readonly env?: { readonly secret: string; readonly version: number }
}

/** A unit file as its author wrote it. */
export function authored(text: string): string {
  const at = text.indexOf(marker)
  return at < 0 ? text : text.slice(0, at)
}

export function releaseText(text: string, { bundle, modules, env }: Release): string {
  const lines: string[] = []
  if (env !== undefined) {
    lines.push(
      '[Service]',
      `# Version ${env.version}; \`holon env\` changes it.`,
      `LoadCredential=holon-env:${env.secret}`,
      'EnvironmentFile=%d/holon-env',
    )
  }
  if (bundle !== undefined) {
    const words = [bundle, ...[...modules].map(([platform, hash]) => `${platform}=${hash}`)]
    lines.push('[X-Holon]', `Bundle=${words.join(' ')}`)
  }
  const own = authored(text)
  if (lines.length === 0) return own
  return [own.endsWith('\n') ? own : `${own}\n`, marker, '\n', lines.join('\n'), '\n'].join('')
}

/** What was added to a text. */
export function releaseOf(text: string): Release {
  const added = text.slice(authored(text).length)
  const [bundle, ...words] = /^Bundle=(.*)$/m.exec(added)?.[1]?.split(' ') ?? []
  const modules = new Map(words.map((word) => word.split('=', 2) as [string, string]))
  const secret = /^LoadCredential=holon-env:(.*)$/m.exec(added)?.[1]
  const version = Number(/^# Version (\d+);/m.exec(added)?.[1])
  return {
    modules,
    ...(bundle === undefined ? {} : { bundle }),
    ...(secret === undefined ? {} : { env: { secret, version } }),
  }
}

/** A unit file for a program that has none. */
export function firstUnit(program: {
  readonly name: string
  readonly what: string
  readonly command: string
  readonly instances: number
  readonly port: number
}): string {
  const { name, what, command, instances, port } = program
  return `# Written by \`holon deploy\` for ${what}. It is yours from now on:
# change what you like, and deploy again.
[Unit]
Description=${name}

[Service]
ExecStart=${command}
Restart=always

[X-Holon]
# So many, on different machines; \`holon scale ${name}=5\` changes it without a deploy.
Instances=${instances}
# Every machine listens here, and passes requests on to an instance that is ready. The program
# itself listens on the port that the environment variable PORT names, on 127.0.0.1.
Port=${port}
Protocol=http
# Ready once it accepts connections; with this, once a GET of the path is answered well:
# Health=/healthz
`
}
