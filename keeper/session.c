/*
 * A session's turn on a processor. Linux may group processes by session (sched_autogroup_enabled):
 * nice values then count only within one, and the group has another, which is 0 in every new one.
 * It is set, too, so that `nice` means what it says.
 */
#define _GNU_SOURCE
#include "keeper.h"

#include <fcntl.h>
#include <unistd.h>

/* Between fork and exec: only what is safe in a signal handler. */
void session_nice(int nice) {
  /* Where nothing is grouped there is no such file. */
  int fd = open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  char text[3];
  size_t length = 0;
  int value = nice < 0 ? -nice : nice;
  if (nice < 0) text[length++] = '-';
  if (value >= 10) text[length++] = (char)('0' + value / 10);
  text[length++] = (char)('0' + value % 10);
  (void)!write(fd, text, length);
  close(fd);
}
