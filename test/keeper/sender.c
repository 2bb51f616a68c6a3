/*
 * What a program does with sd_notify(3), for the keeper's tests. Each argument is one step:
 * `fd:TEXT` sends with a descriptor, `barrier` waits until all that was sent has been taken,
 * `pause` waits for ever, `echo:TEXT` prints; anything else is sent as it is.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void send_text(const char *text, int fd) {
  const char *path = getenv("NOTIFY_SOCKET");
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  union {
    struct cmsghdr head;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control = {.head = {.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
  struct iovec part = {(void *)text, strlen(text)};
  struct msghdr message = {.msg_name = &address, .msg_iov = &part, .msg_iovlen = 1};
  if (path == NULL) {
    fputs("no NOTIFY_SOCKET\n", stderr);
    exit(1);
  }
  strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  message.msg_namelen = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
  if (path[0] == '@') address.sun_path[0] = '\0';
  if (fd >= 0) {
    control.head.cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
    message.msg_control = &control;
    message.msg_controllen = sizeof control;
  }
  int sender = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (sender < 0 || sendmsg(sender, &message, 0) < 0) fail("send");
  close(sender);
}

static void barrier(void) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) fail("pipe");
  send_text("BARRIER=1", ends[1]);
  close(ends[1]);
  struct pollfd taken = {.fd = ends[0]};
  if (poll(&taken, 1, 10000) != 1) fail("barrier");
  close(ends[0]);
}

int main(int argc, char **argv) {
  setvbuf(stdout, NULL, _IONBF, 0);
  for (int i = 1; i < argc; i++) {
    if (!strcmp(argv[i], "pause")) pause();
    else if (!strcmp(argv[i], "barrier")) barrier();
    else if (!strncmp(argv[i], "echo:", 5)) puts(argv[i] + 5);
    else if (!strncmp(argv[i], "fd:", 3)) send_text(argv[i] + 3, STDIN_FILENO);
    else send_text(argv[i], -1);
  }
  return 0;
}
