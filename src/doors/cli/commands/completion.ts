/** `holon completion SHELL`: completion of commands, options, machines, units and runs. */
import { Command } from 'commander'
import { HolonError } from '../../../base/errors.ts'
import { commandTable } from '../commands.ts'
import type { CliContext } from '../context.ts'

export function command(context: CliContext): Command {
  return new Command('completion')
    .description('Prints completion code. bash: source <(holon completion bash)')
    .argument('<shell>', 'bash, zsh or fish')
    .action((shell: string) => {
      const make = generators[shell]
      if (make === undefined) {
        throw new HolonError('invalid_argument', `no completion for ${shell}: bash, zsh or fish`)
      }
      context.stdout.write(make())
    })
}

const names = () => commandTable.map((entry) => entry.name).join(' ')
const machineNames = "holon machines --no-headers 2>/dev/null | cut -d' ' -f1"
const machineVerbs = 'label remove'
const secretVerbs = 'set list show remove'
const secretNames = "holon secret list --no-headers 2>/dev/null | cut -d' ' -f1"
const runOptions =
  '--machine --require --each --explain --dry-run --detach --interactive --tty --no-tty --env ' +
  '--clear-env --cwd --user --timeout --json'
const unitVerbs =
  'start|stop|restart|enable|disable|unload|status|cat|show|why|logs|is-active|is-failed'

const bash = () => `_holon() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]} at=1 verb list
  while [ "$at" -lt "$COMP_CWORD" ]; do
    case \${COMP_WORDS[at]} in
      -m|--machine|--timeout) at=$((at + 2)) ;;
      -*) at=$((at + 1)) ;;
      *) verb=\${COMP_WORDS[at]}; break ;;
    esac
  done
  case $before in
    -m|--machine)
      list=$(${machineNames})
      COMPREPLY=($(compgen -W "$list" -- "$word")); return ;;
  esac
  if [ -z "$verb" ]; then
    list='--machine --timeout ${names()}'
    COMPREPLY=($(compgen -W "$list" -- "$word")); return
  fi
  case $verb in
    ${unitVerbs})
      list=$(holon list-units --no-headers 2>/dev/null | cut -d' ' -f1)
      COMPREPLY=($(compgen -W "$list" -f -- "$word")) ;;
    list-timers)
      list=$(holon list-units --no-headers '*.timer' 2>/dev/null | cut -d' ' -f1)
      COMPREPLY=($(compgen -W "$list" -- "$word")) ;;
    attach|wait)
      list=$(holon runs --no-headers 2>/dev/null | cut -d' ' -f1)
      COMPREPLY=($(compgen -W "$list" -- "$word")) ;;
    resolve)
      list="$(holon list-units --no-headers 2>/dev/null | cut -d' ' -f1 | sed 's/\\.service$//')"
      COMPREPLY=($(compgen -W "$list" -- "$word")) ;;
    machines)
      list="${machineVerbs} $(${machineNames})"
      COMPREPLY=($(compgen -W "$list" -- "$word")) ;;
    secret)
      list="${secretVerbs} $(${secretNames})"
      COMPREPLY=($(compgen -W "$list" -- "$word")) ;;
    run)
      case $word in
        -*) COMPREPLY=($(compgen -W '${runOptions}' -- "$word")) ;;
        *) COMPREPLY=($(compgen -c -- "$word")) ;;
      esac ;;
    *)
      COMPREPLY=($(compgen -f -- "$word")) ;;
  esac
}
complete -o default -F _holon holon
`

const zsh = () => `#compdef holon
autoload -U +X bashcompinit && bashcompinit
${bash()}`

const fish = () =>
  commandTable
    .map((e) => `complete -c holon -f -n __fish_use_subcommand -a ${e.name} -d "${e.summary}"\n`)
    .join('') +
  `complete -c holon -x -s m -l machine -a "(${machineNames})" -d "only these machines"\n` +
  `complete -c holon -f -n "__fish_seen_subcommand_from machines" -a "${machineVerbs}"\n` +
  `complete -c holon -f -n "__fish_seen_subcommand_from secret" ` +
  `-a "${secretVerbs} (${secretNames})"\n` +
  `complete -c holon -f -n "__fish_seen_subcommand_from resolve" ` +
  `-a "(holon list-units --no-headers 2>/dev/null | string split -f1 ' ')"\n` +
  `complete -c holon -f -n "__fish_seen_subcommand_from ${unitVerbs.replaceAll('|', ' ')}" ` +
  `-a "(holon list-units --no-headers 2>/dev/null | string split -f1 ' ')"\n`

const generators: Readonly<Record<string, () => string>> = { bash, zsh, fish }
