# Part of keeper.sh: how a command is started, and how the processes of the job are found and
# signalled: by control group where there is one, else by the main command's process group and by
# HOLON_JOB in the environment.

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
  setpriv=$(command -v setpriv) || refuse ENOSYS 217 "User= needs setpriv, or a C compiler"
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
  extra="HOLON_JOB=$dir"
  [ "$main" = 0 ] || extra="$extra MAINPID=$main"
  umask "$job_umask"
  trap - HUP INT TERM
  exec </dev/null >"$dir/.out" 2>"$dir/.err"
  "command_$index"
}

# Called by the functions of the spec with the environment and the command line as arguments.
become() {
  if [ -n "$setsid" ] && [ "${job_nice:-0}" != 0 ]; then
    # A new session may have a nice value of its own, within which the others count.
    exec $setsid /bin/sh -c 'echo "$0" 2>/dev/null >/proc/self/autogroup; exec "$@"' "$job_nice" \
      $identity "$env" -i $login_words $extra "$@"
  fi
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

each_cgroup_pid() { # function: called with every pid in the first group
  [ -n "$cgroup_1" ] || return 1
  while read -r each; do "$1" "$each"; done <"$cgroup_1/cgroup.procs"
}
found_one() { found=1; }
signal_one() {
  if kill "-$signal" "$1" 2>/dev/null; then signalled=$((signalled + 1)); fi
}

strays() { # pids with the job's mark; a process can leave its group, hardly its environment
  grep -lzxF "HOLON_JOB=$dir" /proc/[0-9]*/environ 2>/dev/null
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
  if [ "$2$signal" = all9 ] && [ -n "$cgroup_1" ] && [ -e "$cgroup_1/cgroup.kill" ]; then
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
