/* What is asked of the job from outside, and how its state is told. */
#define _GNU_SOURCE
#include "job.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static bool nothing_runs(void) { return !job.begun || job.phase == PHASE_AUTO_RESTART; }

static void end_now(const char *by, const char *reason, enum result result) {
  event_stop(by, reason);
  job.result = result;
  enter_dead(result);
}

static void stop(const char *by, const char *reason, enum result result) {
  job.no_restart = true;
  if (job.ended) return;
  if (nothing_runs()) {
    end_now(by, reason, result);
  } else if (job.phase <= PHASE_START_POST) {
    event_stop(by, reason);
    enter_signal(PHASE_STOP_SIGTERM, result);
  } else if (job.phase <= PHASE_EXITED) {
    event_stop(by, reason);
    enter_stop(result);
  }
}

void job_stop(const char *by, const char *reason) { stop(by, reason, RESULT_SUCCESS); }

void job_stop_for_lease(void) { stop("lease", "", RESULT_LEASE); }

/* No commands any more: whoever has the lease next may be at work already. */
void job_kill_for_lease(void) {
  job.no_restart = true;
  if (job.ended) return;
  bool runs = !nothing_runs();
  if (runs) {
    cgroup_kill_all();
    procs_kill_descendants(getpid());
  }
  event_begin("lease-over");
  event_end();
  if (runs) {
    enter_final(RESULT_LEASE);
  } else {
    job.result = RESULT_LEASE;
    enter_dead(RESULT_LEASE);
  }
}

void job_hang_up(void) {
  if (job.ended) return;
  job.stop_signal = SIGHUP;
  job.no_restart = true;
  if (nothing_runs()) {
    end_now("client-gone", "", RESULT_SUCCESS);
  } else if (job.phase <= PHASE_EXITED) {
    event_stop("client-gone", "");
    enter_signal(PHASE_STOP_SIGTERM, RESULT_SUCCESS);
  }
}

void job_fail(int error, const char *text) {
  job.begun = true;
  job.exec_failed = true;
  job.no_restart = true;
  job.fail_errno = error;
  snprintf(job.fail_text, sizeof job.fail_text, "%s", text);
  event_begin("exec-failed");
  event_text("phase", phase_names[PHASE_START]);
  event_text("path", "");
  event_text("errno", errno_name(error));
  event_text("text", text);
  event_end();
  enter_dead(RESULT_RESOURCES);
}

int job_kill(int signal, bool all) {
  if (!all) {
    pid_t pid = job.main_pid > 0 ? job.main_pid : job.control_pid;
    if (pid == 0) return ESRCH;
    event_kill(signal, false, 1);
    return kill(pid, signal) == 0 ? 0 : errno;
  }
  if (job.group_empty) return ESRCH;
  unsigned count = procs_signal_all(signal, false, 0, 0);
  event_kill(signal, true, count);
  return count > 0 ? 0 : ESRCH;
}

void job_signal_foreground(int signal) {
  pid_t group = job.main_pid > 0 ? job.main_pid : job.control_pid;
  if (job.spec->tty && signal == SIGCONT && job.main_stopped) {
    /* As a shell's fg: the terminal first, then the waking up. */
    terminal_set_foreground(group);
  } else if (job.spec->tty) {
    pid_t foreground = terminal_foreground();
    if (foreground > 0) group = foreground;
  }
  if (group <= 0 || group == getpgrp()) return;
  if (signal == SIGCONT) job.main_stopped = false;
  kill(-group, signal);
}

/* ---- telling */

static char boot_id[40];

void job_read_boot_id(void) {
  int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  ssize_t bytes = read(fd, boot_id, sizeof boot_id - 1);
  close(fd);
  boot_id[bytes > 0 ? bytes : 0] = '\0';
  boot_id[strcspn(boot_id, "\n")] = '\0';
}

static long long microseconds(struct timeval time) {
  return (long long)time.tv_sec * 1000000 + time.tv_usec;
}

size_t job_state_line(char *buffer, size_t bytes) {
  int count = snprintf(
      buffer, bytes,
      "seq=%llu phase=%s keeper=%d boot=%s pid=%d ticks=%llu since=%llu started=%llu "
      "restarts=%llu result=%s",
      (unsigned long long)record_seq(), phase_names[job.phase], (int)getpid(), boot_id,
      (int)job.main_pid, job.main_pid > 0 ? job.main_ticks : 0, (unsigned long long)job.since_wall,
      (unsigned long long)job.started_wall, (unsigned long long)job.restarts,
      result_names[job.result]);
  assert(count > 0 && (size_t)count < bytes);
  size_t at = (size_t)count;
  if (job.exec_failed) {
    at += (size_t)snprintf(buffer + at, bytes - at, " errno=%s", errno_name(job.fail_errno));
  }
  if (job.status[0] != '\0') {
    at += (size_t)snprintf(buffer + at, bytes - at, " status=");
    at += encode(buffer + at, 3 * STATUS_BYTES_MAX + 3, job.status);
    buffer[at] = '\0';
  }
  if (job.status_errno != 0) {
    at += (size_t)snprintf(buffer + at, bytes - at, " status-errno=%lld", job.status_errno);
  }
  if (!job.last_main.known) return at;
  int status = job.last_main.status;
  const struct rusage *usage = &job.last_main.usage;
  if (WIFEXITED(status)) {
    at += (size_t)snprintf(buffer + at, bytes - at, " code=%d", WEXITSTATUS(status));
  } else {
    at += (size_t)snprintf(buffer + at, bytes - at, " signal=%d", WTERMSIG(status));
    if (WCOREDUMP(status)) at += (size_t)snprintf(buffer + at, bytes - at, " core=1");
  }
  at += (size_t)snprintf(buffer + at, bytes - at, " user-us=%lld sys-us=%lld maxrss-kb=%ld",
                         microseconds(usage->ru_utime), microseconds(usage->ru_stime),
                         usage->ru_maxrss);
  assert(at < bytes);
  return at;
}

size_t job_end_text(char *buffer, size_t bytes) {
  int count;
  int status = job.last_main.status;
  if (job.exec_failed) {
    count = snprintf(buffer, bytes, "failed %s %s", errno_name(job.fail_errno), job.fail_text);
  } else if (!job.last_main.known) {
    count = snprintf(buffer, bytes, "failed ECANCELED the job ended before its command ran (%s)",
                     result_names[job.result]);
  } else if (WIFEXITED(status)) {
    count = snprintf(buffer, bytes, "code %d", WEXITSTATUS(status));
  } else {
    count = snprintf(buffer, bytes, "signal %d%s", WTERMSIG(status),
                     WCOREDUMP(status) ? " core" : "");
  }
  assert(count > 0);
  return (size_t)count < bytes ? (size_t)count : bytes - 1;
}
