/*
 * The rules of systemd.service(5) that are pure functions: which exit counts as what result, and
 * which result is restarted. Kept apart so that they can be read beside the manual's tables.
 */
#include "keeper.h"

#include <signal.h>
#include <sys/wait.h>

const char *const phase_names[PHASE_COUNT] = {
    "start-pre", "start",        "start-post",   "running",   "reload-notify", "exited",
    "stop",      "stop-sigterm", "stop-sigkill", "stop-post", "final-sigkill", "auto-restart",
    "dead",      "failed",
};

const char *const result_names[RESULT_COUNT] = {
    "success",  "exit-code", "signal",   "core-dump", "timeout", "start-limit-hit",
    "oom-kill", "resources", "protocol", "watchdog",  "lease",
};

/* A daemon that ends by one of these was asked to end. For other commands only exit 0 is clean. */
static bool is_clean_signal(int signal) {
  return signal == SIGHUP || signal == SIGINT || signal == SIGTERM || signal == SIGPIPE;
}

enum result result_of(int status, bool daemon) {
  assert(WIFEXITED(status) || WIFSIGNALED(status));
  if (WIFEXITED(status)) return WEXITSTATUS(status) == 0 ? RESULT_SUCCESS : RESULT_EXIT_CODE;
  if (WCOREDUMP(status)) return RESULT_CORE_DUMP;
  if (daemon && is_clean_signal(WTERMSIG(status))) return RESULT_SUCCESS;
  return RESULT_SIGNAL;
}

bool should_restart(enum restart restart, enum result result) {
  /* Too many starts end the starting, whatever Restart= says. */
  if (result == RESULT_START_LIMIT_HIT) return false;
  switch (restart) {
    case RESTART_NO: return false;
    case RESTART_ALWAYS: return true;
    case RESTART_ON_SUCCESS: return result == RESULT_SUCCESS;
    case RESTART_ON_FAILURE: return result != RESULT_SUCCESS;
    case RESTART_ON_ABNORMAL: return result != RESULT_SUCCESS && result != RESULT_EXIT_CODE;
    case RESTART_ON_ABORT: return result == RESULT_SIGNAL || result == RESULT_CORE_DUMP;
    case RESTART_ON_WATCHDOG: return result == RESULT_WATCHDOG;
  }
  assert(!"a restart policy without a rule");
  return false;
}
