/* Processes of the job that end: collecting them, putting it on record, and what follows. */
#include "job.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* A job that forks faster than we collect gets its next turn after everybody else's. */
enum { REAPED_MAX = 10000 };

static void event_exit(const struct command *command, const struct ending *ending, bool oom) {
  event_begin("exit");
  event_text("phase", phase_names[command->phase]);
  event_number("pid", ending->pid);
  if (WIFEXITED(ending->status)) event_number("code", WEXITSTATUS(ending->status));
  else event_number("signal", WTERMSIG(ending->status));
  if (WIFSIGNALED(ending->status) && WCOREDUMP(ending->status)) event_number("core", 1);
  if (oom) event_number("oom", 1);
  event_end();
}

/* Puts the end of a command on record, with all that it wrote before; what it means. */
static enum result record_exit(const struct command *command, const struct ending *ending) {
  bool daemon = command->phase == PHASE_START && job.spec->type != TYPE_ONESHOT;
  enum result result = result_of(ending->status, daemon);
  bool oom = result != RESULT_SUCCESS && cgroup_oom_kills() > job.oom_kills;
  if (oom) result = RESULT_OOM_KILL;
  output_drain();
  log_end_parts();
  event_exit(command, ending, oom);
  return command->ignore_failure ? RESULT_SUCCESS : result;
}

void check_progress(void) {
  bool hard = job.phase != PHASE_STOP_SIGTERM;
  if (job.phase != PHASE_STOP_SIGTERM && job.phase != PHASE_STOP_SIGKILL &&
      job.phase != PHASE_FINAL_SIGKILL) {
    return;
  }
  if (job.main_pid > 0 || job.control_pid > 0) return;
  if (job.stops_itself && job.phase == PHASE_STOP_SIGTERM) {
    /* It has; what it left behind has not been told to end yet. */
    job.stops_itself = false;
    enter_signal(PHASE_STOP_SIGTERM, RESULT_SUCCESS);
    return;
  }
  if (rest_is_killed(hard)) {
    /* Whatever was forked while we killed. */
    if (hard) procs_signal_all(SIGKILL, false, 0, 0);
    return;
  }
  if (job.phase == PHASE_FINAL_SIGKILL) enter_dead(RESULT_SUCCESS);
  else if (!hard && job.spec->send_sigkill && rest_is_killed(true)) {
    enter_signal(PHASE_STOP_SIGKILL, RESULT_SUCCESS);
  } else {
    enter_stop_post(RESULT_SUCCESS);
  }
}

void on_main_exit(const struct ending *ending) {
  const struct command *command = &job.spec->commands[job.main_index];
  job.main_pid = 0;
  if (job.main_fd >= 0) close(job.main_fd);
  job.main_fd = -1;
  job.last_main = *ending;
  enum result result = record_exit(command, ending);
  set_result(result);
  if (job.phase == PHASE_START && job.spec->type == TYPE_ONESHOT) {
    unsigned next = next_command(PHASE_START, job.main_index + 1);
    if (result != RESULT_SUCCESS) enter_signal(PHASE_STOP_SIGTERM, result);
    else if (next == NO_COMMAND) enter_start_post();
    else if (!run_main(next)) enter_signal(PHASE_STOP_SIGTERM, RESULT_RESOURCES);
  } else if (job.phase == PHASE_START && job.spec->type == TYPE_NOTIFY) {
    /* It never said that it is ready. */
    enter_running(result == RESULT_SUCCESS ? RESULT_PROTOCOL : result);
  } else if (job.phase == PHASE_START || job.phase == PHASE_RUNNING ||
             job.phase == PHASE_RELOAD_NOTIFY) {
    enter_running(result);
  }
  /* In start-post and stop the control process is waited for; check_progress() does the rest. */
}

static void on_control_exit(const struct ending *ending) {
  const struct command *command = &job.spec->commands[job.control_index];
  enum phase phase = job.phase;
  job.control_pid = 0;
  enum result result = record_exit(command, ending);
  set_result(result);
  bool more = phase == command->phase && result == RESULT_SUCCESS;
  uint64_t timeout_ms = phase == PHASE_START_PRE || phase == PHASE_START_POST
                            ? job.spec->timeout_start_ms
                            : job.spec->timeout_stop_ms;
  if (more && run_control(phase, job.control_index + 1, timeout_ms)) {
    if (job.control_pid > 0) return;
    result = RESULT_RESOURCES;
    set_result(result);
  }
  switch (phase) {
    case PHASE_START_PRE:
      if (result == RESULT_SUCCESS) enter_start();
      else enter_signal(PHASE_STOP_SIGTERM, result);
      break;
    case PHASE_START_POST:
      if (result == RESULT_SUCCESS) enter_running(RESULT_SUCCESS);
      else enter_signal(PHASE_STOP_SIGTERM, result);
      break;
    case PHASE_STOP: enter_signal(PHASE_STOP_SIGTERM, result); break;
    case PHASE_STOP_POST: enter_final(result); break;
    default: break;
  }
}

static void on_stopped(pid_t pid, int signal) {
  if (pid != job.main_pid) return;
  char byte = (char)signal;
  job.main_stopped = true;
  if (job.spec->tty || job.spec->stream_output) clients_send_attached('T', &byte, 1);
}

void job_reap(void) {
  struct ending ended[2];
  unsigned ended_count = 0;
  /* What a process said before its end counts. */
  notify_ready();
  /* All first, then the consequences: they depend on whether anything is left. */
  for (unsigned i = 0; i < REAPED_MAX; i++) {
    struct ending one = {.known = true};
    one.pid = wait4(-1, &one.status, WNOHANG | WUNTRACED, &one.usage);
    if (one.pid < 0 && errno == EINTR) continue;
    if (one.pid <= 0) {
      job.group_empty = one.pid < 0;
      break;
    }
    if (WIFSTOPPED(one.status)) {
      on_stopped(one.pid, WSTOPSIG(one.status));
    } else if (one.pid == job.main_pid || one.pid == job.control_pid) {
      assert(ended_count < 2);
      ended[ended_count++] = one;
    }
    if (i + 1 == REAPED_MAX) loop_again();
  }
  for (unsigned i = 0; i < ended_count; i++) {
    if (ended[i].pid == job.main_pid) on_main_exit(&ended[i]);
    else if (ended[i].pid == job.control_pid) on_control_exit(&ended[i]);
  }
  check_progress();
}
