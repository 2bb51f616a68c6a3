/*
 * The job's one state, shared by the four files that make it up: job.c (the phases), reap.c (the
 * ends of processes), request.c (what is asked from outside, and the telling of the state), told.c
 * (what the job's processes say).
 */
#ifndef HOLON_KEEPER_JOB_H
#define HOLON_KEEPER_JOB_H

#include "keeper.h"

/* How a process ended. */
struct ending {
  bool known;
  pid_t pid;
  int status;
  struct rusage usage;
};

struct job {
  const struct spec *spec;
  enum phase phase;
  uint64_t since_wall, started_wall;
  bool begun, ended;
  pid_t main_pid, control_pid;
  unsigned long long main_ticks;
  unsigned main_index, control_index;
  bool main_stopped;
  bool group_empty;
  enum result result;
  bool no_restart; /* someone asked for the end */
  bool stops_itself; /* it said so; nobody was signalled */
  uint64_t watchdog_ms, watchdog_at;
  int main_fd; /* a pidfd of a main process that the job itself named, else -1 */
  char status[STATUS_BYTES_MAX + 1];
  long long status_errno;
  unsigned ignored; /* messages on record that were ignored, in this life */
  int stop_signal;
  uint64_t deadline;
  uint64_t window_start, window_starts;
  uint64_t restarts;
  uint64_t oom_kills;
  struct ending last_main;
  bool exec_failed;
  bool reason_told;
  int fail_errno;
  char fail_text[TEXT_BYTES_MAX];
};

extern struct job job;

enum { NO_COMMAND = COMMANDS_MAX };

void set_phase(enum phase phase);
void set_deadline(uint64_t timeout_ms);
/* The next time something must have come of the watchdog. */
void feed_watchdog(void);
bool is_watched(void);
void bark(void);
/* The first failure is the job's result. */
void set_result(enum result result);
unsigned next_command(enum phase phase, unsigned from);
bool run_main(unsigned index);
/* Runs the next of the phase's commands from `from` on; false when there is none. After true
   `job.control_pid` is 0 when no process could be made. */
bool run_control(enum phase phase, unsigned from, uint64_t timeout_ms);
/* Whether what is left beside main and control is ours to end. */
bool rest_is_killed(bool hard);

void event_stop(const char *by, const char *reason);
void event_kill(int signal, bool all, unsigned count);
void on_main_exit(const struct ending *ending);
/* After the last process that the present phase waits for may have gone. */
void check_progress(void);

void enter_start(void);
void enter_start_post(void);
void enter_running(enum result result);
void enter_stop(enum result result);
void enter_signal(enum phase phase, enum result result);
void enter_stop_post(enum result result);
void enter_final(enum result result);
void enter_dead(enum result result);

#endif
