/*
 * What is known about the job after a death: the `state` file, replaced whole, and the `events`
 * file, appended to. Subscribers get the same lines.
 *
 * An event is in its file before anything that follows from it happens. The state is written once
 * before each wait of the loop, and always before a subscriber hears of the events that changed it.
 * What a full disk refuses is kept, as far as it is little, and tried again.
 */
#define _GNU_SOURCE
#include "keeper.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PENDING_BYTES = 32 << 10, RETRY_MS = 1000 };

struct lines {
  char bytes[PENDING_BYTES];
  size_t count;
};

static int dir_fd = -1; /* -1: no files */
static int events_fd = -1;
static uint64_t events_bytes;
static uint64_t seq;
static bool state_changed;
static bool state_unwritten;
static struct lines unwritten; /* refused by the file */
static struct lines untold;    /* for subscribers, after the state */
static char event[EVENT_BYTES_MAX];
static size_t event_count;

size_t encode(char *to, size_t room, const char *value) {
  static const char hex[] = "0123456789ABCDEF";
  size_t count = 0;
  for (; *value != '\0' && count + 3 <= room; value++) {
    unsigned char byte = (unsigned char)*value;
    if (byte > ' ' && byte != '%' && byte != 0x7f) {
      to[count++] = (char)byte;
      continue;
    }
    to[count++] = '%';
    to[count++] = hex[byte >> 4];
    to[count++] = hex[byte & 15];
  }
  return count;
}

/* The number that the last whole line begins with. */
static uint64_t last_seq(void) {
  char tail[EVENT_BYTES_MAX + 1];
  size_t length = events_bytes < EVENT_BYTES_MAX ? (size_t)events_bytes : EVENT_BYTES_MAX;
  ssize_t bytes = pread(events_fd, tail, length, (off_t)(events_bytes - length));
  if (bytes <= 0) return 0;
  /* Half a line, left by a machine that died, is closed and not counted. */
  if (tail[bytes - 1] != '\n' && write(events_fd, "\n", 1) == 1) events_bytes++;
  while (bytes > 0 && tail[bytes - 1] != '\n') bytes--;
  if (bytes == 0) return 0;
  tail[bytes - 1] = '\0';
  char *line = strrchr(tail, '\n');
  return strtoull(line == NULL ? tail : line + 1, NULL, 10);
}

static void open_events(void) {
  events_fd = openat(dir_fd, "events", O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  struct stat stat;
  events_bytes = events_fd >= 0 && fstat(events_fd, &stat) == 0 ? (uint64_t)stat.st_size : 0;
}

void record_open(const struct spec *spec, int the_dir_fd) {
  if (spec->stream_output) return;
  dir_fd = the_dir_fd;
  open_events();
  /* A job that ran here before has its history; its numbers go on. */
  if (events_bytes > 0) seq = last_seq();
}

/* Drops the older half at a line's beginning, by way of a new file. */
static void shorten_events(void) {
  static char block[16 << 10];
  int to = openat(dir_fd, "events.new", O_RDWR | O_APPEND | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (to < 0) return;
  off_t at = (off_t)(events_bytes - EVENTS_FILE_BYTES_MAX / 2);
  bool in_line = false;
  bool good = true;
  ssize_t bytes;
  while (good && (bytes = pread(events_fd, block, sizeof block, at)) > 0) {
    at += bytes;
    char *from = block;
    if (!in_line) {
      from = memchr(block, '\n', (size_t)bytes);
      if (from == NULL) continue;
      from++;
      in_line = true;
    }
    ssize_t count = block + bytes - from;
    good = count == 0 || write(to, from, (size_t)count) == count;
  }
  good = good && renameat(dir_fd, "events.new", dir_fd, "events") == 0;
  close(to);
  if (!good) {
    unlinkat(dir_fd, "events.new", 0);
    return;
  }
  close(events_fd);
  open_events();
}

static bool append_event(const char *bytes, size_t count) {
  if (events_fd < 0) return false;
  ssize_t written = write(events_fd, bytes, count);
  if (written == (ssize_t)count) {
    events_bytes += count;
    return true;
  }
  if (written > 0) (void)!ftruncate(events_fd, (off_t)events_bytes);
  return false;
}

/* Keeps a line for later; a full buffer forgets the line, as the disk would have. */
static void keep(struct lines *lines, const char *bytes, size_t count) {
  if (lines->count + count > sizeof lines->bytes) return;
  memcpy(lines->bytes + lines->count, bytes, count);
  lines->count += count;
}

static void each_line(const char *bytes, size_t count,
                      void (*each)(void *context, const char *line, size_t bytes), void *context) {
  for (size_t at = 0; at < count;) {
    const char *end = memchr(bytes + at, '\n', count - at);
    if (end == NULL) return;
    size_t length = (size_t)(end - bytes) - at;
    if (length > 0) each(context, bytes + at, length);
    at += length + 1;
  }
}

static void tell(void *context, const char *line, size_t bytes) {
  clients_send_subscribers(line, bytes);
}

void event_begin(const char *kind) {
  event_count = (size_t)snprintf(event, sizeof event, "%llu %llu %llu %s",
                                 (unsigned long long)++seq, (unsigned long long)wall_ms(),
                                 (unsigned long long)boot_ms(), kind);
}

void event_text(const char *key, const char *value) {
  /* Room for a key, for the newline, and no value so long that the next ones do not fit. */
  enum { VALUE_MAX = 2048 };
  size_t key_length = strlen(key);
  size_t room = sizeof event - event_count - 2;
  if (room < key_length + 64) return;
  room -= key_length + 2;
  event_count += (size_t)sprintf(event + event_count, " %s=", key);
  event_count += encode(event + event_count, room < VALUE_MAX ? room : VALUE_MAX, value);
}

void event_number(const char *key, long long value) {
  char text[24];
  snprintf(text, sizeof text, "%lld", value);
  event_text(key, text);
}

void event_end(void) {
  event[event_count++] = '\n';
  assert(event_count <= sizeof event);
  state_changed = true;
  if (untold.count + event_count > sizeof untold.bytes) record_flush();
  keep(&untold, event, event_count);
  if (dir_fd < 0) return;
  if (unwritten.count > 0 && append_event(unwritten.bytes, unwritten.count)) unwritten.count = 0;
  if (unwritten.count > 0 || !append_event(event, event_count)) {
    keep(&unwritten, event, event_count);
  }
  if (events_bytes > EVENTS_FILE_BYTES_MAX) shorten_events();
}

void record_state_changed(void) { state_changed = true; }

static bool write_state(const char *line, size_t count) {
  int fd = openat(dir_fd, "state.new", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  bool good = write(fd, line, count) == (ssize_t)count;
  close(fd);
  return good && renameat(dir_fd, "state.new", dir_fd, "state") == 0;
}

void record_flush(void) {
  if (!state_changed && !state_unwritten) return;
  if (dir_fd < 0 && !clients_any_subscribed()) {
    untold.count = 0;
    state_changed = false;
    return;
  }
  char line[STATE_LINE_BYTES_MAX];
  size_t count = (size_t)sprintf(line, "state ");
  count += job_state_line(line + count, sizeof line - count - 1);
  if (state_changed) clients_send_subscribers(line, count);
  each_line(untold.bytes, untold.count, tell, NULL);
  untold.count = 0;
  state_changed = false;
  line[count++] = '\n';
  if (dir_fd >= 0) state_unwritten = !write_state(line + 6, count - 6);
  if (unwritten.count > 0 && append_event(unwritten.bytes, unwritten.count)) unwritten.count = 0;
}

uint64_t record_deadline(void) {
  return state_unwritten || unwritten.count > 0 ? now_ms() + RETRY_MS : NEVER;
}

uint64_t record_seq(void) { return seq; }

struct replay {
  uint64_t after;
  void (*each)(void *context, const char *line, size_t bytes);
  void *context;
};

static void replay_line(void *context, const char *line, size_t bytes) {
  const struct replay *replay = context;
  if (strtoull(line, NULL, 10) > replay->after) replay->each(replay->context, line, bytes);
}

void record_replay(uint64_t after, void (*each)(void *context, const char *line, size_t bytes),
                   void *context) {
  struct replay replay = {.after = after, .each = each, .context = context};
  if (dir_fd < 0 || events_bytes == 0) return;
  char *all = malloc((size_t)events_bytes + 1);
  if (all == NULL) return;
  ssize_t bytes = pread(events_fd, all, (size_t)events_bytes, 0);
  if (bytes > 0) {
    all[bytes] = '\0';
    each_line(all, (size_t)bytes, replay_line, &replay);
  }
  free(all);
}
