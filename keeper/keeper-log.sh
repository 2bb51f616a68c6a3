# Part of keeper.sh: the clock, and the job's log with its rotation.
#
# A line is written by one write of a shell's own printf, so the two loggers can share the file
# without mixing their lines; what is longer than that write goes out in parts. Only the life
# rotates: a logger opens the file anew for every line, so none is lost when its name is changed.

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
