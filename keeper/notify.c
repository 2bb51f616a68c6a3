/*
 * The socket of sd_notify(3): datagrams of `KEY=value` lines from the job's processes.
 *
 * Everybody may write to it; the kernel says who did, and only those count that NotifyAccess= lets
 * speak for the job. Whoever writes more than a person could read waits: what is taken in 100 ms is
 * bounded, and with it what states and subscribers cost. Descriptors that come along are closed
 * when the message has had its effect, which is all that sd_notify_barrier(3) asks for.
 */
#define _GNU_SOURCE
#include "keeper.h"

#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
  MESSAGE_BYTES_MAX = 4096,
  DESCRIPTORS_MAX = 253, /* the kernel's bound */
  WINDOW_MS = 100,
  WINDOW_MESSAGES_MAX = 32,
};

static const char name[] = "notify";
static int socket_fd = -1;
static struct sockaddr_un address; /* sun_path as the environment has it */
static uint64_t window_end;
static unsigned window_messages;
static bool waiting; /* for the window's end, with messages perhaps unread */

/* In the job's directory. For a path that is too long the kernel chooses an abstract name. */
static int bind_socket(const struct spec *spec, int dir_fd) {
  struct sockaddr_un own = {.sun_family = AF_UNIX};
  socklen_t bytes = sizeof own;
  address.sun_family = AF_UNIX;
  int length = snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", spec->dir, name);
  if ((size_t)length < sizeof address.sun_path) {
    memcpy(own.sun_path, name, sizeof name);
    unlinkat(dir_fd, name, 0);
    if (fchdir(dir_fd) < 0) return errno;
    int error = bind(socket_fd, (struct sockaddr *)&own, sizeof own) == 0 ? 0 : errno;
    bool back = chdir("/") == 0;
    assert(back);
    return error;
  }
  if (bind(socket_fd, (struct sockaddr *)&own, sizeof own.sun_family) < 0) return errno;
  if (getsockname(socket_fd, (struct sockaddr *)&own, &bytes) < 0) return errno;
  int digits = (int)bytes - (int)offsetof(struct sockaddr_un, sun_path) - 1;
  snprintf(address.sun_path, sizeof address.sun_path, "@%.*s", digits, own.sun_path + 1);
  return 0;
}

int notify_open(const struct spec *spec, int dir_fd, char text[TEXT_BYTES_MAX]) {
  if (spec->notify == NOTIFY_NONE) return 0;
  int on = 1;
  socket_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  int error = socket_fd < 0 ? errno : 0;
  if (error == 0 && setsockopt(socket_fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0) {
    error = errno;
  }
  if (error == 0) error = bind_socket(spec, dir_fd);
  if (error == 0) error = watch_add(socket_fd, WATCH_NOTIFY, 0, EPOLLIN | EPOLLET);
  if (error != 0) snprintf(text, TEXT_BYTES_MAX, "make the notify socket: %s", strerror(error));
  return error;
}

const char *notify_address(void) { return socket_fd < 0 ? NULL : address.sun_path; }

uint64_t notify_deadline(void) { return waiting ? window_end : NEVER; }

void notify_close(int dir_fd) {
  if (socket_fd < 0) return;
  close(socket_fd);
  socket_fd = -1;
  waiting = false;
  if (address.sun_path[0] == '/') unlinkat(dir_fd, name, 0);
}

/* ---- messages */

static void handle(pid_t sender, char *text) {
  if (!job_hears(sender)) {
    job_ignores(sender, "NotifyAccess= does not let this process speak for the job");
    return;
  }
  for (char *line = text; line != NULL;) {
    char *end = strchr(line, '\n');
    if (end != NULL) *end++ = '\0';
    char *value = strchr(line, '=');
    if (value != NULL) {
      *value++ = '\0';
      const char *why = job_told(line, value);
      if (why != NULL) job_ignores(sender, why);
    }
    line = end;
  }
}

/* The sender by the kernel's word, 0 without it. Descriptors go to `fds`. */
static pid_t read_control(struct msghdr *message, int *fds, unsigned *count) {
  pid_t sender = 0;
  for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL;
       part = CMSG_NXTHDR(message, part)) {
    if (part->cmsg_level != SOL_SOCKET) continue;
    if (part->cmsg_type == SCM_CREDENTIALS) {
      struct ucred credentials;
      memcpy(&credentials, CMSG_DATA(part), sizeof credentials);
      sender = credentials.pid;
    } else if (part->cmsg_type == SCM_RIGHTS) {
      *count = (unsigned)((part->cmsg_len - CMSG_LEN(0)) / sizeof(int));
      memcpy(fds, CMSG_DATA(part), *count * sizeof(int));
    }
  }
  return sender;
}

/* False when there is none. */
static bool take_one(void) {
  static char text[MESSAGE_BYTES_MAX + 1];
  static _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct ucred)) +
                                               CMSG_SPACE(DESCRIPTORS_MAX * sizeof(int))];
  int fds[DESCRIPTORS_MAX];
  unsigned count = 0;
  struct iovec part = {text, MESSAGE_BYTES_MAX};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  ssize_t bytes = recvmsg(socket_fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (bytes < 0) return errno == EINTR;
  pid_t sender = read_control(&message, fds, &count);
  text[bytes] = '\0';
  if (!(message.msg_flags & MSG_TRUNC)) handle(sender, text);
  for (unsigned i = 0; i < count; i++) close(fds[i]);
  return true;
}

void notify_ready(void) {
  if (socket_fd < 0) return;
  uint64_t now = now_ms();
  if (now >= window_end) {
    window_end = now + WINDOW_MS;
    window_messages = 0;
  }
  waiting = false;
  while (window_messages < WINDOW_MESSAGES_MAX) {
    if (!take_one()) return;
    window_messages++;
  }
  waiting = true;
}
