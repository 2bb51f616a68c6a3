#!/bin/sh
# keeper.sh DIR: keeps one job where there is no C compiler. The contract is docs/keeper.md.
#
# Processes: this shell waits for a pipeline of three. Two runners start commands, one the job's
# main command, one all others; the third is the job's life and decides. They are a pipeline and
# not background jobs, because a shell makes background jobs ignore SIGINT for good, and the job
# would inherit that. All that happens is a line in the fifo DIR/ctl, read by the life alone, so
# that nothing is decided in two places. Two loggers read the fifos that are the job's stdout and
# stderr. When the life dies, its ends of the fifos close: runners and loggers end with the job.
#
# No process is started for a log line: `read`, `printf` and /proc/uptime are enough for one.
set -u
LC_ALL=C
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH
umask 077
dir=$1
newline='
'
. "$dir/spec.sh" || exit 1
[ -z "$job_nice" ] || renice -n "$job_nice" -p "$$" >/dev/null 2>&1

# What whoever started this left open is not the job's.
exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-

# A caught signal, unlike an ignored one, is the default again in the programs that are started.
trap : HUP INT TERM

# shellcheck source-path=SCRIPTDIR
. "${0%/*}/keeper-log.sh"
. "${0%/*}/keeper-run.sh"

event() { # kind key=value…, values encoded already
  seq=$((seq + 1))
  now
  text="$seq $wall_ms $boot_ms $*"
  printf '%s\n' "$text" >>"$dir/events"
  event_bytes=$((event_bytes + ${#text} + 1))
  if [ "$event_bytes" -gt 262144 ]; then
    tail -c 131072 "$dir/events" | sed 1d >"$dir/events.new" &&
      mv -f "$dir/events.new" "$dir/events"
    event_bytes=131072
  fi
}

state() { # phase
  if [ "$1" != "$phase" ]; then
    now
    phase=$1
    since=$wall_ms
  fi
  printf '%s\n' "seq=$seq phase=$phase keeper=$$ boot=$boot_id pid=$main_pid ticks=$main_ticks \
since=$since started=$started restarts=$restarts result=$result$last_exit" >"$dir/state.new"
  mv -f "$dir/state.new" "$dir/state"
}

# ---- time and events

# Each alarm is a sleeping process that writes a line; one that was disarmed has an old number.
alarm_number=0 phase_alarm=0 runtime_alarm=0 poll_alarm=0
arm() { # name ms
  disarm "$1"
  [ "$2" -gt 0 ] || return 0
  alarm_number=$((alarm_number + 1))
  rest=$(($2 % 1000 + 1000))
  {
    sleep "$(($2 / 1000)).${rest#1}"
    report "alarm $1 $alarm_number"
  } 3>&- 5>&- 6>&- 7>&- 8>&- </dev/null >/dev/null 2>&1 &
  eval "$1_alarm=$alarm_number $1_sleeper=$!"
}
disarm() {
  eval "armed=\$$1_alarm"
  [ "$armed" != 0 ] || return 0
  eval "sleeper=\$$1_sleeper $1_alarm=0"
  # Its sleep(1) too, where the kernel tells which that is; elsewhere it sleeps on, unheard.
  asleep=
  read -r asleep <"/proc/$sleeper/task/$sleeper/children"
  kill -9 "$sleeper" $asleep
  # Without this the shell would remember it forever.
  wait "$sleeper"
}

next() { # waits for one thing to happen and takes note of it
  read -r word a b c d <&3 || return 0
  case $word in
    started)
      if [ "$a" = "$main_run" ]; then main_pid=$b main_ticks=$c; fi
      if [ "$a" = "$control_run" ]; then control_pid=$b; fi
      begun=$a begun_pid=$b
      ;;
    failed) failed_run=$a failed_errno=$b failed_text=$d ;;
    exit) ended "$a" "$b" "$c" "$d" ;;
    alarm)
      eval "armed=\$${a}_alarm"
      if [ "$armed" = "$b" ]; then
        disarm "$a"
        eval "${a}_over=1"
      fi
      ;;
    stop) stopping=1 ;;
    kill) case $a$b in [0-9]*main | [0-9]*all) send_and_continue "$a" "$b" ;; esac ;;
    bytes) rotate_log "$a" ;;
    logged) loggers=$((loggers - 1)) ;;
  esac
  if [ -n "$runtime_over" ]; then
    runtime_over=
    event "stop by=runtime-max"
    [ "$result" != success ] || result=timeout
    out_of_time=1
  fi
}

encode() { # text: encoded
  encoded=
  text=$1
  while [ -n "$text" ]; do
    tail=${text#?}
    character=${text%"$tail"}
    text=$tail
    case $character in
      ' ') character=%20 ;;
      %) character=%25 ;;
      '	') character=%09 ;;
    esac
    encoded=$encoded$character
  done
}

ended() { # run how value core
  if [ "$1" = "$main_run" ]; then pid=$main_pid what=start index=$main_index
  else pid=$control_pid what=$phase index=$control_index; fi
  if [ "$failed_run" = "$1" ]; then
    eval "path=\$command_${index}_encoded"
    encode "$failed_text"
    event "exec-failed phase=$what path=$path errno=$failed_errno text=$encoded"
    failed_run=
  fi
  core=
  [ "$4" = 0 ] || core=' core=1'
  event "exit phase=$what pid=$pid $2=$3$core"
  judge "$1" "$2" "$3" "$4"
  if [ "$1" = "$main_run" ]; then
    main_run= main_result=$verdict main_pid=0 main_ticks=0
    last_exit=" $2=$3$core"
    state "$phase"
  else
    control_run= control_result=$verdict control_pid=0
  fi
}

judge() { # run how value core: verdict
  case $2 in
    code) if [ "$3" = 0 ]; then verdict=success; else verdict=exit-code; fi ;;
    signal)
      verdict=signal
      [ "$4" = 0 ] || verdict=core-dump
      if [ "$1" = "$main_run" ] && [ "$type" != oneshot ]; then
        case $3 in 1 | 2 | 13 | 15) verdict=success ;; esac
      fi
      ;;
  esac
}

begin() { # fifo's descriptor, index, phase
  runs=$((runs + 1))
  run=r$runs
  if [ "$1" = 5 ]; then main_run=$run main_index=$2; else control_run=$run control_index=$2; fi
  printf '%s\n' "$run $2 $main_pid" >&"$1"
  begun=
  while [ "$begun" != "$run" ]; do next; done
  eval "path=\$command_${2}_encoded"
  event "start phase=$3 pid=$begun_pid path=$path$reason"
  reason=
}

# ---- the life

stop_wanted() { [ -n "$stopping$out_of_time" ]; }

commands_of() { # phase: runs its commands until one fails, is too late, or is stopped
  eval "list=\$commands_$2"
  for each_command in $list; do
    state "$1"
    begin 6 "$each_command" "$1"
    arm phase "$3"
    phase_over=
    while [ -n "$control_run" ]; do
      next
      if [ -n "$phase_over" ]; then
        [ "$1" = stop ] || [ "$1" = stop-post ] || event "stop by=timeout-start"
        [ "$result" != success ] || result=timeout
        return 1
      fi
      case $1 in
        start*) if stop_wanted; then disarm phase; return 1; fi ;;
      esac
    done
    disarm phase
    eval "ignored=\$command_${each_command}_ignored"
    if [ "$control_result" != success ] && [ "$ignored" = 0 ]; then
      [ "$result" != success ] || result=$control_result
      return 1
    fi
  done
}

start_main() { # index
  now
  started=$wall_ms
  begin 5 "$1" start
  job_group=$main_pid
}

oneshot_commands() {
  for each_command in $commands_start; do
    start_main "$each_command"
    state start
    arm phase "$timeout_start_ms"
    phase_over=
    while [ -n "$main_run" ]; do
      next
      if [ -n "$phase_over" ]; then
        event "stop by=timeout-start"
        [ "$result" != success ] || result=timeout
        return 1
      fi
      if stop_wanted; then disarm phase; return 1; fi
    done
    disarm phase
    eval "ignored=\$command_${each_command}_ignored"
    if [ "$main_result" != success ] && [ "$ignored" = 0 ]; then
      result=$main_result
      return 1
    fi
  done
}

attempt() { # one life of the job, from the first command to the last process
  result=success
  main_result=success
  up=
  if commands_of start-pre start_pre "$timeout_start_ms"; then
    if [ "$type" = oneshot ]; then
      oneshot_commands && up=1
    else
      start_main "$commands_start"
      up=1
    fi
  fi
  if [ -n "$up" ] && ! stop_wanted; then run_until_stop; fi
  disarm runtime
  if [ -n "$stopping" ]; then event "stop by=agent"; fi
  if [ -n "$up" ]; then
    # ExecStop= runs also when the main process ended by itself, as with systemd.
    [ -z "$commands_stop" ] || commands_of stop stop "$timeout_stop_ms"
  fi
  stop_processes
  commands_of stop-post stop_post "$timeout_stop_ms"
  final_kill
}

run_until_stop() {
  arm runtime "$runtime_max_ms"
  if ! commands_of start-post start_post "$timeout_start_ms"; then return 0; fi
  if [ -n "$main_run" ] || [ "$type" = oneshot ]; then event running; fi
  [ -z "$main_run" ] || state running
  while [ -n "$main_run" ] && ! stop_wanted; do next; done
  main_verdict
  if [ -z "$main_run" ] && [ "$remain" = 1 ] && [ "$result" = success ]; then
    state exited
    while ! stop_wanted; do next; done
  fi
}

main_verdict() { # how the main process ended is the job's result, unless there is one already
  [ -z "$main_run" ] && [ "$type" != oneshot ] && [ -n "$up" ] || return 0
  eval "ignored=\$command_${commands_start}_ignored"
  if [ "$result" = success ] && [ "$ignored" = 0 ]; then result=$main_result; fi
}

whom() { case $kill_mode in control-group) echo all ;; *) echo main ;; esac; }

left() { # whom a stop has to wait for
  [ -z "$main_run$control_run" ] || return 0
  [ "$kill_mode" = control-group ] && anybody
}

wait_until_gone() { # check: until nobody is left, or the phase's alarm
  phase_over=
  pause=10
  while "$1"; do
    if [ -n "$phase_over" ]; then disarm poll; return 1; fi
    # The end of a command is an event; that of what it left behind has to be looked for.
    if [ -z "$main_run$control_run" ] && [ "$poll_alarm" = 0 ]; then
      arm poll "$pause"
      [ "$pause" -ge 160 ] || pause=$((pause * 2))
    fi
    next
  done
  disarm poll
}

stop_processes() {
  if [ "$kill_mode" = none ] || ! left; then main_verdict; return 0; fi
  state stop-sigterm
  send_and_continue "$kill_signal" "$(whom)"
  arm phase "$timeout_stop_ms"
  if ! wait_until_gone left; then
    if [ "$send_sigkill" = 1 ]; then
      [ "$result" != success ] || result=timeout
      state stop-sigkill
      if [ "$kill_mode" = process ]; then send 9 main; else send 9 all; fi
      arm phase "$timeout_stop_ms"
      wait_until_gone left
    fi
  fi
  disarm phase
  main_verdict
}

final_kill() {
  case $kill_mode in control-group | mixed) ;; *) return 0 ;; esac
  [ "$send_sigkill" = 1 ] && anybody || return 0
  state final-sigkill
  send 9 all
  arm phase "$timeout_stop_ms"
  wait_until_gone anybody
  disarm phase
}

too_many_starts() {
  [ "$start_limit" -gt 0 ] && [ "$start_limit_ms" -gt 0 ] || return 1
  now
  recent= count=0
  for each_start in $starts; do
    if [ $((boot_ms - each_start)) -lt "$start_limit_ms" ]; then
      recent="$recent $each_start"
      count=$((count + 1))
    fi
  done
  starts=$recent
  [ "$count" -lt "$start_limit" ] || return 0
  starts="$recent $boot_ms"
  return 1
}

restarts_after() { # by Restart= and the result
  case $restart in
    always) return 0 ;;
    on-success) [ "$result" = success ] ;;
    on-failure) [ "$result" != success ] ;;
    on-abnormal) [ "$result" != success ] && [ "$result" != exit-code ] ;;
    on-abort) [ "$result" = signal ] || [ "$result" = core-dump ] ;;
    *) return 1 ;;
  esac
}

live() {
  while :; do
    if too_many_starts; then
      event limit
      result=start-limit-hit
      return 0
    fi
    attempt
    if [ -n "$stopping" ] || ! restarts_after; then return 0; fi
    out_of_time=
    event "restart in-ms=$restart_ms why=$result"
    state auto-restart
    phase_over=
    [ "$restart_ms" -gt 0 ] || phase_over=1
    arm phase "$restart_ms"
    while [ -z "$phase_over$stopping" ]; do next; done
    disarm phase
    if [ -n "$stopping" ]; then
      event "stop by=agent"
      result=success
      return 0
    fi
    restarts=$((restarts + 1))
  done
}

life() {
  trap : HUP INT TERM
  seq=0 event_bytes=0 phase= since=0 started=0 restarts=0 result=success last_exit= starts=
  main_run= main_pid=0 main_ticks=0 control_run= control_pid=0 job_group=0 runs=0
  stopping= out_of_time= runtime_over= phase_over= poll_over= failed_run= loggers=2
  log_bytes=0
  [ ! -e "$log" ] || log_bytes=$(wc -c <"$log")
  exec 3<>"$dir/ctl"
  logger stdout .out 3>&- </dev/null >/dev/null 2>&1 &
  logger stderr .err 3>&- </dev/null >/dev/null 2>&1 &
  exec 5>"$dir/.main" 6>"$dir/.other" 7<>"$dir/.out" 8<>"$dir/.err"
  state start
  live
  # The last lines are in the log before the end is told; who still writes keeps its logger.
  exec 7>&- 8>&-
  phase_over=
  arm phase 1000
  while [ "$loggers" -gt 0 ] && [ -z "$phase_over" ]; do next; done
  disarm phase
  final=failed
  [ "$result" != success ] || final=dead
  event "end phase=$final result=$result"
  state "$final"
  for each in $cgroup_list; do
    eval "rmdir \"\$cgroup_$each\"" 2>/dev/null
  done
}

env=$(command -v env) || exit 1
setsid=$(command -v setsid)
reason=" reason=$reason_encoded"
log=$log_dir/log
rotate_step=$((log_file_bytes / 8 < 65536 ? log_file_bytes / 8 : 65536))
cgroup_1=${cgroup_1-}
mkdir -p "$log_dir" && chmod 0750 "$log_dir" || exit 1
for each in $cgroup_list; do
  eval "mkdir -p \"\$cgroup_$each\"" || exit 1
done
rm -f "$dir/ctl" "$dir/.main" "$dir/.other" "$dir/.out" "$dir/.err"
mkfifo "$dir/ctl" "$dir/.main" "$dir/.other" "$dir/.out" "$dir/.err" || exit 1
cd /
# Whoever started this may be gone when something would be said.
exec 2>/dev/null
runner .main | runner .other | life
rm -f "$dir/ctl" "$dir/.main" "$dir/.other" "$dir/.out" "$dir/.err"
