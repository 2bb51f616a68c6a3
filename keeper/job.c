/*
 * The life of the job: the state machine of a systemd service.
 *
 *   start-pre → start → start-post → running → stop → stop-sigterm → stop-sigkill → stop-post
 *   → final-sigkill → auto-restart | dead | failed
 *
 * The stop commands run when the job is stopped or ends cleanly by itself, the stop-post commands
 * always. The first thing that goes wrong is the result. Before stop-post, and so before a restart,
 * the rest of the job's processes is ended as kill-mode says. There is no final-sigterm as in
 * systemd: the others get their time in stop-sigterm, before stop-post and not after it.
 * Each enter_…() goes to one phase or passes it on; only job_tick() starts again, so no restart
 * loop is a recursion.
 */
#define _GNU_SOURCE
#include "job.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct job job;

void job_open(const struct spec *spec) {
  job.spec = spec;
  job.phase = PHASE_DEAD;
  job.group_empty = true;
  job.stop_signal = spec->kill_signal;
  job.deadline = job.watchdog_at = NEVER;
  job.main_fd = -1;
}

bool job_begun(void) { return job.begun; }
bool job_ended(void) { return job.ended; }

uint64_t job_deadline(void) {
  bool watched = is_watched() && job.watchdog_at < job.deadline;
  return watched ? job.watchdog_at : job.deadline;
}

void set_deadline(uint64_t timeout_ms) {
  job.deadline = timeout_ms == 0 ? NEVER : now_ms() + timeout_ms;
}

void set_phase(enum phase phase) {
  job.phase = phase;
  job.since_wall = wall_ms();
  record_state_changed();
}

void set_result(enum result result) {
  if (job.result == RESULT_SUCCESS) job.result = result;
}

/* ---- commands */

unsigned next_command(enum phase phase, unsigned from) {
  for (unsigned i = from; i < job.spec->command_count; i++) {
    if (job.spec->commands[i].phase == phase) return i;
  }
  return NO_COMMAND;
}

/* What ExecStop= and ExecStopPost= are told of the main process, as systemd tells it. */
static void describe_end(struct spawn *spawn, char status_text[16]) {
  enum phase phase = spawn->command->phase;
  if (phase == PHASE_START_POST || phase == PHASE_STOP) spawn->main_pid = job.main_pid;
  if (phase != PHASE_STOP && phase != PHASE_STOP_POST) return;
  spawn->service_result = result_names[job.result];
  if (!job.last_main.known) return;
  int status = job.last_main.status;
  spawn->exit_code = WIFEXITED(status) ? "exited" : WCOREDUMP(status) ? "dumped" : "killed";
  snprintf(status_text, 16, "%d", WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
  spawn->exit_status = status_text;
}

static void event_exec_failed(const struct command *command, int error, const char *text) {
  event_begin("exec-failed");
  event_text("phase", phase_names[command->phase]);
  event_text("path", command->path);
  event_text("errno", errno_name(error));
  event_text("text", text);
  event_end();
}

static void event_start(const struct command *command, pid_t pid) {
  event_begin("start");
  event_text("phase", phase_names[command->phase]);
  event_number("pid", pid);
  event_text("path", command->path);
  /* Why it all began stands in the first event. */
  if (!job.reason_told && job.spec->reason[0] != '\0') event_text("reason", job.spec->reason);
  job.reason_told = true;
  event_end();
}

/* Whether a command gets the socket: the main one whenever somebody listens. */
static bool may_notify(bool is_main) {
  return is_main || job.spec->notify == NOTIFY_EXEC || job.spec->notify == NOTIFY_ALL;
}

/* Starts a command; 0 when not even a process could be made, or none may be any more. */
static pid_t run(unsigned index) {
  if (lease_is_over()) {
    job.no_restart = true;
    set_result(RESULT_LEASE);
    return 0;
  }
  const struct command *command = &job.spec->commands[index];
  bool is_main = command->phase == PHASE_START;
  char status_text[16];
  struct spawn spawn = {.command = command};
  int error = output_for_command(&spawn, is_main);
  if (error != 0) snprintf(spawn.text, sizeof spawn.text, "open a pipe: %s", strerror(error));
  describe_end(&spawn, status_text);
  if (may_notify(is_main)) spawn.notify_socket = notify_address();
  if (is_main) spawn.watchdog_ms = job.spec->watchdog_ms;
  pid_t pid = error == 0 ? exec_spawn(&spawn) : -1;
  if (pid < 0 && error == 0) error = errno;
  output_started(is_main && pid > 0);
  if (pid > 0) {
    job.group_empty = false;
    event_start(command, pid);
  }
  if (spawn.error != 0) error = spawn.error;
  if (is_main) job.exec_failed = error != 0;
  if (error == 0) return pid;
  event_exec_failed(command, error, spawn.text);
  if (is_main) {
    job.fail_errno = error;
    memcpy(job.fail_text, spawn.text, sizeof job.fail_text);
  }
  return pid > 0 ? pid : 0;
}

bool run_main(unsigned index) {
  job.main_index = index;
  job.main_pid = run(index);
  job.main_stopped = false;
  if (job.main_pid == 0) return false;
  job.main_ticks = job.spec->stream_output ? 0 : proc_start_ticks(job.main_pid);
  job.started_wall = wall_ms();
  return true;
}

bool run_control(enum phase phase, unsigned from, uint64_t timeout_ms) {
  unsigned index = next_command(phase, from);
  if (index == NO_COMMAND) return false;
  job.control_index = index;
  job.control_pid = run(index);
  set_phase(phase);
  set_deadline(timeout_ms);
  return true;
}

/* ---- phases */

/* systemd's counting: a window begins with a start, and holds so many. */
static bool start_allowed(void) {
  const struct spec *spec = job.spec;
  uint64_t now = now_ms();
  if (job.window_starts == 0 || now - job.window_start >= spec->start_limit_ms) {
    job.window_start = now;
    job.window_starts = 0;
  }
  if (spec->start_limit > 0 && spec->start_limit_ms > 0 && job.window_starts >= spec->start_limit) {
    return false;
  }
  job.window_starts++;
  return true;
}

void job_start(void) {
  assert(!job.ended);
  job.begun = true;
  job.deadline = NEVER;
  if (!start_allowed()) {
    event_begin("limit");
    event_number("starts", (long long)job.spec->start_limit);
    event_number("in-ms", (long long)job.spec->start_limit_ms);
    event_end();
    job.result = RESULT_START_LIMIT_HIT;
    enter_dead(RESULT_START_LIMIT_HIT);
    return;
  }
  job.result = RESULT_SUCCESS;
  job.stop_signal = job.spec->kill_signal;
  job.watchdog_ms = job.spec->watchdog_ms;
  job.stops_itself = false;
  job.status[0] = '\0';
  job.status_errno = 0;
  job.ignored = 0;
  job.oom_kills = cgroup_oom_kills();
  if (run_control(PHASE_START_PRE, 0, job.spec->timeout_start_ms)) {
    if (job.control_pid == 0) enter_signal(PHASE_STOP_SIGTERM, RESULT_RESOURCES);
    return;
  }
  enter_start();
}

void enter_start(void) {
  unsigned index = next_command(PHASE_START, 0);
  set_phase(PHASE_START);
  set_deadline(job.spec->timeout_start_ms);
  if (index == NO_COMMAND) {
    enter_start_post();
    return;
  }
  if (!run_main(index)) {
    enter_signal(PHASE_STOP_SIGTERM, RESULT_RESOURCES);
    return;
  }
  /* The outcome of the exec is known here; a failed one of type exec is seen when the child ends. */
  if (job.spec->type == TYPE_ONESHOT || job.spec->type == TYPE_NOTIFY) return;
  if (job.spec->type == TYPE_EXEC && job.exec_failed) return;
  enter_start_post();
}

void enter_start_post(void) {
  feed_watchdog();
  if (!run_control(PHASE_START_POST, 0, job.spec->timeout_start_ms)) {
    enter_running(RESULT_SUCCESS);
  } else if (job.control_pid == 0) {
    enter_signal(PHASE_STOP_SIGTERM, RESULT_RESOURCES);
  }
}

void event_stop(const char *by, const char *reason) {
  event_begin("stop");
  event_text("by", by);
  if (reason[0] != '\0') event_text("reason", reason);
  event_end();
}

static void event_running(void) {
  event_begin("running");
  event_number("pid", job.main_pid);
  event_end();
}

void enter_running(enum result result) {
  set_result(result);
  job.deadline = NEVER;
  if (job.result == RESULT_SUCCESS && job.main_pid > 0) {
    set_phase(PHASE_RUNNING);
    set_deadline(job.spec->runtime_max_ms);
    event_running();
    return;
  }
  if (job.result == RESULT_SUCCESS && job.spec->remain) {
    set_phase(PHASE_EXITED);
    event_running();
    return;
  }
  event_stop("main-exit", "");
  if (job.result == RESULT_SUCCESS) enter_stop(RESULT_SUCCESS);
  else enter_signal(PHASE_STOP_SIGTERM, job.result);
}

void enter_stop(enum result result) {
  set_result(result);
  bool runs = run_control(PHASE_STOP, 0, job.spec->timeout_stop_ms);
  if (runs && job.control_pid > 0) return;
  enter_signal(PHASE_STOP_SIGTERM, runs ? RESULT_RESOURCES : RESULT_SUCCESS);
}

static unsigned send_one(pid_t pid, int signal, bool then_continue) {
  if (pid == 0) return 0;
  unsigned sent = kill(pid, signal) == 0;
  if (then_continue) kill(pid, SIGCONT);
  return sent;
}

void event_kill(int signal, bool all, unsigned count) {
  event_begin("kill");
  event_number("signal", signal);
  event_text("to", all ? "all" : "main");
  event_number("count", count);
  event_end();
}

bool rest_is_killed(bool hard) {
  enum kill_mode mode = job.spec->kill_mode;
  return !job.group_empty && (mode == KILL_CONTROL_GROUP || (mode == KILL_MIXED && hard));
}

/* Sends the phase's signal as kill-mode says; whether there is somebody to wait for. */
static bool send_phase_signal(bool hard) {
  int signal = hard ? SIGKILL : job.stop_signal;
  bool then_continue = !hard && signal != SIGKILL && signal != SIGCONT;
  bool all = rest_is_killed(hard);
  if (job.spec->kill_mode == KILL_NONE) return false;
  if (job.main_pid == 0 && job.control_pid == 0 && !all) return false;
  unsigned count = send_one(job.main_pid, signal, then_continue) +
                   send_one(job.control_pid, signal, then_continue);
  if (all) count += procs_signal_all(signal, then_continue, job.main_pid, job.control_pid);
  event_kill(signal, all, count);
  return true;
}

void enter_signal(enum phase phase, enum result result) {
  set_result(result);
  bool hard = phase == PHASE_STOP_SIGKILL;
  bool wait = send_phase_signal(hard);
  if (!wait && !hard && job.spec->send_sigkill && rest_is_killed(true)) {
    /* kill-mode mixed, and the main process is gone: the rest gets no second chance. */
    hard = true;
    wait = send_phase_signal(hard);
  }
  if (!wait) {
    enter_stop_post(RESULT_SUCCESS);
    return;
  }
  set_phase(hard ? PHASE_STOP_SIGKILL : PHASE_STOP_SIGTERM);
  set_deadline(job.spec->timeout_stop_ms);
}

void enter_stop_post(enum result result) {
  set_result(result);
  bool runs = run_control(PHASE_STOP_POST, 0, job.spec->timeout_stop_ms);
  if (runs && job.control_pid > 0) return;
  enter_final(runs ? RESULT_RESOURCES : RESULT_SUCCESS);
}

/* Ends what the stop-post commands left, or one of them that took too long. */
void enter_final(enum result result) {
  set_result(result);
  if (!job.spec->send_sigkill || !send_phase_signal(true)) {
    enter_dead(RESULT_SUCCESS);
    return;
  }
  set_phase(PHASE_FINAL_SIGKILL);
  set_deadline(job.spec->timeout_stop_ms);
}

void enter_dead(enum result result) {
  set_result(result);
  output_drain();
  log_end_parts();
  job.main_ticks = 0;
  if (!job.no_restart && should_restart(job.spec->restart, job.result)) {
    event_begin("restart");
    event_number("in-ms", (long long)job.spec->restart_ms);
    event_text("why", result_names[job.result]);
    event_end();
    set_phase(PHASE_AUTO_RESTART);
    job.deadline = now_ms() + job.spec->restart_ms;
    return;
  }
  job.ended = true;
  job.deadline = NEVER;
  set_phase(job.result == RESULT_SUCCESS ? PHASE_DEAD : PHASE_FAILED);
  event_begin("end");
  event_text("phase", phase_names[job.phase]);
  event_text("result", result_names[job.result]);
  event_end();
}

/* ---- time */

void job_tick(uint64_t now) {
  if (is_watched() && job.watchdog_at <= now) {
    bark();
    return;
  }
  if (job.deadline > now) return;
  job.deadline = NEVER;
  switch (job.phase) {
    case PHASE_START_PRE:
    case PHASE_START:
    case PHASE_START_POST:
      event_stop("timeout-start", "");
      enter_signal(PHASE_STOP_SIGTERM, RESULT_TIMEOUT);
      break;
    case PHASE_RUNNING:
    case PHASE_RELOAD_NOTIFY:
      event_stop("runtime-max", "");
      enter_stop(RESULT_TIMEOUT);
      break;
    case PHASE_STOP: enter_signal(PHASE_STOP_SIGTERM, RESULT_TIMEOUT); break;
    case PHASE_STOP_SIGTERM:
      if (job.spec->send_sigkill) enter_signal(PHASE_STOP_SIGKILL, RESULT_TIMEOUT);
      else enter_stop_post(RESULT_TIMEOUT);
      break;
    case PHASE_STOP_SIGKILL: enter_stop_post(RESULT_TIMEOUT); break;
    case PHASE_STOP_POST: enter_final(RESULT_TIMEOUT); break;
    case PHASE_FINAL_SIGKILL: enter_dead(RESULT_TIMEOUT); break;
    case PHASE_AUTO_RESTART:
      job.restarts++;
      job_start();
      break;
    default: break;
  }
}
