/*
 * The job's log: what comes from its pipes, as CRI lines in files that rotate.
 *
 * Every byte read gets into a line, whatever it is. A line waits unfinished for at most a second
 * and 16 KiB, then it is written as a part (`P`). Only a disk that takes nothing loses lines, and
 * then their number is written as soon as it takes something again. A file never holds half an
 * entry: what a failed write left is cut off.
 */
#define _GNU_SOURCE
#include "keeper.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ENTRY_HEAD_BYTES_MAX = 48, OUT_BYTES = 64 << 10 };

struct line {
  char bytes[LOG_LINE_BYTES_MAX];
  size_t count;
  uint64_t part_at; /* when it is written as a part, if nothing comes */
  bool open;        /* a part was written, its line goes on */
};

static const char *const stream_names[2] = {"stdout", "stderr"};
static struct line lines[2];
static char out[OUT_BYTES];
static size_t out_count;
static uint64_t out_lines;
static int dir_fd = -1;
static int file_fd = -1;
static uint64_t file_bytes, file_bytes_max, files_max;
static uint64_t lost_lines;

static void open_file(void) {
  file_fd = openat(dir_fd, "log", O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0640);
  struct stat stat;
  file_bytes = file_fd >= 0 && fstat(file_fd, &stat) == 0 ? (uint64_t)stat.st_size : 0;
  char last;
  /* A machine that died in a write may have left half a line. */
  bool cut = file_bytes > 0 && pread(file_fd, &last, 1, (off_t)file_bytes - 1) == 1 && last != '\n';
  if (cut && write(file_fd, "\n", 1) == 1) file_bytes++;
}

void log_open(const struct spec *spec, int log_dir_fd) {
  dir_fd = log_dir_fd;
  file_bytes_max = spec->log_file_bytes;
  files_max = spec->log_files;
  lines[0].part_at = lines[1].part_at = NEVER;
  open_file();
}

static void rotate(void) {
  char from[32], to[32];
  close(file_fd);
  for (uint64_t i = files_max - 1; i >= 1; i--) {
    snprintf(from, sizeof from, i == 1 ? "log" : "log.%u", (unsigned)i - 1);
    snprintf(to, sizeof to, "log.%u", (unsigned)i);
    renameat(dir_fd, from, dir_fd, to);
  }
  if (files_max == 1) unlinkat(dir_fd, "log", 0);
  open_file();
}

static bool append(const char *bytes, size_t count) {
  if (file_fd >= 0 && file_bytes > 0 && file_bytes + count > file_bytes_max) rotate();
  if (file_fd < 0) open_file();
  if (file_fd < 0) return false;
  ssize_t written = write(file_fd, bytes, count);
  if (written == (ssize_t)count) {
    file_bytes += count;
    return true;
  }
  if (written > 0) (void)!ftruncate(file_fd, (off_t)file_bytes);
  return false;
}

/* Formats the beginning of an entry. The date is made anew only when the second changes. */
static size_t entry_head(char *to, unsigned stream, bool part) {
  static time_t second = -1;
  static char date[24];
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (now.tv_sec != second) {
    struct tm tm;
    second = now.tv_sec;
    gmtime_r(&second, &tm);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
  }
  int length = snprintf(to, ENTRY_HEAD_BYTES_MAX, "%s.%09ldZ %s %c ", date, now.tv_nsec,
                        stream_names[stream], part ? 'P' : 'F');
  assert(length > 0 && length < ENTRY_HEAD_BYTES_MAX);
  return (size_t)length;
}

static void flush(void) {
  if (out_count == 0) return;
  if (lost_lines > 0) {
    char entry[160];
    size_t head = entry_head(entry, 1, false);
    int text = snprintf(entry + head, sizeof entry - head, "holon: %llu lines lost, disk full\n",
                        (unsigned long long)lost_lines);
    if (append(entry, head + (size_t)text)) lost_lines = 0;
  }
  if (lost_lines > 0 || !append(out, out_count)) lost_lines += out_lines;
  out_count = 0;
  out_lines = 0;
}

static void put_entry(unsigned stream, bool part, const char *first, size_t first_count,
                      const char *rest, size_t rest_count) {
  size_t needed = ENTRY_HEAD_BYTES_MAX + first_count + rest_count + 1;
  assert(needed <= OUT_BYTES);
  if (out_count + needed > OUT_BYTES) flush();
  out_count += entry_head(out + out_count, stream, part);
  memcpy(out + out_count, first, first_count);
  out_count += first_count;
  memcpy(out + out_count, rest, rest_count);
  out_count += rest_count;
  out[out_count++] = '\n';
  if (!part) out_lines++;
  lines[stream].open = part;
  lines[stream].part_at = NEVER;
}

void log_bytes(unsigned stream, const char *bytes, size_t count) {
  assert(stream < 2);
  struct line *line = &lines[stream];
  while (count > 0) {
    size_t room = LOG_LINE_BYTES_MAX - line->count;
    const char *end = memchr(bytes, '\n', count);
    size_t length = end == NULL ? count : (size_t)(end - bytes);
    if (length > room) {
      put_entry(stream, true, line->bytes, line->count, bytes, room);
      line->count = 0;
      bytes += room;
      count -= room;
    } else if (end != NULL) {
      put_entry(stream, false, line->bytes, line->count, bytes, length);
      line->count = 0;
      bytes = end + 1;
      count -= length + 1;
    } else {
      memcpy(line->bytes + line->count, bytes, length);
      line->count += length;
      line->part_at = now_ms() + LOG_PART_MS;
      count = 0;
    }
  }
  flush();
}

static void end_part(unsigned stream) {
  struct line *line = &lines[stream];
  if (line->count > 0) put_entry(stream, true, line->bytes, line->count, "", 0);
  line->count = 0;
}

void log_end_parts(void) {
  if (dir_fd < 0) return;
  end_part(0);
  end_part(1);
  flush();
}

void log_tick(uint64_t now) {
  for (unsigned stream = 0; stream < 2; stream++) {
    if (lines[stream].part_at <= now) end_part(stream);
  }
  flush();
}

uint64_t log_deadline(void) {
  if (dir_fd < 0) return NEVER;
  return lines[0].part_at < lines[1].part_at ? lines[0].part_at : lines[1].part_at;
}
