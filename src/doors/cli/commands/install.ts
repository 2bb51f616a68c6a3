/** `holon install`: the agent as a systemd service of this host, started at boot. */
import { Command } from 'commander'
import { HolonError } from '../../../base/errors.ts'
import { packageDir } from '../../../io/agent-process.ts'
import { runProgram } from '../../../io/child.ts'
import { ensureDir, isDir, joinPath, writeTextDurably } from '../../../io/files.ts'
import { realHost } from '../../../io/host.ts'
import type { CliContext } from '../context.ts'

export function command(context: CliContext): Command {
  return new Command('install')
    .description("Writes and enables the agent's own systemd unit, for boot.")
    .option('--print', 'print the unit, write nothing')
    .action((options: { print?: boolean }) => {
      const host = realHost()
      const unit = agentUnit(joinPath(packageDir(), 'holon'), host.uid === 0)
      if (options.print) {
        context.stdout.write(unit)
        return
      }
      if (!isDir('/run/systemd/system')) {
        throw new HolonError(
          'unsupported',
          'systemd does not run here; let your init run `holon up --foreground` as a service, ' +
            'or see the unit with `holon install --print`',
        )
      }
      const home = host.env['XDG_CONFIG_HOME'] ?? joinPath(host.env['HOME'] ?? '/', '.config')
      const dir = host.uid === 0 ? '/etc/systemd/system' : joinPath(home, 'systemd/user')
      const scope = host.uid === 0 ? [] : ['--user']
      ensureDir(dir, 0o755)
      writeTextDurably(joinPath(dir, 'holon.service'), unit, 0o644)
      runProgram('systemctl', [...scope, 'daemon-reload'])
      runProgram('systemctl', [...scope, 'enable', '--now', 'holon.service'])
      context.stdout.write(`${joinPath(dir, 'holon.service')} is written, enabled and started.\n`)
    })
}

/** KillMode=process: stopping the agent leaves the keepers and their jobs alone. */
export function agentUnit(launcher: string, system: boolean): string {
  return `[Unit]
Description=Holon agent
# Units say After=network-online.target and mean it: it holds for them because it holds for us.
After=network-online.target
Wants=network-online.target

[Service]
ExecStart="${launcher}" up --foreground
Restart=always
RestartSec=1
KillMode=process
Delegate=yes
OOMScoreAdjust=-500

[Install]
WantedBy=${system ? 'multi-user.target' : 'default.target'}
`
}
