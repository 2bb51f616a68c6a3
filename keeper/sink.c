/*
 * A client's byte stream outwards: frames that never mix, on a socket that never blocks.
 *
 * Little output is read and written with its header at once. Much output goes from the pipe to the
 * socket by splice(2), a mebibyte a frame, without passing through here; the header promises the
 * length, so such a frame is finished before anything else goes out. Back-pressure: while a frame
 * waits, nothing more is taken from the job's pipe.
 */
#define _GNU_SOURCE
#include "client.h"

#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* Below this a copy is cheaper than moving pages. */
enum { SPLICE_BYTES_MIN = 16 << 10 };

static bool splice_works = true;

static void make_head(char *head, char type, size_t count) {
  head[0] = type;
  head[1] = (char)(count >> 24);
  head[2] = (char)(count >> 16);
  head[3] = (char)(count >> 8);
  head[4] = (char)count;
}

bool sink_empty(const struct client *client) {
  return client->head_left == 0 && client->move_left == 0 &&
         client->copy_at == client->copy_end && client->queue_at == client->queue_end;
}

bool sink_needs(const struct client *client, int fd) {
  return client->move_left > 0 && client->move_fd == fd;
}

/* Bytes written; 0 when the socket takes none now or never again. */
static size_t write_some(struct client *client, const char *bytes, size_t count) {
  ssize_t written = send(client->fd, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (written > 0) return (size_t)written;
  if (errno == EAGAIN || errno == EWOULDBLOCK) client->out_ready = false;
  else if (errno != EINTR) client->gone = true;
  return 0;
}

static void splice_some(struct client *client) {
  ssize_t moved = splice(client->move_fd, NULL, client->fd, NULL, client->move_left,
                         SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
  if (moved > 0) {
    client->move_left -= (size_t)moved;
    return;
  }
  /* The bytes are in the pipe and nobody else reads it: it is the socket that is full. */
  if (moved < 0 && errno == EAGAIN) client->out_ready = false;
  else if (moved < 0 && (errno == EPIPE || errno == ECONNRESET)) client->gone = true;
  else if (moved < 0 && errno != EINTR) splice_works = false;
  assert(moved != 0);
}

/* The same by way of our memory, for kernels that cannot splice here. */
static void refill_copy(struct client *client) {
  size_t count = client->move_left < COPY_BYTES ? client->move_left : COPY_BYTES;
  ssize_t taken = read(client->move_fd, client->copy, count);
  if (taken < 0 && errno == EINTR) return;
  assert(taken > 0);
  client->copy_at = 0;
  client->copy_end = (size_t)taken;
  client->move_left -= (size_t)taken;
}

void sink_flush(struct client *client) {
  while (client->out_ready && !client->gone && !sink_empty(client)) {
    if (client->head_left > 0) {
      const char *from = client->head + FRAME_HEADER_BYTES - client->head_left;
      client->head_left -= write_some(client, from, client->head_left);
    } else if (client->copy_at < client->copy_end) {
      client->copy_at +=
          write_some(client, client->copy + client->copy_at, client->copy_end - client->copy_at);
    } else if (client->move_left > 0) {
      if (splice_works) splice_some(client);
      else refill_copy(client);
    } else {
      client->queue_at +=
          write_some(client, client->queue + client->queue_at, client->queue_end - client->queue_at);
    }
  }
  if (client->queue_at == client->queue_end) client->queue_at = client->queue_end = 0;
}

static void enqueue(struct client *client, const char *bytes, size_t count) {
  memcpy(client->queue + client->queue_end, bytes, count);
  client->queue_end += count;
}

void sink_send(struct client *client, char type, const char *bytes, size_t count) {
  if (client->gone) return;
  char head[FRAME_HEADER_BYTES];
  make_head(head, type, count);
  size_t done = 0;
  if (client->out_ready && sink_empty(client)) {
    struct iovec parts[2] = {{head, sizeof head}, {(void *)(uintptr_t)bytes, count}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count > 0 ? 2 : 1};
    ssize_t sent = sendmsg(client->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) client->gone = true;
    if (client->gone) return;
    done = sent > 0 ? (size_t)sent : 0;
  }
  size_t left = sizeof head + count - done;
  if (left == 0) return;
  if (client->queue_end + left > QUEUE_BYTES) {
    memmove(client->queue, client->queue + client->queue_at, client->queue_end - client->queue_at);
    client->queue_end -= client->queue_at;
    client->queue_at = 0;
  }
  if (client->queue_end + left > QUEUE_BYTES) {
    client->gone = true;
    return;
  }
  if (done < sizeof head) {
    enqueue(client, head + done, sizeof head - done);
    done = sizeof head;
  }
  enqueue(client, bytes + (done - sizeof head), count - (done - sizeof head));
}

/* Large buffers on the way, once it shows that they pay. What is refused is only slower. */
static void become_busy(struct client *client, int fd) {
  int bytes = OUTPUT_FRAME_BYTES_MAX;
  client->busy = true;
  fcntl(fd, F_SETPIPE_SZ, bytes);
  if (setsockopt(client->fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) < 0) {
    setsockopt(client->fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
  }
}

ssize_t sink_move(struct client *client, char type, int fd, bool is_pipe) {
  assert(!client->gone);
  if (!sink_empty(client)) {
    errno = ENOBUFS;
    return -1;
  }
  int waiting = 0;
  if (is_pipe && client->busy && splice_works && ioctl(fd, FIONREAD, &waiting) == 0 &&
      waiting >= SPLICE_BYTES_MIN) {
    size_t count = waiting < OUTPUT_FRAME_BYTES_MAX ? (size_t)waiting : OUTPUT_FRAME_BYTES_MAX;
    make_head(client->head, type, count);
    client->head_left = FRAME_HEADER_BYTES;
    client->move_fd = fd;
    client->move_left = count;
    sink_flush(client);
    return (ssize_t)count;
  }
  ssize_t count = read(fd, client->copy + FRAME_HEADER_BYTES, COPY_BYTES);
  if (count <= 0) return count;
  make_head(client->copy, type, (size_t)count);
  client->copy_at = 0;
  client->copy_end = FRAME_HEADER_BYTES + (size_t)count;
  if (is_pipe && !client->busy && count >= SPLICE_BYTES_MIN) become_busy(client, fd);
  sink_flush(client);
  return count;
}
