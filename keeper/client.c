/*
 * The keeper's clients: who may connect, and what their frames ask.
 *
 * Sockets are watched edge-triggered: `in_ready` and `out_ready` stay set until the kernel said
 * EAGAIN. A client is only ever closed in the sweep of clients_pump(), so no caller loses one from
 * under its hands. One that does not read is dropped, never waited for, except the one client that
 * a stream job's output goes to: its pace is the job's.
 */
#define _GNU_SOURCE
#include "client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* Reads of one client in one turn, so that none keeps the others waiting. */
enum { READS_MAX = 8 };

static const struct spec *spec;
static int listen_fd = -1;
static struct client *clients[CLIENTS_MAX];
static struct client *stream_client; /* the first that attached to a stream job */
static bool ever_attached;

void clients_open(const struct spec *the_spec, int the_listen_fd) {
  spec = the_spec;
  listen_fd = the_listen_fd;
  watch_add(listen_fd, WATCH_LISTEN, 0, EPOLLIN | EPOLLET);
}

static bool may_connect(int fd) {
  struct ucred peer;
  socklen_t bytes = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) < 0) return false;
  return peer.uid == 0 || peer.uid == geteuid() || peer.uid == spec->owner;
}

static void take_in(int fd) {
  for (unsigned i = 0; i < CLIENTS_MAX; i++) {
    if (clients[i] != NULL) continue;
    struct client *client = mmap(NULL, sizeof *client, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (client == MAP_FAILED) break;
    client->fd = fd;
    /* Mostly its first frame is there already; trying costs less than waiting for the event. */
    client->in_ready = client->out_ready = true;
    clients[i] = client;
    watch_add(fd, WATCH_CLIENT, i, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    return;
  }
  close(fd);
}

void clients_accept(void) {
  for (;;) {
    int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0 && (errno == EINTR || errno == ECONNABORTED)) continue;
    if (fd < 0) return;
    if (may_connect(fd)) take_in(fd);
    else close(fd);
  }
}

void clients_event(unsigned index, uint32_t events) {
  assert(index < CLIENTS_MAX);
  struct client *client = clients[index];
  if (client == NULL) return;
  if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) client->in_ready = true;
  if (events & EPOLLOUT) client->out_ready = true;
  if (events & (EPOLLHUP | EPOLLERR)) client->hung_up = true;
}

void clients_stdin_ready(void) {
  for (unsigned i = 0; i < CLIENTS_MAX; i++) {
    if (clients[i] != NULL) clients[i]->stalled = false;
  }
}

/* ---- what frames ask */

static void answer(struct client *client, int error, const char *text) {
  char line[TEXT_BYTES_MAX];
  int length = error == 0 ? snprintf(line, sizeof line, "ok")
                          : snprintf(line, sizeof line, "error %s %s", errno_name(error), text);
  sink_send(client, 'R', line, (size_t)length);
}

static void on_attach(struct client *client, const char *letters) {
  client->attached = true;
  client->sends_stdin = strchr(letters, 'i') != NULL;
  client->wants[0] = client->wants[1] = strchr(letters, 'o') != NULL;
  if (!spec->stream_output || ever_attached) return;
  ever_attached = true;
  stream_client = client;
  if (!client->sends_stdin) output_stdin_end();
  if (!job_begun()) job_start();
  loop_again();
}

static void on_reads_no_more(struct client *client, const char *payload) {
  unsigned stream = payload[0] == 'E';
  client->wants[stream] = false;
  if (client == stream_client) output_close_stream(stream);
}

static void on_replayed(void *context, const char *line, size_t bytes) {
  sink_send(context, 'V', line, bytes);
}

static void on_subscribe(struct client *client, const char *seq) {
  char line[STATE_LINE_BYTES_MAX];
  /* Whoever subscribed before hears what is new; this one finds it in the file. */
  record_flush();
  size_t length = (size_t)sprintf(line, "state ");
  length += job_state_line(line + length, sizeof line - length);
  sink_send(client, 'V', line, length);
  record_replay(strtoull(seq, NULL, 10), on_replayed, client);
  client->subscribed = true;
}

static void on_command(struct client *client, char *text) {
  char line[STATE_LINE_BYTES_MAX];
  char *argument = strchr(text, ' ');
  if (argument != NULL) *argument++ = '\0';
  if (!strcmp(text, "stop")) {
    job_stop("agent", argument == NULL ? "" : argument);
    answer(client, 0, NULL);
  } else if (!strcmp(text, "kill") && argument != NULL) {
    char *whom = strchr(argument, ' ');
    if (whom != NULL) *whom++ = '\0';
    int signal = signal_by_name(argument);
    bool all = whom != NULL && !strcmp(whom, "all");
    if (signal == 0 || (whom != NULL && !all && strcmp(whom, "main") != 0)) {
      answer(client, EINVAL, "kill wants SIGNAL main|all");
      return;
    }
    int error = job_kill(signal, all);
    answer(client, error, error == 0 ? NULL : strerror(error));
  } else if (!strcmp(text, "lease") && argument != NULL) {
    char *wall, *end;
    unsigned long long boot_until = strtoull(argument, &wall, 10);
    unsigned long long wall_until = strtoull(wall, &end, 10);
    if (*wall != ' ' || *end != '\0') {
      answer(client, EINVAL, "lease wants BOOTMS WALLMS");
      return;
    }
    int error = lease_move(boot_until, wall_until);
    answer(client, error, error == ESTALE ? "the lease is over" : "the job has no lease");
  } else if (!strcmp(text, "state")) {
    size_t length = (size_t)sprintf(line, "state ");
    length += job_state_line(line + length, sizeof line - length);
    sink_send(client, 'R', line, length);
  } else {
    answer(client, EINVAL, "unknown command; there are stop, kill, lease and state");
  }
}

/* False when the frame makes no sense, which closes the connection. `payload` ends with a NUL. */
static bool on_frame(struct client *client, char type, char *payload, size_t count) {
  const unsigned char *bytes = (const unsigned char *)payload;
  switch (type) {
    case 'A': on_attach(client, payload); return true;
    case 'Q': on_subscribe(client, payload); return true;
    case 'X': on_command(client, payload); return true;
    case 'P':
      if (count != 1 || (payload[0] != 'O' && payload[0] != 'E')) return false;
      on_reads_no_more(client, payload);
      return true;
    case 'W':
      if (count != 4) return false;
      if (spec->tty) {
        terminal_resize(terminal_master(), (uint16_t)(bytes[0] << 8 | bytes[1]),
                        (uint16_t)(bytes[2] << 8 | bytes[3]));
      }
      return true;
    case 'S':
      if (count != 1 || bytes[0] == 0 || bytes[0] > 64) return false;
      job_signal_foreground(bytes[0]);
      return true;
    default: return false;
  }
}

/* ---- reading */

static size_t frame_bytes(const char *head) {
  const unsigned char *byte = (const unsigned char *)head;
  return (size_t)byte[1] << 24 | (size_t)byte[2] << 16 | (size_t)byte[3] << 8 | (size_t)byte[4];
}

/* Gives an I frame to the job; true when all of it is taken. */
static bool give_input(struct client *client, const char *payload, size_t count) {
  if (!client->sends_stdin) return true;
  if (count == 0) {
    output_stdin_end();
    return true;
  }
  while (client->frame_done < count) {
    ssize_t taken = output_stdin_write(payload + client->frame_done, count - client->frame_done);
    if (taken < 0) return true;
    if (taken == 0) return false;
    client->frame_done += (size_t)taken;
  }
  return true;
}

/* Handles the frames that are whole. */
static void handle_frames(struct client *client) {
  while (!client->gone && !client->stalled) {
    size_t there = client->in_end - client->in_at;
    if (there < FRAME_HEADER_BYTES) break;
    char *head = client->in + client->in_at;
    size_t count = frame_bytes(head);
    /* No frame of a client has more to say than an I may. */
    if (count > INPUT_FRAME_BYTES_MAX || strchr("AIPWSQX", head[0]) == NULL || head[0] == '\0') {
      client->gone = true;
      return;
    }
    if (there < FRAME_HEADER_BYTES + count) break;
    char *payload = head + FRAME_HEADER_BYTES;
    if (head[0] == 'I') {
      if (!give_input(client, payload, count)) {
        client->stalled = true;
        break;
      }
      client->frame_done = 0;
    } else {
      char after = payload[count];
      payload[count] = '\0';
      if (!on_frame(client, head[0], payload, count)) client->gone = true;
      payload[count] = after;
    }
    client->in_at += FRAME_HEADER_BYTES + count;
  }
  if (client->in_at == client->in_end) client->in_at = client->in_end = 0;
}

static void on_end_of_input(struct client *client) {
  client->ended = true;
  /* A client that only closes its sending side still reads; for the job that is the end of stdin. */
  if (client->sends_stdin && client == stream_client) output_stdin_end();
}

static void read_client(struct client *client) {
  handle_frames(client);
  for (unsigned i = 0; i < READS_MAX && client->in_ready && !client->stalled; i++) {
    if (client->gone || client->ended) return;
    if (client->in_at > 0) {
      memmove(client->in, client->in + client->in_at, client->in_end - client->in_at);
      client->in_end -= client->in_at;
      client->in_at = 0;
    }
    /* One byte stays free for the NUL behind the last frame. */
    size_t room = IN_BYTES - 1 - client->in_end;
    assert(room > 0);
    ssize_t count = read(client->fd, client->in + client->in_end, room);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) client->in_ready = false;
    else if (count < 0) client->gone = true;
    else if (count == 0) on_end_of_input(client);
    if (count <= 0) continue;
    client->in_end += (size_t)count;
    handle_frames(client);
  }
  if (client->in_ready && !client->stalled) loop_again();
}

/* Reads what a leaving client still sends and forgets it: closing over unread bytes would turn the
   end of our last frames into an error for it. */
static void discard_input(struct client *client) {
  for (unsigned i = 0; i < READS_MAX && client->in_ready; i++) {
    ssize_t count = read(client->fd, client->in, IN_BYTES);
    if (count < 0 && errno == EAGAIN) client->in_ready = false;
    else if (count <= 0 && errno != EINTR) client->gone = true;
    if (client->gone) return;
  }
  if (client->in_ready) loop_again();
}

static void let_go(unsigned index) {
  struct client *client = clients[index];
  bool was_stream = client == stream_client;
  close(client->fd);
  munmap(client, sizeof *client);
  clients[index] = NULL;
  if (!was_stream) return;
  stream_client = NULL;
  output_stdin_end();
  job_hang_up();
  /* What waited for it is thrown away now. */
  output_ready(0);
  output_ready(1);
  loop_again();
}

void clients_pump(void) {
  for (unsigned i = 0; i < CLIENTS_MAX; i++) {
    struct client *client = clients[i];
    if (client == NULL) continue;
    if (client->leaving) {
      sink_flush(client);
      if (!client->told && sink_empty(client)) {
        client->told = true;
        shutdown(client->fd, SHUT_WR);
      }
      discard_input(client);
    } else {
      bool was_full = !sink_empty(client);
      read_client(client);
      sink_flush(client);
      /* There is room again for output that waits in the job's pipes. */
      if (was_full && sink_empty(client)) loop_again();
    }
    /* Of one that hung up everything is heard, unless it waits for a job that does not read. */
    if (client->hung_up && (client->ended || client->stalled)) client->gone = true;
    if (client->gone) let_go(i);
  }
}

/* ---- telling */

bool clients_any_subscribed(void) {
  for (unsigned i = 0; i < CLIENTS_MAX; i++) {
    if (clients[i] != NULL && clients[i]->subscribed) return true;
  }
  return false;
}

void clients_send_subscribers(const char *bytes, size_t count) {
  for (unsigned i = 0; i < CLIENTS_MAX; i++) {
    if (clients[i] != NULL && clients[i]->subscribed) sink_send(clients[i], 'V', bytes, count);
  }
}

bool clients_had_any(void) { return ever_attached; }

void clients_send_attached(char type, const char *bytes, size_t count) {
  for (unsigned i = 0; i < CLIENTS_MAX; i++) {
    if (clients[i] != NULL && clients[i]->attached) sink_send(clients[i], type, bytes, count);
  }
}

void clients_copy_output(unsigned stream, const char *bytes, size_t count) {
  for (unsigned i = 0; i < CLIENTS_MAX; i++) {
    struct client *client = clients[i];
    if (client == NULL || !client->attached || !client->wants[stream]) continue;
    sink_send(client, stream == 0 ? 'O' : 'E', bytes, count);
  }
}

struct client *clients_taking(unsigned stream) {
  if (stream_client == NULL || stream_client->gone || stream_client->leaving) return NULL;
  return stream_client->wants[stream] ? stream_client : NULL;
}

bool clients_need(int fd) {
  return stream_client != NULL && !stream_client->gone && sink_needs(stream_client, fd);
}

void clients_farewell(const char *text, size_t count) {
  clients_accept();
  close(listen_fd);
  listen_fd = -1;
  for (unsigned i = 0; i < CLIENTS_MAX; i++) {
    struct client *client = clients[i];
    if (client == NULL) continue;
    if (!spec->stream_output && client->attached) {
      if (client->wants[0]) sink_send(client, 'O', NULL, 0);
      if (client->wants[1] && !spec->tty) sink_send(client, 'E', NULL, 0);
    }
    sink_send(client, 'X', text, count);
    client->leaving = true;
  }
  loop_again();
}

bool clients_all_told(void) {
  for (unsigned i = 0; i < CLIENTS_MAX; i++) {
    if (clients[i] != NULL && !clients[i]->told && !clients[i]->gone) return false;
  }
  return true;
}

bool clients_all_gone(void) {
  for (unsigned i = 0; i < CLIENTS_MAX; i++) {
    if (clients[i] != NULL) return false;
  }
  return true;
}
