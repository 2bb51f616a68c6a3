/*
 * One keeper: set up after the nursery's fork, its loop, and its end.
 *
 * Nothing in the loop waits but epoll_wait(). Each turn: what the kernel reports, the job's output,
 * the clients, what time has come for; then the state is written, and only then it sleeps. All
 * signals are blocked for good and read from a descriptor, which also keeps SIGPIPE, SIGHUP and the
 * terminal's stop signals from doing anything.
 */
#define _GNU_SOURCE
#include "keeper.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const struct spec *spec;
static struct nest nest;
static int epoll_fd = -1;
static int signal_fd = -1;
static bool again;
static uint64_t give_up_at = NEVER;

static uint64_t clock_ms(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t now_ms(void) { return clock_ms(CLOCK_MONOTONIC); }
uint64_t wall_ms(void) { return clock_ms(CLOCK_REALTIME); }
uint64_t boot_ms(void) { return clock_ms(CLOCK_BOOTTIME); }

void loop_again(void) { again = true; }

int watch_add(int fd, enum watch kind, unsigned index, uint32_t events) {
  struct epoll_event event = {.events = events, .data.u64 = (uint64_t)kind << 32 | index};
  return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : errno;
}

static void on_signals(void) {
  struct signalfd_siginfo infos[8];
  ssize_t bytes;
  bool child = false;
  while ((bytes = read(signal_fd, infos, sizeof infos)) > 0) {
    for (size_t i = 0; i < (size_t)bytes / sizeof infos[0]; i++) {
      int signal = (int)infos[i].ssi_signo;
      if (signal == SIGCHLD) child = true;
      /* Somebody ends this process in an orderly way: so it does with its job. */
      else job_stop("signal", signal == SIGTERM ? "SIGTERM" : "SIGINT");
    }
    if ((size_t)bytes < sizeof infos) break;
  }
  if (child) job_reap();
}

static void dispatch(const struct epoll_event *event) {
  unsigned index = (unsigned)(event->data.u64 & UINT32_MAX);
  switch ((enum watch)(event->data.u64 >> 32)) {
    case WATCH_SIGNALS: on_signals(); break;
    case WATCH_LISTEN: clients_accept(); break;
    case WATCH_CLIENT: clients_event(index, event->events); break;
    case WATCH_OUTPUT: output_ready(index); break;
    case WATCH_STDIN: output_stdin_ready(); break;
    case WATCH_NOTIFY: notify_ready(); break;
    case WATCH_MAIN: job_main_gone(); break;
    /* It is looked at after every wait. */
    case WATCH_LEASE: break;
  }
}

static uint64_t earlier(uint64_t a, uint64_t b) { return a < b ? a : b; }

static int timeout_ms(void) {
  if (again) return 0;
  uint64_t at = earlier(earlier(job_deadline(), log_deadline()),
                        earlier(earlier(record_deadline(), output_deadline()),
                                earlier(notify_deadline(), give_up_at)));
  if (at == NEVER) return -1;
  uint64_t now = now_ms();
  if (at <= now) return 0;
  return at - now > 1000000 ? 1000000 : (int)(at - now);
}

/* One turn. */
static void turn(void) {
  struct epoll_event events[16];
  int timeout = timeout_ms();
  again = false;
  int count = epoll_wait(epoll_fd, events, 16, timeout);
  /* We may have slept for long, together with the machine or frozen: nothing else comes before. */
  lease_check();
  for (int i = 0; i < count; i++) dispatch(&events[i]);
  output_pump();
  clients_pump();
  uint64_t now = now_ms();
  job_tick(now);
  if (log_deadline() <= now) log_tick(now);
  if (notify_deadline() <= now) notify_ready();
  output_tick(now, count == 0);
  record_flush();
}

static void open_signals(void) {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  struct sigaction plain = {.sa_handler = SIG_DFL};
  sigaction(SIGCHLD, &plain, NULL);
  sigset_t wanted;
  sigemptyset(&wanted);
  sigaddset(&wanted, SIGCHLD);
  sigaddset(&wanted, SIGTERM);
  sigaddset(&wanted, SIGINT);
  signal_fd = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
  assert(signal_fd >= 0);
  watch_add(signal_fd, WATCH_SIGNALS, 0, EPOLLIN);
}

static void open_all(void) {
  char text[TEXT_BYTES_MAX] = "";
  umask(0);
  /* First, since the lease's guard must have none of what follows. */
  int error = lease_open(spec, &nest, text);
  /* For us and the job, not for the guard: that one must be on time. */
  if (spec->has_nice) setpriority(PRIO_PROCESS, 0, spec->nice);
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  assert(epoll_fd >= 0);
  open_signals();
  /* Orphans of the job come to us, so that none is lost. */
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  record_open(spec, nest.dir_fd);
  if (!spec->stream_output) log_open(spec, nest.log_dir_fd);
  job_open(spec);
  clients_open(spec, nest.listen_fd);
  lease_watch();
  if (error == 0) error = output_open(spec, text);
  if (error == 0) error = notify_open(spec, nest.dir_fd, text);
  if (error == 0) error = cgroup_open(spec, text);
  exec_open(spec);
  if (error != 0) job_fail(error, text);
}

/* A stream job's directory is gone before its client hears of the end; a log job's keeps the rest. */
static void remove_sockets(void) {
  unlinkat(nest.dir_fd, "sock", 0);
  notify_close(nest.dir_fd);
  if (spec->stream_output) rmdir(spec->dir);
}

static void say_farewell(void) {
  char text[TEXT_BYTES_MAX * 2];
  size_t count = job_end_text(text, sizeof text);
  lease_close();
  remove_sockets();
  clients_farewell(text, count);
  /* The client of a stream job may take its time: what it gets is all there is. */
  give_up_at = spec->stream_output ? NEVER : now_ms() + FAREWELL_MS;
  while (!clients_all_told() && now_ms() < give_up_at) turn();
  cgroup_close();
  give_up_at = now_ms() + FAREWELL_MS;
  while (!clients_all_gone() && now_ms() < give_up_at) turn();
}

_Noreturn void keeper_main(const struct spec *the_spec, const struct nest *the_nest) {
  spec = the_spec;
  nest = *the_nest;
  open_all();
  lease_check();
  if (!job_ended() && (!spec->stream_output || spec->at_once)) job_start();
  if (spec->stream_output) give_up_at = now_ms() + ATTACH_MS;
  record_flush();
  while (!job_ended()) {
    turn();
    if (clients_had_any()) give_up_at = NEVER;
    if (now_ms() >= give_up_at) job_stop("client-gone", "nobody attached");
  }
  output_job_ended();
  while (!output_finished() && now_ms() < give_up_at) {
    turn();
    if (clients_had_any()) give_up_at = NEVER;
  }
  record_flush();
  say_farewell();
  _exit(0);
}
