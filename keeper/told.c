/*
 * What the job's processes say of it by sd_notify(3), and its watchdog: what follows from it.
 *
 * A message that makes no sense just now is passed over in silence, as systemd does; one that asks
 * for what is not to be had is put on record, a few times in each life.
 */
#define _GNU_SOURCE
#include "job.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { IGNORED_MAX = 4, PIDFD_OPEN_NUMBER = 434 };

static bool is_up(void) {
  return job.phase == PHASE_RUNNING || job.phase == PHASE_RELOAD_NOTIFY;
}

static bool has_main(void) {
  bool phase = job.phase == PHASE_START || job.phase == PHASE_START_POST || is_up();
  return phase && job.main_pid > 0 && job.spec->type != TYPE_ONESHOT;
}

bool job_hears(pid_t pid) {
  if (pid <= 0) return false;
  if (pid == job.main_pid) return true;
  if (job.spec->notify == NOTIFY_EXEC) return pid == job.control_pid;
  return job.spec->notify == NOTIFY_ALL && procs_is_ours(pid);
}

void job_ignores(pid_t pid, const char *why) {
  if (++job.ignored > IGNORED_MAX) return;
  event_begin("notify-ignored");
  event_number("pid", pid);
  event_text("why", why);
  event_end();
}

/* ---- the watchdog */

bool is_watched(void) { return job.main_pid > 0 && (is_up() || job.phase == PHASE_START_POST); }

void feed_watchdog(void) {
  job.watchdog_at = job.watchdog_ms == 0 ? NEVER : now_ms() + job.watchdog_ms;
}

void bark(void) {
  job.watchdog_at = NEVER;
  event_stop("watchdog", "");
  job.stop_signal = job.spec->watchdog_signal;
  enter_signal(PHASE_STOP_SIGTERM, RESULT_WATCHDOG);
}

/* ---- messages */

/* False for what is no number, or so large that it could overflow. */
static bool parse(const char *text, uint64_t max, uint64_t *number) {
  char *end;
  if (*text < '0' || *text > '9') return false;
  errno = 0;
  *number = strtoull(text, &end, 10);
  return errno == 0 && *end == '\0' && *number <= max;
}

/* Milliseconds, rounded up so that a short time is not none. At most a hundred years. */
static bool parse_us(const char *text, uint64_t *ms) {
  uint64_t us;
  if (!parse(text, 3155760000000000ull, &us)) return false;
  *ms = (us + 999) / 1000;
  return true;
}

static void ready(void) {
  if (job.phase == PHASE_START && has_main()) enter_start_post();
  else if (job.phase == PHASE_RELOAD_NOTIFY) set_phase(PHASE_RUNNING);
}

static void stopping(void) {
  if (!is_up()) return;
  event_stop("notify", "");
  job.stops_itself = true;
  set_phase(PHASE_STOP_SIGTERM);
  set_deadline(job.spec->timeout_stop_ms);
}

/* Lengthens the time of the present phase, never shortens it. */
static void extend(uint64_t ms) {
  uint64_t at = now_ms() + ms;
  if (job.deadline != NEVER && at > job.deadline && job.phase != PHASE_AUTO_RESTART) {
    job.deadline = at;
  }
}

static void set_status(const char *text) {
  size_t count = strlen(text);
  if (count > STATUS_BYTES_MAX) {
    count = STATUS_BYTES_MAX;
    /* Not in the middle of a character. */
    while (count > 0 && ((unsigned char)text[count] & 0xc0) == 0x80) count--;
  }
  memcpy(job.status, text, count);
  job.status[count] = '\0';
  record_state_changed();
}

/* The new one need not be our child; then its parent takes its exit status, and a pidfd tells. */
static const char *set_main(pid_t pid) {
  if (!has_main() || pid == job.main_pid) return NULL;
  int fd = (int)syscall(PIDFD_OPEN_NUMBER, pid, 0);
  if (fd < 0 && errno == ENOSYS) return "MAINPID= needs Linux 5.3";
  if (fd < 0 || !procs_is_ours(pid)) {
    if (fd >= 0) close(fd);
    return "MAINPID= names no process of the job";
  }
  if (job.main_fd >= 0) close(job.main_fd);
  job.main_fd = fd;
  job.main_pid = pid;
  job.main_ticks = proc_start_ticks(pid);
  job.main_stopped = false;
  watch_add(fd, WATCH_MAIN, 0, EPOLLIN);
  event_begin("main");
  event_number("pid", pid);
  event_end();
  return NULL;
}

void job_main_gone(void) {
  /* As a child of ours, an orphan perhaps, it has a status. */
  job_reap();
  /* What came before this event may have named another. */
  struct pollfd main = {.fd = job.main_fd, .events = POLLIN};
  if (job.main_fd < 0 || poll(&main, 1, 0) <= 0) return;
  struct ending unknown = {.known = true, .pid = job.main_pid};
  on_main_exit(&unknown);
  check_progress();
}

const char *job_told(const char *key, const char *value) {
  uint64_t number = 0;
  bool yes = !strcmp(value, "1");
  if (!strcmp(key, "READY") && yes) ready();
  else if (!strcmp(key, "RELOADING") && yes && job.phase == PHASE_RUNNING) {
    set_phase(PHASE_RELOAD_NOTIFY);
  } else if (!strcmp(key, "STOPPING") && yes) stopping();
  else if (!strcmp(key, "STATUS")) set_status(value);
  else if (!strcmp(key, "ERRNO") && parse(value, INT32_MAX, &number)) {
    job.status_errno = (long long)number;
    record_state_changed();
  } else if (!strcmp(key, "MAINPID") && parse(value, INT32_MAX, &number)) {
    return set_main((pid_t)number);
  } else if (!strcmp(key, "EXTEND_TIMEOUT_USEC") && parse_us(value, &number)) extend(number);
  else if (!strcmp(key, "WATCHDOG") && yes) feed_watchdog();
  else if (!strcmp(key, "WATCHDOG") && !strcmp(value, "trigger") && is_watched()) bark();
  else if (!strcmp(key, "WATCHDOG_USEC") && parse_us(value, &number)) {
    job.watchdog_ms = number;
    feed_watchdog();
  } else if (!strcmp(key, "FDSTORE") && yes) return "FDSTORE=1: no descriptors are kept here";
  return NULL;
}
