/*
 * The job's directory and its socket, made by the nursery before it forks, so that what cannot be
 * made is answered with an error and no process.
 *
 * The directory is opened once, without following a link, and everything in it is reached through
 * that descriptor: nobody can swap it afterwards. Binding goes through the working directory, so
 * the 107 bytes of a socket's path bound only the name "sock".
 */
#define _GNU_SOURCE
#include "keeper.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

int make_dirs(const char *path, mode_t mode) {
  char partial[PATH_BYTES_MAX];
  size_t length = strlen(path);
  if (length >= sizeof partial) return ENAMETOOLONG;
  /* Mostly it or its parent is there: try the whole first, the parents only when one lacks. */
  if (mkdir(path, mode) == 0 || errno == EEXIST) return 0;
  if (errno != ENOENT) return errno;
  for (size_t i = 1; i <= length; i++) {
    if (path[i] != '/' && path[i] != '\0') continue;
    memcpy(partial, path, i);
    partial[i] = '\0';
    if (mkdir(partial, mode) < 0 && errno != EEXIST) return errno;
  }
  return 0;
}

/* A descriptor of the directory, which must be ours alone to write, or -1 with errno. */
static int open_own_dir(const char *path, mode_t mode) {
  int error = make_dirs(path, mode);
  if (error != 0) {
    errno = error;
    return -1;
  }
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return -1;
  struct stat stat;
  if (fstat(fd, &stat) == 0 && stat.st_uid == geteuid() && (stat.st_mode & 0022) == 0) return fd;
  close(fd);
  errno = EPERM;
  return -1;
}

static bool somebody_listens(const struct sockaddr_un *address) {
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return true;
  bool refused = connect(fd, (const struct sockaddr *)address, sizeof *address) < 0 &&
                 (errno == ECONNREFUSED || errno == ENOENT);
  close(fd);
  return !refused;
}

/* A listening socket "sock" in the working directory, or -1 with errno. */
static int listen_here(uid_t owner) {
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "sock"};
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  int bound = bind(fd, (struct sockaddr *)&address, sizeof address);
  if (bound < 0 && errno == EADDRINUSE) {
    /* Left by a keeper that was killed, or is one at work? */
    if (somebody_listens(&address)) {
      errno = EADDRINUSE;
    } else if (unlink(address.sun_path) == 0) {
      bound = bind(fd, (struct sockaddr *)&address, sizeof address);
    }
  }
  if (bound == 0 && owner != geteuid()) bound = lchown(address.sun_path, owner, (gid_t)-1);
  if (bound == 0 && listen(fd, CLIENTS_MAX) == 0) return fd;
  int error = errno;
  close(fd);
  errno = error;
  return -1;
}

static int fail(struct nest *nest, const char *action, const char *path, char *text) {
  int error = errno;
  assert(error != 0);
  snprintf(text, TEXT_BYTES_MAX, "%s %s: %s", action, path, strerror(error));
  jobdir_close(nest);
  return error;
}

int jobdir_open(const struct spec *spec, struct nest *nest, char text[TEXT_BYTES_MAX]) {
  *nest = (struct nest){.dir_fd = -1, .listen_fd = -1, .log_dir_fd = -1};
  mode_t mask = umask(0);
  nest->dir_fd = open_own_dir(spec->dir, 0711);
  if (nest->dir_fd >= 0 && !spec->stream_output) {
    nest->log_dir_fd = spec->log_dir == NULL ? dup(nest->dir_fd) : open_own_dir(spec->log_dir, 0750);
  }
  umask(mask);
  if (nest->dir_fd < 0) return fail(nest, "open the job's directory", spec->dir, text);
  if (nest->log_dir_fd < 0 && !spec->stream_output) {
    return fail(nest, "open the log's directory", spec->log_dir, text);
  }
  if (fchdir(nest->dir_fd) < 0) return fail(nest, "enter", spec->dir, text);
  nest->listen_fd = listen_here(spec->owner);
  int error = errno;
  bool back = chdir("/") == 0;
  assert(back);
  errno = error;
  if (nest->listen_fd < 0) return fail(nest, "listen in", spec->dir, text);
  return 0;
}

void jobdir_close(struct nest *nest) {
  if (nest->dir_fd >= 0) close(nest->dir_fd);
  if (nest->listen_fd >= 0) close(nest->listen_fd);
  if (nest->log_dir_fd >= 0) close(nest->log_dir_fd);
  *nest = (struct nest){.dir_fd = -1, .listen_fd = -1, .log_dir_fd = -1};
}
