/*
 * A connection, as client.c (its frames inwards) and sink.c (its byte stream outwards) share it.
 *
 * The memory is mapped when a client comes and goes with it; pages that a small client never
 * touches cost nothing.
 */
#ifndef HOLON_KEEPER_CLIENT_H
#define HOLON_KEEPER_CLIENT_H

#include "keeper.h"

enum {
  IN_BYTES = 2 * INPUT_FRAME_BYTES_MAX + FRAME_HEADER_BYTES,
  COPY_BYTES = 64 << 10,
  QUEUE_BYTES = 512 << 10,
};

struct client {
  int fd;
  bool in_ready, out_ready;
  bool ended;   /* it sends no more */
  bool hung_up; /* it reads no more either */
  bool gone;    /* to be closed at the next sweep */
  bool leaving; /* it was told the end */
  bool told;    /* and all of that was taken by its socket */
  bool attached, sends_stdin, subscribed;
  bool wants[2];
  bool stalled; /* its first frame waits for the job to read */

  /* Outwards, in this order: a frame's head and bytes on their way, then the queue. */
  char head[FRAME_HEADER_BYTES];
  size_t head_left;
  int move_fd; /* the pipe that `move_left` bytes of the present frame still come from */
  size_t move_left;
  bool busy; /* much output: worth large pipes and splice */
  size_t copy_at, copy_end;
  size_t queue_at, queue_end;

  /* Inwards. */
  size_t in_at, in_end;
  size_t frame_done; /* payload bytes of the first frame, an I, that the job has */

  char in[IN_BYTES];
  char copy[COPY_BYTES + FRAME_HEADER_BYTES];
  char queue[QUEUE_BYTES];
};

/* Queues a frame; a client with no room for it has fallen behind and is marked gone. */
void sink_send(struct client *client, char type, const char *bytes, size_t count);
/* Moves output from `fd` as a frame: how many bytes, 0 at its end, -1 with errno: EAGAIN when `fd`
   is empty, ENOBUFS when the client takes nothing now. */
ssize_t sink_move(struct client *client, char type, int fd, bool is_pipe);
/* Writes what the socket takes. */
void sink_flush(struct client *client);
bool sink_empty(const struct client *client);
/* Whether a frame on its way still needs bytes from `fd`. */
bool sink_needs(const struct client *client, int fd);

#endif
