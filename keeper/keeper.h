/*
 * The keeper's shared types and the interface of each of its files.
 *
 * One process keeps one job, so every module owns one static state and nothing else writes it.
 * Everything is bounded here; there is one thread, one epoll loop, and no wait outside of it but
 * the moment of vfork between starting a command and its exec. docs/keeper.md is the contract.
 */
#ifndef HOLON_KEEPER_H
#define HOLON_KEEPER_H

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

enum {
  FRAME_HEADER_BYTES = 5,
  /* Bounds of payloads: O and E, I, the spec. */
  OUTPUT_FRAME_BYTES_MAX = 1 << 20,
  INPUT_FRAME_BYTES_MAX = 64 << 10,
  REQUEST_BYTES_MAX = 4 << 20,
  CLIENTS_MAX = 32,
  COMMANDS_MAX = 64,
  CGROUPS_MAX = 8,
  /* Environment entries that the keeper adds: HOLON_JOB, MAINPID, the results, the login's. */
  ENV_ADDED_MAX = 16,
  EVENT_BYTES_MAX = 8 << 10,
  EVENTS_FILE_BYTES_MAX = 256 << 10,
  LOG_LINE_BYTES_MAX = 16 << 10,
  LOG_FILES_MAX = 1000,
  TEXT_BYTES_MAX = 512,
  /* What a job says of itself (STATUS=), and the line of the state file, which holds it encoded. */
  STATUS_BYTES_MAX = 1024,
  STATE_LINE_BYTES_MAX = 4 << 10,
  PATH_BYTES_MAX = 4096,
};

/* How long an unfinished log line waits for its end. */
#define LOG_PART_MS 1000
/* How long a stream job waits for its first client: nobody else would ever end it. */
#define ATTACH_MS 30000
/* How long a keeper of an ended log job waits for clients to take the last frames. */
#define FAREWELL_MS 5000
#define NEVER UINT64_MAX

enum phase {
  PHASE_START_PRE,
  PHASE_START,
  PHASE_START_POST,
  PHASE_RUNNING,
  PHASE_RELOAD_NOTIFY,
  PHASE_EXITED,
  PHASE_STOP,
  PHASE_STOP_SIGTERM,
  PHASE_STOP_SIGKILL,
  PHASE_STOP_POST,
  PHASE_FINAL_SIGKILL,
  PHASE_AUTO_RESTART,
  PHASE_DEAD,
  PHASE_FAILED,
  PHASE_COUNT
};

enum result {
  RESULT_SUCCESS,
  RESULT_EXIT_CODE,
  RESULT_SIGNAL,
  RESULT_CORE_DUMP,
  RESULT_TIMEOUT,
  RESULT_START_LIMIT_HIT,
  RESULT_OOM_KILL,
  RESULT_RESOURCES,
  RESULT_PROTOCOL,
  RESULT_WATCHDOG,
  RESULT_LEASE,
  RESULT_COUNT
};

enum job_type { TYPE_SIMPLE, TYPE_EXEC, TYPE_ONESHOT, TYPE_NOTIFY };

enum restart {
  RESTART_NO,
  RESTART_ON_SUCCESS,
  RESTART_ON_FAILURE,
  RESTART_ON_ABNORMAL,
  RESTART_ON_ABORT,
  RESTART_ON_WATCHDOG,
  RESTART_ALWAYS
};

enum kill_mode { KILL_CONTROL_GROUP, KILL_MIXED, KILL_PROCESS, KILL_NONE };

/* Who may speak for the job, each with those before it. */
enum notify { NOTIFY_NONE, NOTIFY_MAIN, NOTIFY_EXEC, NOTIFY_ALL };

struct command {
  enum phase phase;
  bool ignore_failure;
  bool privileged;
  const char *path;
  char **argv;
};

/* Pointers go into `payload`; the whole is immutable after spec_parse(). */
struct spec {
  const char *id, *dir, *log_dir, *cwd, *user, *group, *reason;
  uid_t owner;
  bool stream_output, stream_input, tty, remain, login_env, send_sigkill;
  bool at_once; /* a stream job that does not wait for its client before it starts */
  uint16_t rows, columns;
  enum job_type type;
  enum restart restart;
  enum kill_mode kill_mode;
  enum notify notify;
  int kill_signal, watchdog_signal;
  mode_t umask;
  bool has_nice;
  int nice;
  uint64_t log_file_bytes, log_files;
  uint64_t restart_ms, start_limit, start_limit_ms;
  uint64_t timeout_start_ms, timeout_stop_ms, runtime_max_ms, watchdog_ms;
  bool leased;
  uint64_t lease_boot_ms, lease_wall_ms, lease_grace_ms;
  struct command commands[COMMANDS_MAX];
  unsigned command_count;
  char **env;
  unsigned env_count;
  const char *cgroups[CGROUPS_MAX];
  unsigned cgroup_count;
  char *payload;
  size_t payload_bytes;
  char **pointers;
};

/* spec.c: 0, or an errno with `text` set. Takes `payload` over only when it succeeds. */
int spec_parse(struct spec *spec, char *payload, size_t bytes, char text[TEXT_BYTES_MAX]);
void spec_free(struct spec *spec);

/* What the nursery made before it forked; the keeper owns the descriptors from then on. */
struct nest {
  int dir_fd;
  int listen_fd;
  int log_dir_fd; /* -1 without a log */
};

/* jobdir.c: 0, or an errno with `text` set and nothing left open. */
int jobdir_open(const struct spec *spec, struct nest *nest, char text[TEXT_BYTES_MAX]);
void jobdir_close(struct nest *nest);
/* Directory `path` with missing parents. */
int make_dirs(const char *path, mode_t mode);

/* nursery.c */
int nursery_main(char *name_area, size_t name_bytes);

/* keeper.c */
_Noreturn void keeper_main(const struct spec *spec, const struct nest *nest);
uint64_t now_ms(void);
uint64_t wall_ms(void);
uint64_t boot_ms(void);
/* Watches `fd` edge-triggered; `kind` and `index` come back at its events. */
enum watch {
  WATCH_SIGNALS,
  WATCH_LISTEN,
  WATCH_CLIENT,
  WATCH_OUTPUT,
  WATCH_STDIN,
  WATCH_NOTIFY,
  WATCH_MAIN,
  WATCH_LEASE
};
int watch_add(int fd, enum watch kind, unsigned index, uint32_t events);
/* Something is ready without the kernel saying so again: do not sleep. */
void loop_again(void);

/* job.c: the life of the job. */
void job_open(const struct spec *spec);
void job_start(void);
void job_stop(const char *by, const char *reason);
void job_hang_up(void);
/* Sends; returns 0 or an errno. */
int job_kill(int signal, bool all);
/* Collects every process that ended; after SIGCHLD. */
void job_reap(void);
/* The job cannot begin: nothing was started. */
void job_fail(int error, const char *text);
void job_tick(uint64_t now);
uint64_t job_deadline(void);
bool job_begun(void);
bool job_ended(void);
void job_signal_foreground(int signal);
void job_read_boot_id(void);
/* Something that a process of the job says of it, by sd_notify(3). NULL, or why it is ignored. */
const char *job_told(const char *key, const char *value);
/* The main process that job_told() named, which may be no child of ours, has ended. */
void job_main_gone(void);
/* Whether `pid` may speak for the job. */
bool job_hears(pid_t pid);
void job_ignores(pid_t pid, const char *why);
/* Orderly, with nothing restarted: the lease is about to end. */
void job_stop_for_lease(void);
/* At once: it has ended. */
void job_kill_for_lease(void);
/* The line of the state file, without "state " and newline; returns its length. */
size_t job_state_line(char *buffer, size_t bytes);
/* "code N", "signal N", … as the X frame has it. */
size_t job_end_text(char *buffer, size_t bytes);

/* decide.c: pure rules. */
enum result result_of(int status, bool daemon);
bool should_restart(enum restart restart, enum result result);
extern const char *const phase_names[PHASE_COUNT];
extern const char *const result_names[RESULT_COUNT];

/* exec.c */
struct spawn {
  const struct command *command;
  int in, out, err; /* -1: the keeper's own, /dev/null */
  int tty;          /* the slave, or -1 */
  pid_t main_pid;   /* for the environment of stop commands, 0: none */
  const char *service_result, *exit_code, *exit_status; /* likewise, NULL: none */
  const char *notify_socket; /* NULL: none */
  uint64_t watchdog_ms;      /* 0: none */
  /* Filled in: */
  int error; /* errno of the failure to execute, 0 when the command runs */
  char text[TEXT_BYTES_MAX];
};
void exec_open(const struct spec *spec);
/* The pid, or -1 with errno. A child that could not execute exits with systemd's code for it. */
pid_t exec_spawn(struct spawn *spawn);

/* cgroup.c */
int cgroup_open(const struct spec *spec, char text[TEXT_BYTES_MAX]);
/* The group to clone into, CGROUP_NONE, or CGROUP_LOST when it cannot be made any more. */
enum { CGROUP_NONE = -1, CGROUP_LOST = -2 };
int cgroup_clone_fd(void);
bool cgroup_reopen(void);
/* Whether the keeper itself is in one of the groups. */
bool cgroup_is_shared(void);
bool cgroup_kill_all(void);
/* Pids in the killing group; returns their number, at most `max`. */
unsigned cgroup_pids(pid_t *pids, unsigned max);
uint64_t cgroup_oom_kills(void);
void cgroup_close(void);
/* Kills by the groups' paths alone, sparing `keeper`; for the lease's guard, which has opened none.
   Returns how many may have forked meanwhile: those that it had to kill one by one. */
unsigned cgroup_kill_paths(const struct spec *spec, pid_t keeper);
/* Called in the child where the kernel cannot clone into a group; 0 or an errno. */
int cgroup_join_in_child(void);

/* procs.c: sends to every process of the job but the two; returns how many got it. */
unsigned procs_signal_all(int signal, bool then_continue, pid_t skip_main, pid_t skip_control);
/* SIGKILL to all that descends from `keeper`, whatever group it went to. */
void procs_kill_descendants(pid_t keeper);
/* Whether `pid` descends from us; it may have ended, if nobody has collected it. */
bool procs_is_ours(pid_t pid);
unsigned long long proc_start_ticks(pid_t pid);

/* session.c: of our whole session, where sessions have one. */
void session_nice(int nice);

/* record.c: state and events. */
void record_open(const struct spec *spec, int dir_fd);
void event_begin(const char *kind);
void event_text(const char *key, const char *value);
void event_number(const char *key, long long value);
void event_end(void);
void record_state_changed(void);
/* Writes the state if it changed and tells subscribers; called before every wait. */
void record_flush(void);
uint64_t record_deadline(void);
uint64_t record_seq(void);
/* Calls `each` for each recorded line after `seq`, oldest first. */
void record_replay(uint64_t seq, void (*each)(void *context, const char *line, size_t bytes),
                   void *context);
size_t encode(char *to, size_t room, const char *value);

/* notify.c: the socket that the job's processes speak to. */
int notify_open(const struct spec *spec, int dir_fd, char text[TEXT_BYTES_MAX]);
/* Takes what is there; also before an end is judged that may have come after it. */
void notify_ready(void);
/* For the environment, NULL: there is none. */
const char *notify_address(void);
uint64_t notify_deadline(void);
void notify_close(int dir_fd);

/* lease.c: the time up to which the job may run. */
int lease_open(const struct spec *spec, const struct nest *nest, char text[TEXT_BYTES_MAX]);
void lease_watch(void);
/* Stops the job when it is time; first thing after every wait. */
void lease_check(void);
bool lease_is_over(void);
/* Moves the end; 0 or an errno. */
int lease_move(uint64_t boot_ms, uint64_t wall_ms);
/* The job has ended: its guard may go. */
void lease_close(void);

/* log.c */
void log_open(const struct spec *spec, int log_dir_fd);
/* `stream` 0 is stdout, 1 stderr. */
void log_bytes(unsigned stream, const char *bytes, size_t count);
/* Writes unfinished lines out as parts. */
void log_end_parts(void);
void log_tick(uint64_t now);
uint64_t log_deadline(void);

/* output.c: the job's stdout and stderr, and its stdin. */
int output_open(const struct spec *spec, char text[TEXT_BYTES_MAX]);
/* Fills in/out/err/tty for a command. */
int output_for_command(struct spawn *spawn, bool is_main);
void output_started(bool is_main);
void output_ready(unsigned stream);
void output_pump(void);
/* Reads what is there now, so that it is in the log before the next event. */
void output_drain(void);
/* The job is over: what is in the pipes is all there will be. */
void output_job_ended(void);
/* All bytes reached the log or the client. */
bool output_finished(void);
void output_close_stream(unsigned stream);
/* Bytes taken, 0 when the job does not read now, -1 when it never will again. */
ssize_t output_stdin_write(const char *bytes, size_t count);
void output_stdin_end(void);
void output_stdin_ready(void);
uint64_t output_deadline(void);
/* `idle`: nothing has happened but that time went by. */
void output_tick(uint64_t now, bool idle);

/* terminal.c */
int terminal_open(uint16_t rows, uint16_t columns, int *master, int *slave);
void terminal_resize(int master, uint16_t rows, uint16_t columns);
int terminal_slave(void);
int terminal_master(void);
pid_t terminal_foreground(void);
void terminal_set_foreground(pid_t group);

/* client.c */
struct client;
void clients_open(const struct spec *spec, int listen_fd);
void clients_accept(void);
void clients_event(unsigned index, uint32_t events);
/* Reads, answers, writes what can be written, and lets those go that are gone. */
void clients_pump(void);
/* Input that waited for the job may go on. */
void clients_stdin_ready(void);
bool clients_any_subscribed(void);
void clients_send_subscribers(const char *bytes, size_t count);
/* Whether a stream job ever had its client. */
bool clients_had_any(void);
void clients_send_attached(char type, const char *bytes, size_t count);
/* Copies of a log job's output. */
void clients_copy_output(unsigned stream, const char *bytes, size_t count);
/* Takes the last ones in, says the end to everybody; they are closed when they have read it. */
void clients_farewell(const char *text, size_t count);
bool clients_all_told(void);
bool clients_all_gone(void);
/* The client that takes this of a stream job's byte streams; NULL when nobody does. */
struct client *clients_taking(unsigned stream);
/* Whether a frame on its way to that client still needs bytes from the pipe `fd`. */
bool clients_need(int fd);


/* names.c */
const char *errno_name(int error);
int signal_by_name(const char *name);

#endif
