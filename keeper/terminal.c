/*
 * The job's terminal. The keeper leads the session and holds both ends; each command runs in a group
 * of its own in the foreground. So a stop by Ctrl-Z really stops (the group's parent is in the same
 * session), and the end of the keeper hangs the terminal up.
 */
#define _GNU_SOURCE
#include "keeper.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static int master_fd = -1;
static int slave_fd = -1;

int terminal_open(uint16_t rows, uint16_t columns, int *master, int *slave) {
  master_fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
  if (master_fd < 0) return errno;
  int unlock = 0;
  if (ioctl(master_fd, TIOCSPTLCK, &unlock) < 0) return errno;
#ifdef TIOCGPTPEER
  slave_fd = ioctl(master_fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
#endif
  if (slave_fd < 0) {
    char name[64];
    if (ptsname_r(master_fd, name, sizeof name) != 0) return errno;
    slave_fd = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
  }
  if (slave_fd < 0) return errno;
  if (ioctl(slave_fd, TIOCSCTTY, 0) < 0) return errno;
  terminal_resize(master_fd, rows, columns);
  struct termios modes;
  if (tcgetattr(slave_fd, &modes) == 0) {
    /* Erasing removes a whole character: everything is UTF-8 today. */
    modes.c_iflag |= IUTF8;
    tcsetattr(slave_fd, TCSANOW, &modes);
  }
  *master = master_fd;
  *slave = slave_fd;
  return 0;
}

void terminal_resize(int master, uint16_t rows, uint16_t columns) {
  struct winsize size = {.ws_row = rows, .ws_col = columns};
  ioctl(master, TIOCSWINSZ, &size);
}

int terminal_slave(void) { return slave_fd; }
int terminal_master(void) { return master_fd; }

/* The group that Ctrl-C would reach, or 0. */
pid_t terminal_foreground(void) {
  pid_t group = slave_fd < 0 ? -1 : tcgetpgrp(slave_fd);
  return group > 0 ? group : 0;
}

void terminal_set_foreground(pid_t group) {
  if (slave_fd >= 0) tcsetpgrp(slave_fd, group);
}
