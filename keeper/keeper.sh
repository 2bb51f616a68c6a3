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

# What whoever started this left open is not the job's.
exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-

# A caught signal, unlike an ignored one, is the default again in the programs that are started.
trap : HUP INT TERM

# Times come from /proc/uptime (10 ms) and the distance of the wall clock to it, asked once in ten
# minutes: that costs a process.
read -r boot_id </proc/sys/kernel/random/boot_id
synced_ms=
now() { # boot_ms and wall_ms
  read -r uptime _ </proc/uptime
  seconds=${uptime%.*} hundredths=${uptime#*.}
  boot_ms=$((seconds * 1000 + ${hundredths#0} * 10))
  if [ -z "$synced_ms" ] || [ $((boot_ms - synced_ms)) -gt 600000 ]; then
    synced_ms=$boot_ms
    set -- $(date '+%s %N')
    case ${2:-x} in *[!0-9]*) set -- "$1" 000000000 ;; esac
    fraction=${2%??????}
    fraction=${fraction#0}
    offset_ms=$(($1 * 1000 + ${fraction#0} - boot_ms))
  fi
  wall_ms=$((boot_ms + offset_ms))
}

# ---- the log

stamp_second=
stamp_log() { # stamp: the wall time as a log line has it
  now
  stamp_rest=$((wall_ms / 1000))
  if [ "$stamp_rest" != "$stamp_second" ]; then
    stamp_second=$stamp_rest
    # Days since 1970 to a date in the Gregorian calendar, years beginning in March.
    z=$((stamp_rest / 86400 + 719468)) s=$((stamp_rest % 86400))
    era=$((z / 146097)) doe=$((z % 146097))
    yoe=$(((doe - doe / 1460 + doe / 36524 - doe / 146096) / 365))
    doy=$((doe - (365 * yoe + yoe / 4 - yoe / 100))) mp=$(((5 * doy + 2) / 153))
    d=$((doy - (153 * mp + 2) / 5 + 1)) m=$((mp < 10 ? mp + 3 : mp - 9))
    y=$((yoe + era * 400 + (m <= 2 ? 1 : 0)))
    h=$((s / 3600)) mi=$((s % 3600 / 60)) s=$((s % 60))
    [ "$m" -ge 10 ] || m=0$m
    [ "$d" -ge 10 ] || d=0$d
    [ "$h" -ge 10 ] || h=0$h
    [ "$mi" -ge 10 ] || mi=0$mi
    [ "$s" -ge 10 ] || s=0$s
    stamp_prefix=$y-$m-${d}T$h:$mi:$s
  fi
  ms=$((wall_ms % 1000 + 1000))
  stamp=$stamp_prefix.${ms#1}000000Z
}

# A line goes out in one write, so that stdout and stderr do not mix: shells buffer at least this.
part_bytes=4000
log_line() { # stream flag text
  # After a full disk the first line that fits is the one that tells of the loss.
  if [ "$lost" -gt 0 ]; then
    # Behind a newline: a part of the first lost line may be there.
    told="holon: $lost lines lost, disk full"
    if printf '\n%s stderr F %s\n' "$stamp" "$told" >>"$log"; then lost=0; fi
  fi
  if printf '%s %s %s %s\n' "$stamp" "$1" "$2" "$3" >>"$log"; then
    logged=$((logged + ${#3} + 45))
    if [ "$logged" -ge "$rotate_step" ]; then report "bytes $logged"; logged=0; fi
  else
    lost=$((lost + 1))
  fi
}

log_long_line() { # stream flag text: in parts, the last one with the flag
  printf '%s' "$3" | fold -b -w "$part_bytes" | {
    part=
    while IFS= read -r next_part || [ -n "$next_part" ]; do
      [ -z "$part" ] || log_line "$1" P "$part"
      part=$next_part
    done
    log_line "$1" "$2" "$part"
    report "bytes $logged"
  }
  logged=0
}

logger_pass() { # stream, on stdin its bytes
  lost=0 logged=0
  while :; do
    flag=F
    IFS= read -r line || { [ -n "$line" ] || return 0; flag=P; }
    stamp_log
    if [ "${#line}" -gt "$part_bytes" ]; then log_long_line "$1" "$flag" "$line"
    else log_line "$1" "$flag" "$line"; fi
  done
}

logger() { # stream fifo
  # A line without an end would take all memory: within the bound the pass fails, and the next one
  # goes on behind what was lost.
  while ! (ulimit -v 262144 2>/dev/null; logger_pass "$1"); do
    lost=0 logged=0
    stamp_log
    log_line stderr F 'holon: a line too long for the sh keeper was lost'
  done <"$dir/$2" 2>/dev/null
  report "logged $1"
}

rotate_log() { # bytes
  log_bytes=$((log_bytes + $1))
  [ "$log_bytes" -ge "$log_file_bytes" ] || return 0
  log_bytes=0
  i=$((log_files - 1))
  [ "$i" -gt 0 ] || { : >"$log"; return 0; }
  while [ "$i" -gt 1 ]; do
    [ ! -e "$log.$((i - 1))" ] || mv -f "$log.$((i - 1))" "$log.$i"
    i=$((i - 1))
  done
  mv -f "$log" "$log.1"
}

# ---- starting commands

report() { printf '%s\n' "$*" 1<>"$dir/ctl"; }

# Where to look up users and what changes to them; found once, by the life.
passwd_entry() { # name or number: pw_name pw_uid pw_gid pw_home pw_shell, or fails
  while IFS=: read -r pw_name _ pw_uid pw_gid _ pw_home pw_shell; do
    if [ "$pw_name" = "$1" ] || [ "$pw_uid" = "$1" ]; then return 0; fi
  done </etc/passwd
  pw_name=$1 pw_home=/ pw_shell=/bin/sh
  pw_uid=$(id -u "$1" 2>/dev/null) && pw_gid=$(id -g "$1") && return 0
  pw_uid=$1 pw_gid=$1
  case $1 in *[!0-9]* | '') return 1 ;; esac
}

group_number() {
  case $1 in *[!0-9]*) ;; *) echo "$1"; return 0 ;; esac
  while IFS=: read -r gr_name _ gr_gid _; do
    if [ "$gr_name" = "$1" ]; then echo "$gr_gid"; return 0; fi
  done </etc/group
  return 1
}

refuse() { # errno code text: the command cannot be executed
  report "failed $run $1 $2 $3"
  exit "$2"
}

with_identity() { # sets `identity`, words that go before a command; `home` and login_words
  identity= login_words=
  [ "$1" = 0 ] || return 0
  own_uid=$(id -u)
  passwd_entry "${user:-$own_uid}" || refuse ESRCH 217 "there is no user $user"
  gid=$pw_gid
  [ -z "$group" ] || gid=$(group_number "$group") || refuse ESRCH 216 "there is no group $group"
  home=$pw_home
  if [ "$login_env" = 1 ]; then
    login_words="HOME=$pw_home USER=$pw_name LOGNAME=$pw_name SHELL=$pw_shell"
  fi
  [ -n "$user$group" ] || return 0
  if [ "$own_uid" != 0 ]; then
    [ "$own_uid" = "$pw_uid" ] || refuse EPERM 217 "only root may change to user $user"
    return 0
  fi
  setpriv=$(command -v setpriv) || refuse ENOSYS 217 "User= needs the program setpriv, or a C compiler"
  groups=--clear-groups
  grep -q "^[^:]*:[^:]*:$pw_uid:" /etc/passwd && groups=--init-groups
  identity="$setpriv --reuid=$pw_uid --regid=$gid $groups"
}

enter_directory() {
  path=$cwd optional=0
  case $path in -*) path=${path#-} optional=1 ;; esac
  [ "$path" != '~' ] || path=${home:-/}
  cd "$path" 2>/dev/null && return 0
  [ "$optional" = 1 ] || refuse ENOENT 200 "cannot change to the directory $path"
  cd /
}

launch() { # run index main-pid: becomes the command; its pid is that of this subshell
  run=$1
  index=$2
  main=${3:-0}
  read -r pid stat </proc/self/stat
  set -- ${stat##*) }
  shift 19
  report "started $run $pid $1"
  for cgroup in $cgroup_list; do
    eval "cgroup=\$cgroup_$cgroup"
    echo 0 >"$cgroup/cgroup.procs" || refuse EACCES 219 "cannot enter the control group $cgroup"
  done
  eval "command_path=\$command_${index}_path privileged=\$command_${index}_privileged"
  home=
  with_identity "$privileged"
  enter_directory
  [ -e "$command_path" ] || refuse ENOENT 203 "no such file"
  if [ -d "$command_path" ] || [ ! -x "$command_path" ]; then refuse EACCES 203 "not executable"; fi
  extra="HOLON_JOB=$id"
  [ "$main" = 0 ] || extra="$extra MAINPID=$main"
  umask "$job_umask"
  trap - HUP INT TERM
  exec </dev/null >"$dir/.out" 2>"$dir/.err"
  "command_$index"
}

# Called by the functions of the spec with the environment and the command line as arguments.
become() {
  exec $setsid $identity "$env" -i $login_words $extra "$@"
}

runner() { # fifo: one command after the other, as the life asks
  trap : HUP INT TERM
  while read -r run index main; do
    # The shell itself says on stderr that a signal ended a process: that tells 143 from SIGTERM.
    said=$({ (launch "$run" "$index" "$main"); echo "$?"; } 2>&1)
    code=${said##*"$newline"}
    how=code core=0
    if [ "$code" -gt 128 ]; then
      case $said in
        *"core dumped"*) how=signal core=1 ;;
        *"$newline"*) how=signal ;;
        # It is silent about these two.
        130 | 141) how=signal ;;
      esac
      [ "$how" = code ] || code=$((code - 128))
    fi
    report "exit $run $how $code $core"
  done <"$dir/$1"
}

# ---- what is recorded

event() { # kind key=value…, values encoded already
  seq=$((seq + 1))
  now
  text="$seq $wall_ms $boot_ms $*"
  printf '%s\n' "$text" >>"$dir/events"
  event_bytes=$((event_bytes + ${#text} + 1))
  if [ "$event_bytes" -gt 262144 ]; then
    tail -c 131072 "$dir/events" | sed 1d >"$dir/events.new" && mv -f "$dir/events.new" "$dir/events"
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

# ---- processes of the job

each_cgroup_pid() { # function: called with every pid in the first group
  [ -n "$cgroup_1" ] || return 1
  while read -r each; do "$1" "$each"; done <"$cgroup_1/cgroup.procs"
}
found_one() { found=1; }
signal_one() {
  if kill "-$signal" "$1" 2>/dev/null; then signalled=$((signalled + 1)); fi
}

strays() { # pids with the job's mark; a process can leave its group, hardly its environment
  grep -lzxF "HOLON_JOB=$id" /proc/[0-9]*/environ 2>/dev/null
}

anybody() { # whether a process of the job is left
  [ -z "$main_run$control_run" ] || return 0
  found=
  if each_cgroup_pid found_one 2>/dev/null; then [ -n "$found" ]; return; fi
  if group_alive; then return 0; fi
  [ -n "$(strays)" ]
}

group_alive() { # whether the main process's group has more than dead ones that nobody collected
  [ -n "$setsid" ] && [ "$job_group" -gt 0 ] && kill -0 "-$job_group" || return 1
  for each in /proc/[0-9]*; do
    read -r stat <"$each/stat" || continue
    # In the order of proc(5), behind the name: state, parent, group.
    set -- ${stat##*) }
    case $1 in Z | X) ;; *) [ "${3-}" != "$job_group" ] || return 0 ;; esac
  done
  return 1
}

send() { # signal to=main|all
  signal=$1 signalled=0
  if [ "$2" = all ] && [ "$signal" = 9 ] && [ -n "$cgroup_1" ] && [ -e "$cgroup_1/cgroup.kill" ]; then
    each_cgroup_pid found_one
    echo 1 >"$cgroup_1/cgroup.kill" && signalled=1
  elif [ "$2" = all ] && each_cgroup_pid signal_one; then :
  else
    if [ -n "$main_run" ] && [ "$main_pid" -gt 0 ]; then signal_one "$main_pid"; fi
    if [ -n "$control_run" ] && [ "$control_pid" -gt 0 ]; then signal_one "$control_pid"; fi
    if [ "$2" = all ]; then
      if [ -n "$setsid" ] && [ "$job_group" -gt 0 ]; then signal_one "-$job_group"; fi
      for stray in $(strays); do
        stray=${stray#/proc/}
        stray=${stray%/environ}
        case $stray in "$main_pid" | "$control_pid") ;; *) signal_one "$stray" ;; esac
      done
    fi
  fi
  event "kill signal=$1 to=$2 count=$signalled"
}

send_and_continue() {
  send "$1" "$2"
  case $1 in 9 | 18) ;; *) signal=18; wake "$2" ;; esac
}
wake() { # SIGCONT always follows, without an event of its own
  if [ "$1" = all ] && each_cgroup_pid signal_one; then return 0; fi
  [ "$main_pid" = 0 ] || signal_one "$main_pid"
  [ "$control_pid" = 0 ] || signal_one "$control_pid"
  if [ "$1" = all ] && [ -n "$setsid" ] && [ "$job_group" -gt 0 ]; then signal_one "-$job_group"; fi
  return 0
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
  # Its sleep(1) too, where the kernel tells which that is; elsewhere it sleeps on, and nobody hears.
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

commands_of() { # phase: runs its commands; fails at the first that fails, is too late, or is stopped
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
