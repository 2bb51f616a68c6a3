/*
 * Starting a command: the parent's side clones, the child's side turns itself into the program.
 *
 * The child is cloned with CLONE_VFORK: the keeper sleeps until it has executed or failed, so both
 * know the outcome at once and no pipe is needed for it. Where no user must be looked up it shares
 * the keeper's memory (CLONE_VM) and nothing is copied. Names of users are resolved in a child with
 * memory of its own, because the C library then loads code and tables that no keeper should carry.
 * Invariant: until exec the child of a shared memory only makes system calls and writes `report` and
 * its own pid into its environment.
 */
#define _GNU_SOURCE
#include "keeper.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* From the kernel's headers, which may be older than the kernel. */
#define INTO_CGROUP 0x200000000ull
#define CLONE3_NUMBER 435
#define CLOSE_RANGE_NUMBER 436
struct clone_request {
  uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
      set_tid_size, cgroup;
};

/* systemd's exit codes of a command that could not be executed, by what failed. */
enum failure {
  FAILED_CHDIR = 200,
  FAILED_EXEC = 203,
  FAILED_STDIN = 208,
  FAILED_GROUP = 216,
  FAILED_USER = 217,
  FAILED_CGROUP = 219,
  FAILED_SESSION = 220,
  FAILED_TERMINAL = 234,
};

struct report {
  int error;
  int failure;
};

/* Everything the child needs, made before the clone. */
struct child {
  const struct spawn *spawn;
  char **env;
  pid_t keeper;
  bool join_cgroup;
  char *own_pid; /* where its environment wants its pid, or NULL */
  struct report *report;
};

static const struct spec *spec;
static struct report own_report;
static struct report *shared_report; /* with children that have memory of their own */
static int oom_score = INT32_MIN; /* what the job gets; INT32_MIN: what we have */
enum { CHILD_STACK_BYTES = 32 << 10 };

static _Alignas(16) char child_stack[CHILD_STACK_BYTES];

static bool write_oom_score(int score) {
  char text[16];
  int length = snprintf(text, sizeof text, "%d", score);
  int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  bool written = write(fd, text, (size_t)length) == length;
  close(fd);
  return written;
}

/* In a v1 memory group the keeper is a candidate too, small but, once the job is killed and not yet
   gone, perhaps the largest; and its death would be the job's. Lowering our score needs a
   privilege; without it what we start is raised, as systemd does for its users' services. */
static void protect_from_oom(void) {
  char text[16] = "";
  int fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  ssize_t bytes = read(fd, text, sizeof text - 1);
  close(fd);
  if (bytes <= 0) return;
  int score = atoi(text);
  if (write_oom_score(-1000)) oom_score = score;
  else oom_score = score > 900 ? 1000 : score + 100;
}

void exec_open(const struct spec *the_spec) {
  spec = the_spec;
  if (cgroup_is_shared()) protect_from_oom();
}

/* ---- the child */

_Noreturn static void fail(const struct child *child, enum failure failure, int error) {
  child->report->failure = failure;
  child->report->error = error == 0 ? EIO : error;
  _exit(failure);
}

static bool switches_user(const struct command *command) {
  return (spec->user != NULL || spec->group != NULL) && !command->privileged;
}

/* Whether the child has to ask the user database. */
static bool needs_lookup(const struct command *command) {
  return switches_user(command) || spec->login_env || strncmp(spec->cwd, "~", 1) == 0 ||
         strncmp(spec->cwd, "-~", 2) == 0;
}

static bool parse_id(const char *text, uint32_t *id) {
  char *end;
  if (*text < '0' || *text > '9') return false;
  unsigned long value = strtoul(text, &end, 10);
  *id = (uint32_t)value;
  return *end == '\0' && value < UINT32_MAX;
}

static bool env_has(char **env, const char *name) {
  size_t length = strlen(name);
  for (; *env != NULL; env++) {
    if (strncmp(*env, name, length) == 0 && (*env)[length] == '=') return true;
  }
  return false;
}

/* Only in a child with memory of its own. The list has room for what the keeper adds. */
static void env_default(char **env, const char *name, const char *value) {
  if (value == NULL || env_has(env, name)) return;
  size_t bytes = strlen(name) + strlen(value) + 2;
  char *entry = malloc(bytes);
  if (entry == NULL) return;
  snprintf(entry, bytes, "%s=%s", name, value);
  while (*env != NULL) env++;
  env[0] = entry;
  env[1] = NULL;
}

/* Changes the user, gives the login's variables, returns the home directory or NULL. */
static const char *become_user(const struct child *child) {
  const struct command *command = child->spawn->command;
  const char *name = command->privileged ? NULL : spec->user;
  uid_t uid = geteuid();
  gid_t gid = getegid();
  bool numeric = name != NULL && parse_id(name, &uid);
  errno = 0;
  struct passwd *user = name != NULL && !numeric ? getpwnam(name) : getpwuid(uid);
  if (name != NULL && user == NULL && !numeric) fail(child, FAILED_USER, errno ? errno : ESRCH);
  if (user != NULL) uid = user->pw_uid;
  /* A number without an entry has no primary group: the group of the same number, as is usual. */
  if (name != NULL) gid = user != NULL ? user->pw_gid : (gid_t)uid;
  if (spec->group != NULL && !command->privileged && !parse_id(spec->group, &gid)) {
    errno = 0;
    struct group *group = getgrnam(spec->group);
    if (group == NULL) fail(child, FAILED_GROUP, errno ? errno : ESRCH);
    gid = group->gr_gid;
  }
  if (spec->login_env && user != NULL) {
    env_default(child->env, "HOME", user->pw_dir);
    env_default(child->env, "USER", user->pw_name);
    env_default(child->env, "LOGNAME", user->pw_name);
    env_default(child->env, "SHELL", user->pw_shell[0] == '\0' ? "/bin/sh" : user->pw_shell);
  }
  const char *home = user == NULL ? NULL : strdup(user->pw_dir);
  if (!switches_user(command)) return home;
  bool is_root = geteuid() == 0;
  if (is_root) {
    /* So that the job can open its own /dev/stdout and its terminal. */
    for (int fd = 1; fd <= 2; fd++) {
      struct stat stat;
      bool own = fstat(fd, &stat) == 0 && (S_ISFIFO(stat.st_mode) || child->spawn->tty >= 0);
      if (own) (void)!fchown(fd, uid, (gid_t)-1);
    }
    int groups = user != NULL ? initgroups(user->pw_name, gid)
                 : name != NULL ? setgroups(1, &gid) : 0;
    if (groups < 0) fail(child, FAILED_GROUP, errno);
  }
  /* An ordinary user's keeper can only stay who it is. */
  if (!is_root && uid == geteuid() && spec->group == NULL) return home;
  if (gid != getegid() && setresgid(gid, gid, gid) < 0) fail(child, FAILED_GROUP, errno);
  if (uid != geteuid() && setresuid(uid, uid, uid) < 0) fail(child, FAILED_USER, errno);
  return home;
}

static void change_directory(const struct child *child, const char *home) {
  const char *path = spec->cwd;
  bool optional = path[0] == '-';
  if (optional) path++;
  if (strcmp(path, "~") == 0) path = home == NULL ? "/" : home;
  if (strcmp(path, "/") == 0 || chdir(path) == 0) return;
  if (!optional) fail(child, FAILED_CHDIR, errno);
}

static void take_stdio(const struct child *child) {
  const struct spawn *spawn = child->spawn;
  int wanted[3] = {spawn->in, spawn->out, spawn->err};
  for (int fd = 0; fd <= 2; fd++) {
    if (spawn->tty >= 0) wanted[fd] = spawn->tty;
    /* The keeper's own three are /dev/null and stay for what is not given. */
    if (wanted[fd] >= 0 && dup2(wanted[fd], fd) < 0) fail(child, FAILED_STDIN, errno);
  }
}

/* A group of its own. A job with a log is a session too, as a service is; one with a terminal or a
   client stays in the keeper's session, where its group is not orphaned and so can be stopped. */
static void take_session(const struct child *child) {
  const struct spawn *spawn = child->spawn;
  if (spawn->tty < 0 && !spec->stream_output) {
    if (setsid() < 0) fail(child, FAILED_SESSION, errno);
    if (spec->has_nice) session_nice(spec->nice);
    return;
  }
  if (setpgid(0, 0) < 0) fail(child, FAILED_SESSION, errno);
  if (spawn->tty < 0) return;
  /* All signals are still blocked here, so that SIGTTOU does not stop us. */
  pid_t group = getpid();
  if (ioctl(spawn->tty, TIOCSPGRP, &group) < 0) fail(child, FAILED_TERMINAL, errno);
}

enum { PID_DIGITS = 10 };

static void write_own_pid(char *to) {
  pid_t pid = getpid();
  char digits[PID_DIGITS];
  int count = 0;
  for (; pid > 0; pid /= 10) digits[count++] = (char)('0' + pid % 10);
  while (count > 0) *to++ = digits[--count];
  *to = '\0';
}

static int child_main(void *argument) {
  const struct child *child = argument;
  const struct command *command = child->spawn->command;
  int error = child->join_cgroup ? cgroup_join_in_child() : 0;
  if (error != 0) fail(child, FAILED_CGROUP, error);
  take_session(child);
  take_stdio(child);
  umask(spec->umask);
  if (oom_score != INT32_MIN) write_oom_score(oom_score);
  const char *home = needs_lookup(command) ? become_user(child) : NULL;
  change_directory(child, home);
  /* After the user changed, which clears it. The keeper may have died before. */
  if (spec->kill_mode != KILL_NONE) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != child->keeper) _exit(FAILED_EXEC);
  }
  syscall(CLOSE_RANGE_NUMBER, 3u, ~0u, 0u);
  if (child->own_pid != NULL) write_own_pid(child->own_pid);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  execve(command->path, command->argv, child->env);
  fail(child, FAILED_EXEC, errno);
}

/* ---- the keeper's side */

#if defined(__x86_64__) && !defined(__TINYC__) && !defined(__SANITIZE_ADDRESS__)
#define CAN_SHARE_MEMORY 1
/* The child starts on its own stack in `run` and never returns into this frame. */
static long clone_and_run(struct clone_request *request, int (*run)(void *), void *argument) {
  long result;
  __asm__ volatile(
      "syscall\n\t"
      "testq %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      "movq %[argument], %%rdi\n\t"
      "andq $-16, %%rsp\n\t"
      "callq *%[run]\n\t"
      "movl %%eax, %%edi\n\t"
      "movl $60, %%eax\n\t"
      "syscall\n\t"
      "1:"
      : "=a"(result)
      : "a"((long)CLONE3_NUMBER), "D"(request), "S"(sizeof *request), [run] "r"(run),
        [argument] "r"(argument)
      : "rcx", "r11", "memory", "cc");
  if (result >= 0) return result;
  errno = (int)-result;
  return -1;
}
#elif defined(__aarch64__) && !defined(__TINYC__) && !defined(__SANITIZE_ADDRESS__)
#define CAN_SHARE_MEMORY 1
static long clone_and_run(struct clone_request *request, int (*run)(void *), void *argument) {
  register long x8 __asm__("x8") = CLONE3_NUMBER;
  register long x0 __asm__("x0") = (long)request;
  register long x1 __asm__("x1") = (long)sizeof *request;
  __asm__ volatile(
      "svc 0\n\t"
      "cbnz x0, 1f\n\t"
      "mov x0, %[argument]\n\t"
      "blr %[run]\n\t"
      "mov x8, #93\n\t"
      "svc 0\n\t"
      "1:"
      : "+r"(x0), "+r"(x8)
      : "r"(x1), [run] "r"(run), [argument] "r"(argument)
      : "memory", "cc", "x30");
  if (x0 >= 0) return x0;
  errno = (int)-x0;
  return -1;
}
#else
#define CAN_SHARE_MEMORY 0
/* With memory of its own the child may go on in this very frame. */
static long clone_and_run(struct clone_request *request, int (*run)(void *), void *argument) {
  long result = syscall(CLONE3_NUMBER, request, sizeof *request);
  if (result == 0) _exit(run(argument));
  return result;
}
#endif

/* For kernels and sandboxes without clone3. */
static long clone_old(unsigned long flags, int (*run)(void *), void *argument) {
  long result = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
  if (result == 0) _exit(run(argument));
  return result;
}

/* Where the child writes what failed: memory that it shares with us either way. */
static struct report *open_report(bool share_memory) {
  if (share_memory && CAN_SHARE_MEMORY) return &own_report;
  if (shared_report != NULL) return shared_report;
  void *page = mmap(NULL, sizeof *shared_report, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page != MAP_FAILED) shared_report = page;
  return shared_report;
}

static pid_t clone_child(struct child *child, bool share_memory) {
  struct clone_request request = {.flags = CLONE_VFORK, .exit_signal = SIGCHLD};
  child->report = open_report(share_memory);
  if (child->report == NULL) return -1;
  child->report->error = 0;
  if (share_memory && CAN_SHARE_MEMORY) {
    request.flags |= CLONE_VM;
    request.stack = (uint64_t)(uintptr_t)child_stack;
    request.stack_size = CHILD_STACK_BYTES;
  }
  int group = cgroup_clone_fd();
  if (group == CGROUP_LOST) {
    errno = ENOENT;
    return -1;
  }
  if (group >= 0) {
    request.flags |= INTO_CGROUP;
    request.cgroup = (uint64_t)group;
  }
  long pid = clone_and_run(&request, child_main, child);
  if (pid < 0 && (errno == ENODEV || errno == ENOENT) && cgroup_reopen()) {
    request.cgroup = (uint64_t)cgroup_clone_fd();
    pid = clone_and_run(&request, child_main, child);
  }
  if (pid >= 0 || (errno != ENOSYS && errno != EINVAL && errno != E2BIG)) return (pid_t)pid;
  child->join_cgroup = group >= 0;
  child->report = open_report(false);
  if (child->report == NULL) return -1;
  child->report->error = 0;
  return (pid_t)clone_old(CLONE_VFORK, child_main, child);
}

static char *env_entry(char *buffer, size_t bytes, const char *name, const char *value) {
  snprintf(buffer, bytes, "%s=%s", name, value);
  return buffer;
}

/* sd_notify(3) and sd_watchdog_enabled(3). Returns where the watchdog's pid is to be written. */
static char *add_notify_env(const struct spawn *spawn, char ***next) {
  static char socket[160], watchdog_us[48];
  static char watchdog_pid[16 + PID_DIGITS] = "WATCHDOG_PID=";
  if (spawn->notify_socket == NULL) return NULL;
  *(*next)++ = env_entry(socket, sizeof socket, "NOTIFY_SOCKET", spawn->notify_socket);
  if (spawn->watchdog_ms == 0) return NULL;
  snprintf(watchdog_us, sizeof watchdog_us, "WATCHDOG_USEC=%llu",
           (unsigned long long)spawn->watchdog_ms * 1000);
  *(*next)++ = watchdog_us;
  *(*next)++ = watchdog_pid;
  return strchr(watchdog_pid, '=') + 1;
}

/* Adds the keeper's variables behind the spec's, in buffers that are written anew each time. */
static char **build_env(const struct spawn *spawn, char **own_pid) {
  static char job[PATH_BYTES_MAX + 16], main_pid[32], service_result[64], exit_code[64], exit_status[64];
  char **next = spec->env + spec->env_count;
  *own_pid = add_notify_env(spawn, &next);
  *next++ = env_entry(job, sizeof job, "HOLON_JOB", spec->dir);
  if (spawn->main_pid > 0) {
    snprintf(main_pid, sizeof main_pid, "MAINPID=%d", (int)spawn->main_pid);
    *next++ = main_pid;
  }
  if (spawn->service_result != NULL) {
    *next++ = env_entry(service_result, sizeof service_result, "SERVICE_RESULT",
                        spawn->service_result);
  }
  if (spawn->exit_code != NULL) {
    *next++ = env_entry(exit_code, sizeof exit_code, "EXIT_CODE", spawn->exit_code);
    *next++ = env_entry(exit_status, sizeof exit_status, "EXIT_STATUS", spawn->exit_status);
  }
  *next = NULL;
  return spec->env;
}

static void describe(struct spawn *spawn, const struct report *report) {
  const char *error = strerror(report->error);
  switch (report->failure) {
    case FAILED_CHDIR:
      snprintf(spawn->text, TEXT_BYTES_MAX, "change to directory %s: %s", spec->cwd, error);
      return;
    case FAILED_USER:
      snprintf(spawn->text, TEXT_BYTES_MAX, "become user %s: %s", spec->user, error);
      return;
    case FAILED_GROUP:
      snprintf(spawn->text, TEXT_BYTES_MAX, "take the groups of %s: %s",
               spec->group != NULL ? spec->group : spec->user, error);
      return;
    case FAILED_CGROUP:
      snprintf(spawn->text, TEXT_BYTES_MAX, "join the control group: %s", error);
      return;
    case FAILED_SESSION:
    case FAILED_TERMINAL:
    case FAILED_STDIN:
      snprintf(spawn->text, TEXT_BYTES_MAX, "set up stdio: %s", error);
      return;
    default: snprintf(spawn->text, TEXT_BYTES_MAX, "%s: %s", spawn->command->path, error);
  }
}

pid_t exec_spawn(struct spawn *spawn) {
  struct child child = {
      .spawn = spawn,
      .keeper = getpid(),
  };
  child.env = build_env(spawn, &child.own_pid);
  spawn->error = 0;
  pid_t pid = clone_child(&child, !needs_lookup(spawn->command));
  if (pid < 0) {
    int error = errno;
    snprintf(spawn->text, TEXT_BYTES_MAX, "fork: %s", strerror(error));
    errno = error;
    return -1;
  }
  spawn->error = child.report->error;
  if (spawn->error != 0) describe(spawn, child.report);
  return pid;
}
