/*
 * The end of the job's lease: from then on another machine may run the same, so nothing of the job
 * may. Some time before, the job is stopped orderly; at the end it is killed.
 *
 * Two clocks count, boot time (which goes on in suspend) and wall time; the lease is over when
 * either says so. The agent moves the end while it lives. When it does not, two processes see to
 * the end: the keeper, which looks at the clocks after every wait and before it starts anything;
 * and the guard, for a keeper that cannot, because it was killed, was frozen with the job, or hangs
 * in a write to a dead disk. The guard is forked before the keeper joins a control group or collects
 * orphans, so it is none of the job's. It kills and does nothing else: when the time is over, or
 * when the keeper is gone and the job has not ended.
 */
#define _GNU_SOURCE
#include "keeper.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
  /* How often the guard looks; poll() counts no suspend and sees no clock that jumps. */
  GUARD_MS = 250,
  /* What is being killed may fork meanwhile: so often again, so long. */
  KILL_AGAIN_MS = 20,
  KILLS_MAX = 250,
};

/* Shared with the guard. Without a lease all is NULL and -1. */
struct ends {
  volatile uint64_t boot_ms, wall_ms;
  volatile bool job_ended;
};

static const struct spec *spec;
static struct ends *ends;
static int boot_timer = -1, wall_timer = -1;
static int guard_fd = -1; /* its other end closes with the keeper */
static bool stopped, killed;

/* Whether it is over, or will be after `ahead_ms`. */
static bool is_over(uint64_t ahead_ms) {
  return boot_ms() + ahead_ms >= ends->boot_ms || wall_ms() + ahead_ms >= ends->wall_ms;
}

bool lease_is_over(void) { return ends != NULL && is_over(0); }

/* ---- the guard */

_Noreturn static void guard(int keeper_fd, pid_t keeper) {
  prctl(PR_SET_NAME, "holon-lease");
  struct pollfd life = {.fd = keeper_fd, .events = POLLIN};
  bool alive = true;
  while (alive && !is_over(0)) alive = poll(&life, 1, GUARD_MS) <= 0;
  for (unsigned i = 0; i < KILLS_MAX && !ends->job_ended; i++) {
    unsigned found = cgroup_kill_paths(spec, keeper);
    /* Without the keeper, its number may be another's, and its groups soon another keeper's. */
    if (alive) procs_kill_descendants(keeper);
    else if (found == 0) break;
    alive = poll(&life, 1, KILL_AGAIN_MS) <= 0;
  }
  _exit(0);
}

/* Not our child: it outlives us, and we wait for all of ours. */
static int fork_guard(const struct nest *nest) {
  int life[2];
  if (pipe2(life, O_CLOEXEC) < 0) return errno;
  pid_t keeper = getpid();
  pid_t pid = fork();
  if (pid == 0) {
    close(life[1]);
    struct nest copy = *nest;
    jobdir_close(&copy);
    if (fork() == 0) guard(life[0], keeper);
    _exit(0);
  }
  int error = pid < 0 ? errno : 0;
  if (pid > 0) waitpid(pid, NULL, 0);
  close(life[0]);
  guard_fd = life[1];
  return error;
}

/* ---- the keeper */

static void arm(int fd, uint64_t at_ms) {
  /* Zero would disarm it. */
  if (at_ms == 0) at_ms = 1;
  struct itimerspec at = {.it_value = {.tv_sec = (time_t)(at_ms / 1000),
                                       .tv_nsec = (long)(at_ms % 1000) * 1000000}};
  timerfd_settime(fd, TFD_TIMER_ABSTIME, &at, NULL);
}

static uint64_t before(uint64_t end_ms) {
  uint64_t ahead = stopped ? 0 : spec->lease_grace_ms;
  return end_ms > ahead ? end_ms - ahead : 0;
}

static void arm_timers(void) {
  arm(boot_timer, before(ends->boot_ms));
  arm(wall_timer, before(ends->wall_ms));
}

int lease_open(const struct spec *the_spec, const struct nest *nest, char text[TEXT_BYTES_MAX]) {
  spec = the_spec;
  if (!spec->leased) return 0;
  void *page = mmap(NULL, sizeof *ends, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page != MAP_FAILED) {
    ends = page;
    ends->boot_ms = spec->lease_boot_ms;
    ends->wall_ms = spec->lease_wall_ms;
    /* As nice as the agent, also beside other sessions: both must be on time. */
    session_nice(getpriority(PRIO_PROCESS, 0));
    int error = fork_guard(nest);
    boot_timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    wall_timer = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    if (error != 0) errno = error;
    if (error == 0 && boot_timer >= 0 && wall_timer >= 0) return 0;
  }
  int error = errno;
  snprintf(text, TEXT_BYTES_MAX, "watch over the lease: %s", strerror(error));
  return error;
}

void lease_watch(void) {
  if (ends == NULL || wall_timer < 0) return;
  watch_add(boot_timer, WATCH_LEASE, 0, EPOLLIN | EPOLLET);
  watch_add(wall_timer, WATCH_LEASE, 0, EPOLLIN | EPOLLET);
  arm_timers();
}

void lease_check(void) {
  if (ends == NULL || killed) return;
  if (is_over(0)) {
    killed = true;
    job_kill_for_lease();
  } else if (!stopped && is_over(spec->lease_grace_ms)) {
    stopped = true;
    arm_timers();
    job_stop_for_lease();
  }
}

int lease_move(uint64_t boot_end_ms, uint64_t wall_end_ms) {
  if (ends == NULL) return EINVAL;
  if (killed || is_over(0)) return ESTALE;
  ends->boot_ms = boot_end_ms;
  ends->wall_ms = wall_end_ms;
  arm_timers();
  /* It may lie behind us. */
  loop_again();
  return 0;
}

void lease_close(void) {
  if (ends == NULL) return;
  ends->job_ended = true;
  if (guard_fd >= 0) close(guard_fd);
  guard_fd = -1;
}
