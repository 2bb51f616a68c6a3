/*
 * The job's spec: NUL-ended `key=value` strings from the agent, checked and turned into a struct.
 *
 * The agent is trusted to mean well but not to be of the same version: a key that is not known, or
 * a value that is not understood, refuses the whole job, since running half of a spec is worse.
 */
#include "keeper.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct choice {
  const char *name;
  int value;
};

static const struct choice types[] = {
    {"simple", TYPE_SIMPLE}, {"exec", TYPE_EXEC}, {"oneshot", TYPE_ONESHOT}, {"notify", TYPE_NOTIFY},
    {NULL, 0}};
static const struct choice restarts[] = {
    {"no", RESTART_NO},
    {"on-success", RESTART_ON_SUCCESS},
    {"on-failure", RESTART_ON_FAILURE},
    {"on-abnormal", RESTART_ON_ABNORMAL},
    {"on-abort", RESTART_ON_ABORT},
    {"on-watchdog", RESTART_ON_WATCHDOG},
    {"always", RESTART_ALWAYS},
    {NULL, 0}};
static const struct choice kill_modes[] = {{"control-group", KILL_CONTROL_GROUP},
                                           {"mixed", KILL_MIXED},
                                           {"process", KILL_PROCESS},
                                           {"none", KILL_NONE},
                                           {NULL, 0}};
static const struct choice notifies[] = {
    {"none", NOTIFY_NONE}, {"main", NOTIFY_MAIN}, {"exec", NOTIFY_EXEC}, {"all", NOTIFY_ALL},
    {NULL, 0}};
static const struct choice booleans[] = {{"0", 0}, {"1", 1}, {NULL, 0}};
static const struct choice outputs[] = {{"log", 0}, {"stream", 1}, {NULL, 0}};
static const struct choice inputs[] = {{"null", 0}, {"stream", 1}, {NULL, 0}};
static const struct choice phases[] = {{"start-pre", PHASE_START_PRE},
                                       {"start", PHASE_START},
                                       {"start-post", PHASE_START_POST},
                                       {"stop", PHASE_STOP},
                                       {"stop-post", PHASE_STOP_POST},
                                       {NULL, 0}};

static bool choose(const struct choice *choices, const char *value, int *to) {
  for (; choices->name != NULL; choices++) {
    if (strcmp(choices->name, value) != 0) continue;
    *to = choices->value;
    return true;
  }
  return false;
}

static bool number(const char *value, unsigned base, uint64_t max, uint64_t *to) {
  uint64_t sum = 0;
  if (*value == '\0') return false;
  for (; *value != '\0'; value++) {
    if (*value < '0' || *value >= (char)('0' + base)) return false;
    sum = sum * base + (uint64_t)(*value - '0');
    if (sum > max) return false;
  }
  *to = sum;
  return true;
}

/* "ROWS COLS" */
static bool window(char *value, struct spec *spec) {
  uint64_t rows, columns;
  char *space = strchr(value, ' ');
  if (space == NULL) return false;
  *space = '\0';
  if (!number(value, 10, UINT16_MAX, &rows)) return false;
  if (!number(space + 1, 10, UINT16_MAX, &columns)) return false;
  spec->tty = true;
  spec->rows = (uint16_t)rows;
  spec->columns = (uint16_t)columns;
  return true;
}

/* "PHASE FLAGS PATH"; the path may contain spaces. */
static bool command(char *value, struct spec *spec) {
  if (spec->command_count == COMMANDS_MAX) return false;
  struct command *command = &spec->commands[spec->command_count];
  char *flags = strchr(value, ' ');
  if (flags == NULL) return false;
  *flags++ = '\0';
  char *path = strchr(flags, ' ');
  if (path == NULL || path[1] == '\0') return false;
  *path++ = '\0';
  int phase;
  if (!choose(phases, value, &phase)) return false;
  memset(command, 0, sizeof *command);
  if (strcmp(flags, "-") != 0) {
    if (*flags == '\0') return false;
    for (; *flags != '\0'; flags++) {
      if (*flags == 'i') command->ignore_failure = true;
      else if (*flags == 'p') command->privileged = true;
      else return false;
    }
  }
  command->phase = (enum phase)phase;
  command->path = path;
  spec->command_count++;
  return true;
}

static bool cgroup(const char *value, struct spec *spec) {
  if (spec->cgroup_count == CGROUPS_MAX || value[0] != '/') return false;
  spec->cgroups[spec->cgroup_count++] = value;
  return true;
}

static bool text(const char *value, const char **to) {
  *to = value;
  return true;
}

static bool is_one_word(const char *value) {
  size_t length = strlen(value);
  for (const char *at = value; *at != '\0'; at++) {
    if ((unsigned char)*at <= ' ' || *at == 0x7f) return false;
  }
  return length > 0 && length <= 255;
}

static bool absolute(const char *value, const char **to) {
  *to = value;
  return value[0] == '/' && strlen(value) < PATH_BYTES_MAX;
}

static bool flag(const char *value, bool *to) {
  int chosen;
  if (!choose(booleans, value, &chosen)) return false;
  *to = chosen != 0;
  return true;
}

/* Output and stdin: whether it is "stream". */
static bool streamed(const struct choice *choices, const char *value, bool *to) {
  int chosen;
  if (!choose(choices, value, &chosen)) return false;
  *to = chosen != 0;
  return true;
}

static bool milliseconds(const char *value, uint64_t *to) {
  /* A hundred years: far from overflowing when added to a clock. */
  return number(value, 10, 3155760000000ull, to);
}

/* "BOOTMS WALLMS GRACEMS" */
static bool lease(char *value, struct spec *spec) {
  char *wall = strchr(value, ' ');
  char *grace = wall == NULL ? NULL : strchr(wall + 1, ' ');
  if (grace == NULL) return false;
  *wall++ = *grace++ = '\0';
  spec->leased = true;
  /* Any moment that a double holds exactly: they are compared, not added to a clock. */
  return number(value, 10, 1ull << 53, &spec->lease_boot_ms) &&
         number(wall, 10, 1ull << 53, &spec->lease_wall_ms) &&
         milliseconds(grace, &spec->lease_grace_ms);
}

enum verdict { TAKEN, BAD_VALUE, UNKNOWN_KEY };

#define TAKE(expression) ((expression) ? TAKEN : BAD_VALUE)

static enum verdict take_timing(struct spec *spec, const char *key, const char *value) {
  if (!strcmp(key, "restart-ms")) return TAKE(milliseconds(value, &spec->restart_ms));
  if (!strcmp(key, "start-limit")) return TAKE(number(value, 10, 1000000, &spec->start_limit));
  if (!strcmp(key, "start-limit-ms")) return TAKE(milliseconds(value, &spec->start_limit_ms));
  if (!strcmp(key, "timeout-start-ms")) return TAKE(milliseconds(value, &spec->timeout_start_ms));
  if (!strcmp(key, "timeout-stop-ms")) return TAKE(milliseconds(value, &spec->timeout_stop_ms));
  if (!strcmp(key, "runtime-max-ms")) return TAKE(milliseconds(value, &spec->runtime_max_ms));
  if (!strcmp(key, "watchdog-ms")) return TAKE(milliseconds(value, &spec->watchdog_ms));
  return UNKNOWN_KEY;
}

static enum verdict take_choice(struct spec *spec, const char *key, const char *value) {
  int chosen = 0;
  uint64_t wide = 0;
  bool good = true;
  if (!strcmp(key, "type")) {
    good = choose(types, value, &chosen);
    spec->type = (enum job_type)chosen;
  } else if (!strcmp(key, "restart")) {
    good = choose(restarts, value, &chosen);
    spec->restart = (enum restart)chosen;
  } else if (!strcmp(key, "kill-mode")) {
    good = choose(kill_modes, value, &chosen);
    spec->kill_mode = (enum kill_mode)chosen;
  } else if (!strcmp(key, "notify")) {
    good = choose(notifies, value, &chosen);
    spec->notify = (enum notify)chosen;
  } else if (!strcmp(key, "kill-signal") || !strcmp(key, "watchdog-signal")) {
    good = number(value, 10, 64, &wide) && wide > 0;
    *(key[0] == 'k' ? &spec->kill_signal : &spec->watchdog_signal) = (int)wide;
  } else if (!strcmp(key, "umask")) {
    good = number(value, 8, 07777, &wide);
    spec->umask = (mode_t)wide;
  } else if (!strcmp(key, "nice")) {
    bool negative = *value == '-';
    good = number(value + negative, 10, negative ? 20 : 19, &wide);
    spec->nice = negative ? -(int)wide : (int)wide;
    spec->has_nice = true;
  } else if (!strcmp(key, "owner")) {
    good = number(value, 10, UINT32_MAX - 1, &wide);
    spec->owner = (uid_t)wide;
  } else {
    return take_timing(spec, key, value);
  }
  return good ? TAKEN : BAD_VALUE;
}

static enum verdict take(struct spec *spec, const char *key, char *value) {
  if (!strcmp(key, "id")) return TAKE(text(value, &spec->id) && is_one_word(value));
  if (!strcmp(key, "dir")) return TAKE(absolute(value, &spec->dir));
  if (!strcmp(key, "output")) return TAKE(streamed(outputs, value, &spec->stream_output));
  if (!strcmp(key, "stdin")) return TAKE(streamed(inputs, value, &spec->stream_input));
  if (!strcmp(key, "tty")) return TAKE(window(value, spec));
  if (!strcmp(key, "log-dir")) return TAKE(absolute(value, &spec->log_dir));
  if (!strcmp(key, "log-file-bytes")) {
    return TAKE(number(value, 10, 1ull << 40, &spec->log_file_bytes) && spec->log_file_bytes > 0);
  }
  if (!strcmp(key, "log-files")) {
    return TAKE(number(value, 10, LOG_FILES_MAX, &spec->log_files) && spec->log_files > 0);
  }
  if (!strcmp(key, "exec")) return TAKE(command(value, spec));
  if (!strcmp(key, "cwd")) return TAKE(text(value, &spec->cwd) && *value != '\0');
  if (!strcmp(key, "user")) return TAKE(text(value, &spec->user) && *value != '\0');
  if (!strcmp(key, "group")) return TAKE(text(value, &spec->group) && *value != '\0');
  if (!strcmp(key, "at-once")) return TAKE(flag(value, &spec->at_once));
  if (!strcmp(key, "login-env")) return TAKE(flag(value, &spec->login_env));
  if (!strcmp(key, "remain")) return TAKE(flag(value, &spec->remain));
  if (!strcmp(key, "send-sigkill")) return TAKE(flag(value, &spec->send_sigkill));
  if (!strcmp(key, "cgroup")) return TAKE(cgroup(value, spec));
  if (!strcmp(key, "lease")) return TAKE(lease(value, spec));
  if (!strcmp(key, "reason")) return TAKE(text(value, &spec->reason));
  return take_choice(spec, key, value);
}

static void set_defaults(struct spec *spec) {
  memset(spec, 0, sizeof *spec);
  spec->owner = geteuid();
  spec->cwd = "/";
  spec->reason = "";
  spec->send_sigkill = true;
  spec->kill_signal = SIGTERM;
  spec->watchdog_signal = SIGABRT;
  spec->umask = 0022;
  spec->log_file_bytes = 8388608;
  spec->log_files = 4;
  spec->restart_ms = 100;
  spec->start_limit = 5;
  spec->start_limit_ms = 10000;
  spec->timeout_start_ms = 90000;
  spec->timeout_stop_ms = 90000;
}

/* What only the whole shows; NULL when all is well. */
static const char *complaint(const struct spec *spec) {
  unsigned starts = 0;
  for (unsigned i = 0; i < spec->command_count; i++) {
    if (spec->commands[i].phase == PHASE_START) starts++;
  }
  if (spec->id == NULL) return "the spec has no id";
  if (spec->dir == NULL) return "the spec has no dir";
  if (spec->type != TYPE_ONESHOT && starts != 1) return "the spec needs exactly one start command";
  if (spec->type == TYPE_ONESHOT && spec->command_count == 0) return "the spec has no command";
  if (spec->notify == NOTIFY_NONE && (spec->type == TYPE_NOTIFY || spec->watchdog_ms > 0)) {
    return "type=notify and watchdog-ms need notify=main, exec or all";
  }
  bool ends_all = spec->kill_mode == KILL_CONTROL_GROUP || spec->kill_mode == KILL_MIXED;
  if (spec->leased && !(ends_all && spec->send_sigkill)) {
    return "a lease needs kill-mode=control-group or mixed, and send-sigkill=1";
  }
  return NULL;
}

/* Copies the pointers of all arguments and variables into one block, each list ended by NULL. */
static int collect_pointers(struct spec *spec, const char *payload_end) {
  size_t strings = 0;
  for (char *at = spec->payload; at < payload_end; at += strlen(at) + 1) strings++;
  spec->pointers = calloc(strings + COMMANDS_MAX * 2 + ENV_ADDED_MAX + 1, sizeof(char *));
  return spec->pointers == NULL ? ENOMEM : 0;
}

struct filling {
  char **next_argument; /* grows up, argument lists in the order of their commands */
  char **next_variable;
};

static int take_string(struct spec *spec, struct filling *fill, char *string, char *message) {
  char *value = strchr(string, '=');
  if (value == NULL) {
    snprintf(message, TEXT_BYTES_MAX, "\"%.60s\" is no key=value", string);
    return EINVAL;
  }
  *value++ = '\0';
  if (!strcmp(string, "arg") && spec->command_count > 0) {
    *fill->next_argument++ = value;
    *fill->next_argument = NULL;
    return 0;
  }
  if (!strcmp(string, "env") && strchr(value, '=') != NULL) {
    /* The keeper's own names the job; a second would only confuse who looks for it. */
    if (strncmp(value, "HOLON_JOB=", 10) != 0) {
      *fill->next_variable++ = value;
      spec->env_count++;
    }
    return 0;
  }
  unsigned commands = spec->command_count;
  switch (take(spec, string, value)) {
    case TAKEN: break;
    case BAD_VALUE:
      snprintf(message, TEXT_BYTES_MAX, "bad value \"%.200s\" of key \"%s\"", value, string);
      return EINVAL;
    case UNKNOWN_KEY:
      snprintf(message, TEXT_BYTES_MAX, "unknown key \"%.100s\"", string);
      return EINVAL;
  }
  if (spec->command_count > commands) {
    /* One slot ends the list before, one stays for an argv[0] that the spec does not give. */
    fill->next_argument += 2;
    spec->commands[commands].argv = fill->next_argument;
  }
  return 0;
}

int spec_parse(struct spec *spec, char *payload, size_t bytes, char message[TEXT_BYTES_MAX]) {
  set_defaults(spec);
  if (bytes == 0 || payload[bytes - 1] != '\0') {
    snprintf(message, TEXT_BYTES_MAX, "the spec does not end with a NUL");
    return EINVAL;
  }
  spec->payload = payload;
  const char *end = payload + bytes;
  size_t variables = 0;
  for (char *at = payload; at < end; at += strlen(at) + 1) {
    if (strncmp(at, "env=", 4) == 0) variables++;
    /* Known before anything can fail, so that the refusal names the job. */
    if (strncmp(at, "id=", 3) == 0) spec->id = at + 3;
  }
  if (collect_pointers(spec, end) != 0) {
    snprintf(message, TEXT_BYTES_MAX, "no memory for the spec");
    return ENOMEM;
  }
  spec->env = spec->pointers;
  struct filling fill = {
      .next_variable = spec->env,
      .next_argument = spec->pointers + variables + ENV_ADDED_MAX,
  };
  int error = 0;
  for (char *at = payload; at < end && error == 0;) {
    size_t length = strlen(at);
    error = take_string(spec, &fill, at, message);
    at += length + 1;
  }
  const char *wrong = error == 0 ? complaint(spec) : NULL;
  if (wrong != NULL) {
    snprintf(message, TEXT_BYTES_MAX, "%s", wrong);
    error = EINVAL;
  }
  if (error != 0) {
    free(spec->pointers);
    spec->pointers = NULL;
    return error;
  }
  for (unsigned i = 0; i < spec->command_count; i++) {
    struct command *one = &spec->commands[i];
    /* An argument list is never empty: programs may rely on argv[0]. The slot is there. */
    if (one->argv[0] == NULL) one->argv[0] = (char *)one->path;
  }
  spec->payload_bytes = bytes;
  return 0;
}

void spec_free(struct spec *spec) {
  free(spec->pointers);
  munmap(spec->payload, spec->payload_bytes);
  spec->pointers = NULL;
  spec->payload = NULL;
}
