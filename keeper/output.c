/*
 * The job's stdout, stderr and stdin.
 *
 * With a log the keeper holds both ends of the pipes for as long as it lives: what a job's leftovers
 * write still has a reader, and a restart needs no new pipes. With a client it lets the writing ends
 * go, so that the client sees the end when the job closes its output. Reading ends are watched
 * edge-triggered: `ready` stays set until there is nothing to read.
 */
#define _GNU_SOURCE
#include "client.h"

#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

enum {
  READ_BYTES = 32 << 10,
  /* Reads of one stream in a turn of the loop. */
  READS_MAX = 32,
  /* A writer that outlives the job may go on for ever; what fits into pipes is far less. */
  DRAIN_READS_MAX = 128,
  /* A terminal does not always say when it takes input again. */
  TERMINAL_RETRY_MS = 20,
  /* How long an end of output waits to be told. Most programs close theirs by ending, and the end
     of the job says it too: whoever serves the client is then woken once, not three times. */
  END_WAIT_MS = 5,
};

struct source {
  int fd;        /* reading end, -1: none or over */
  int writer_fd; /* our copy of the writing end, -1: none */
  bool ready;
  bool over;
  bool untold;     /* its end is yet to be told to the client */
  bool close_soon; /* the client reads it no more */
};

static const struct spec *spec;
static struct source sources[2];
static bool job_over;
static uint64_t tell_ends_at = NEVER;

static int stdin_fd = -1;        /* our writing end */
static int stdin_reader_fd = -1; /* between its making and the start of the main process */
static bool stdin_ended;         /* the client said so, or nobody will send */
static bool stdin_blocked;
static bool main_started;

static int open_pipe(int *read_fd, int *write_fd) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) return errno;
  *read_fd = ends[0];
  *write_fd = ends[1];
  return 0;
}

int output_open(const struct spec *the_spec, char text[TEXT_BYTES_MAX]) {
  spec = the_spec;
  int error = 0;
  for (unsigned i = 0; i < 2; i++) sources[i] = (struct source){.fd = -1, .writer_fd = -1};
  if (spec->tty) {
    error = terminal_open(spec->rows, spec->columns, &sources[0].fd, &sources[0].writer_fd);
    if (error == 0) error = watch_add(sources[0].fd, WATCH_OUTPUT, 0, EPOLLIN | EPOLLOUT | EPOLLET);
    stdin_fd = sources[0].fd;
    sources[1].over = true;
  }
  for (unsigned i = 0; i < 2 && !spec->tty && error == 0; i++) {
    error = open_pipe(&sources[i].fd, &sources[i].writer_fd);
    if (error == 0) fcntl(sources[i].fd, F_SETFL, O_NONBLOCK);
    if (error == 0) error = watch_add(sources[i].fd, WATCH_OUTPUT, i, EPOLLIN | EPOLLET);
  }
  if (error != 0) strncpy(text, "open the job's terminal or pipes", TEXT_BYTES_MAX);
  return error;
}

int output_for_command(struct spawn *spawn, bool is_main) {
  spawn->in = spawn->tty = -1;
  spawn->out = sources[0].writer_fd;
  spawn->err = sources[1].writer_fd;
  if (spec->tty) {
    spawn->tty = sources[0].writer_fd;
    return 0;
  }
  if (!is_main || !spec->stream_input || stdin_ended) return 0;
  if (stdin_fd >= 0) close(stdin_fd);
  int error = open_pipe(&stdin_reader_fd, &stdin_fd);
  if (error != 0) return error;
  fcntl(stdin_fd, F_SETFL, O_NONBLOCK);
  spawn->in = stdin_reader_fd;
  return watch_add(stdin_fd, WATCH_STDIN, 0, EPOLLOUT | EPOLLET);
}

/* Whether the present main process is the last command that gets the client's pipes. */
static bool no_more_writers(void) {
  unsigned after = 0;
  for (unsigned i = 0; i < spec->command_count; i++) {
    enum phase phase = spec->commands[i].phase;
    if (phase != PHASE_START_PRE) after++;
  }
  return after == 1 && spec->restart == RESTART_NO;
}

void output_started(bool is_main) {
  if (stdin_reader_fd >= 0) close(stdin_reader_fd);
  stdin_reader_fd = -1;
  if (!is_main) return;
  main_started = true;
  clients_stdin_ready();
  if (!spec->stream_output || spec->tty || !no_more_writers()) return;
  for (unsigned i = 0; i < 2; i++) {
    if (sources[i].writer_fd >= 0) close(sources[i].writer_fd);
    sources[i].writer_fd = -1;
  }
}

static void end_source(unsigned stream) {
  struct source *source = &sources[stream];
  if (source->fd >= 0 && !spec->tty) close(source->fd);
  if (!spec->tty) source->fd = -1;
  source->ready = false;
  if (source->over) return;
  source->over = true;
  if (!spec->stream_output) return;
  source->untold = true;
  tell_ends_at = now_ms() + END_WAIT_MS;
}

static void tell_ends(void) {
  tell_ends_at = NEVER;
  for (unsigned stream = 0; stream < 2; stream++) {
    struct client *client = sources[stream].untold ? clients_taking(stream) : NULL;
    sources[stream].untold = false;
    if (client != NULL) sink_send(client, stream == 0 ? 'O' : 'E', NULL, 0);
  }
}

/* One read. False when there is nothing more now. */
static bool read_once(unsigned stream) {
  static char buffer[READ_BYTES];
  struct source *source = &sources[stream];
  struct client *client = spec->stream_output ? clients_taking(stream) : NULL;
  ssize_t count = client != NULL
                      ? sink_move(client, stream == 0 ? 'O' : 'E', source->fd, !spec->tty)
                      : read(source->fd, buffer, sizeof buffer);
  if (count < 0 && errno == EINTR) return true;
  if (count < 0 && errno == ENOBUFS) return false;
  if (count < 0 && errno == EAGAIN) {
    source->ready = false;
    /* All the job's processes are gone; whoever still holds the pipe is none of them. */
    if (job_over) end_source(stream);
    return false;
  }
  if (count <= 0) {
    end_source(stream);
    return false;
  }
  if (!spec->stream_output) {
    log_bytes(stream, buffer, (size_t)count);
    clients_copy_output(stream, buffer, (size_t)count);
  }
  return true;
}

void output_ready(unsigned stream) {
  assert(stream < 2);
  sources[stream].ready = true;
  /* The terminal's other direction has no event of its own. */
  if (spec->tty && stdin_blocked) output_stdin_ready();
}

/* A pipe that is to be closed is only read by the frame that is on its way. What a job writes before
   its client is there waits in the pipe. */
static bool may_read(const struct source *source) {
  if (spec->stream_output && !clients_had_any()) return false;
  return source->ready && source->fd >= 0 && !source->over && !source->close_soon;
}

void output_pump(void) {
  for (unsigned stream = 0; stream < 2; stream++) {
    struct source *source = &sources[stream];
    if (source->close_soon && source->fd >= 0 && !clients_need(source->fd)) end_source(stream);
  }
  for (unsigned i = 0; i < READS_MAX; i++) {
    bool more = false;
    for (unsigned stream = 0; stream < 2; stream++) {
      struct source *source = &sources[stream];
      if (may_read(source) && read_once(stream)) more = true;
    }
    if (!more) return;
  }
  loop_again();
}

void output_drain(void) {
  if (spec->stream_output) return;
  for (unsigned stream = 0; stream < 2; stream++) {
    sources[stream].ready = sources[stream].fd >= 0 && !sources[stream].over;
    for (unsigned i = 0; i < DRAIN_READS_MAX && sources[stream].ready; i++) read_once(stream);
  }
}

void output_job_ended(void) {
  job_over = true;
  for (unsigned i = 0; i < 2; i++) {
    if (!spec->tty && sources[i].writer_fd >= 0) close(sources[i].writer_fd);
    if (!spec->tty) sources[i].writer_fd = -1;
    sources[i].ready = sources[i].fd >= 0 && !sources[i].over;
  }
  if (stdin_fd >= 0 && !spec->tty) close(stdin_fd);
  stdin_fd = -1;
  stdin_ended = true;
  clients_stdin_ready();
  loop_again();
}

bool output_finished(void) {
  if (!spec->stream_output) return true;
  return (sources[0].fd < 0 || sources[0].over) && (sources[1].fd < 0 || sources[1].over);
}

void output_close_stream(unsigned stream) {
  assert(stream < 2);
  /* Others may hold a terminal; it has no end that one could close alone. */
  if (spec->tty) return;
  sources[stream].close_soon = true;
  if (sources[stream].writer_fd >= 0) close(sources[stream].writer_fd);
  sources[stream].writer_fd = -1;
  loop_again();
}

/* ---- stdin */

ssize_t output_stdin_write(const char *bytes, size_t count) {
  bool will_read = spec->tty || (spec->stream_input && !stdin_ended);
  if (job_over || !will_read) return -1;
  if (!main_started) return 0;
  if (stdin_fd < 0) return -1;
  ssize_t written = write(stdin_fd, bytes, count);
  if (written > 0) return written;
  if (errno == EAGAIN || errno == EINTR) {
    stdin_blocked = true;
    return 0;
  }
  if (!spec->tty) {
    close(stdin_fd);
    stdin_fd = -1;
  }
  return -1;
}

void output_stdin_end(void) {
  if (spec->tty) {
    struct termios modes;
    int master = terminal_master();
    if (master < 0 || tcgetattr(master, &modes) < 0 || !(modes.c_lflag & ICANON)) return;
    char end = (char)modes.c_cc[VEOF];
    (void)!write(master, &end, 1);
    return;
  }
  stdin_ended = true;
  if (stdin_fd >= 0) close(stdin_fd);
  stdin_fd = -1;
}

void output_stdin_ready(void) {
  stdin_blocked = false;
  clients_stdin_ready();
  loop_again();
}

uint64_t output_deadline(void) {
  if (spec == NULL || !spec->tty || !stdin_blocked) return tell_ends_at;
  uint64_t retry_at = now_ms() + TERMINAL_RETRY_MS;
  return retry_at < tell_ends_at ? retry_at : tell_ends_at;
}

void output_tick(uint64_t now, bool idle) {
  if (tell_ends_at <= now) tell_ends();
  if (idle && spec != NULL && spec->tty && stdin_blocked) output_stdin_ready();
}
