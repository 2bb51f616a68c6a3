/**
 * The shell scripts that begin a machine and enter one. A machine is made by a chain of programs
 * that each become the next one, so that in the end there is one process, the machine's first:
 *
 *   sh (joins the control groups) → unshare → sh (mounts) → unshare --pid → sh → sleep
 *
 * The first process must only be there and reap: `sleep` with SIGCHLD ignored does that, since the
 * kernel itself then reaps what it inherits. Values come in as variables and arguments, never as
 * text.
 */

/** The mark that the first process carries, and those on the way to it: LAB/MACHINE. */
export const initMark = 'HOLON_LAB_INIT'

/**
 * In: LAB_GROUPS (the machine's groups, a line each) and the variables of `mountScript`. $0 is the
 * script that mounts, $1 the one that becomes the first process.
 */
export const joinScript = `
IFS='
'
for group in $LAB_GROUPS; do echo 0 >"$group/cgroup.procs"; done
exec unshare --mount --uts --ipc --net --cgroup --propagation private sh -euc "$0" "$1"
`

/**
 * In: LAB_NAME, LAB_DISK (of this machine), LAB_KEEP (what of the program must stay to be seen, a
 * line each), LAB_HOSTS (the file for /etc/hosts), LAB_GROUPS, LAB_TREES (a line each: kind, path,
 * options or "-").
 * Everything is mounted in this process's own mount namespace and goes away with it.
 */
export const mountScript = `
IFS='
'
cd /
umask 022
echo "$LAB_NAME" >/proc/sys/kernel/hostname
# The groups' own roots are their namespaces' roots; what lives here is one below, because a v2
# group with processes of its own passes no controllers on.
for group in $LAB_GROUPS; do echo 0 >"$group/init/cgroup.procs"; done

# Taken hold of first: what is mounted next may hide where they are.
mount -t tmpfs -o mode=755 run /run
mkdir /run/.lab /run/lock
chmod 1777 /run/lock
hold() { # NAME PATH
  if [ -d "$2" ]; then mkdir "/run/.lab/$1"; else : >"/run/.lab/$1"; fi
  mount --bind "$2" "/run/.lab/$1"
}
put() { # NAME PATH
  if [ -e "$2" ]; then mount --bind "/run/.lab/$1" "$2"; fi
}
for part in state root tmp hostname; do hold "$part" "$LAB_DISK/$part"; done
hold hosts "$LAB_HOSTS"
count=0
for path in $LAB_KEEP; do count=$((count + 1)); hold "keep$count" "$path"; done

put state /var/lib/holon
put root /root
put tmp /tmp
put hosts /etc/hosts
put hostname /etc/hostname
count=0
for path in $LAB_KEEP; do
  count=$((count + 1))
  mkdir -p "$path"
  put "keep$count" "$path"
  # The program is not the machine's to change.
  mount -o remount,bind,ro "$path"
done
umount /run/.lab/*
rm -r /run/.lab

if [ -d /dev/shm ]; then mount -t tmpfs -o mode=1777 shm /dev/shm; fi
mount -t sysfs sysfs /sys
if [ -n "$LAB_TREES" ]; then
  case $LAB_TREES in
  *' /sys/fs/cgroup '*) ;;
  *) mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup ;;
  esac
  echo "$LAB_TREES" | while IFS=' ' read -r kind path options; do
    mkdir -p "$path"
    case $kind in
    v2) mount -t cgroup2 cgroup2 "$path" ;;
    *) mount -t cgroup -o "$options" cgroup "$path" ;;
    esac
  done
fi
unset LAB_GROUPS LAB_TREES LAB_KEEP LAB_HOSTS LAB_DISK LAB_NAME
# A background job of a shell begins as the first process of the new namespace.
exec unshare --pid sh -euc 'sh -euc "$0" & echo "pid $!"' "$0"
`

/** The first process: its own /proc and its own boot's id, and then it only is there. */
export const firstScript = `
cat /proc/sys/kernel/random/uuid >/run/.boot-id
mount -t proc proc /proc
mount --bind /run/.boot-id /proc/sys/kernel/random/boot_id
echo ready
exec </dev/null >/dev/null 2>&1
if env --ignore-signal=CHLD true; then exec env --ignore-signal=CHLD sleep infinity; fi
# An older env: a shell that waits reaps as well, at the price of one process more.
while :; do sleep 86400 || :; done
`

/**
 * $1 the first process, $2 the number of groups, the groups, then the command. Whoever ends the
 * entering process ends the command: as the kernel does it, also for kill -9.
 */
export const enterScript = `
pid=$1 count=$2
shift 2
while [ "$count" -gt 0 ]; do
  echo 0 >"$1/init/cgroup.procs" || exit 125
  shift
  count=$((count - 1))
done
command -v setpriv >/dev/null ||
  exec nsenter -t "$pid" -m -u -i -n -p -C -- sh -c 'cd && exec "$@"' sh "$@"
exec setpriv --pdeathsig KILL nsenter -t "$pid" -m -u -i -n -p -C -- \\
  setpriv --pdeathsig KILL sh -c 'cd && exec "$@"' sh "$@"
`
