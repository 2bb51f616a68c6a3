/*
 * The job's control groups.
 *
 * v2: commands are cloned right into the group, which costs nothing. v1 has no such call, and moving
 * a process there takes the kernel 5 to 10 ms; so the keeper itself joins v1 groups once, and what
 * it forks is born in them: a restart pays nothing. It leaves before it removes the directory, and
 * whoever lists a v1 group's processes finds the keeper among them.
 */
#define _GNU_SOURCE
#include "keeper.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#define CGROUP2_MAGIC 0x63677270

struct group {
  const char *path;
  int fd;
  bool unified;
};

static struct group groups[CGROUPS_MAX];
static unsigned group_count;
static struct group *unified; /* the one to clone into */
static struct group *killing; /* the one whose cgroup.kill or cgroup.procs ends the job */
static bool has_kill_file;
static int oom_dir = -1;
static const char *oom_file;

static bool write_in(int dir_fd, const char *name, const char *text) {
  int fd = openat(dir_fd, name, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  bool written = write(fd, text, strlen(text)) > 0;
  int error = errno;
  close(fd);
  errno = error;
  return written;
}

static bool exists_in(int dir_fd, const char *name) { return faccessat(dir_fd, name, F_OK, 0) == 0; }

/* Makes the directory and joins it where that must be done beforehand; 0 or an errno. */
static int open_group(struct group *group) {
  int error = 0;
  /* An earlier keeper of the same job may be removing the directory just now. */
  for (int attempt = 0; attempt < 5; attempt++) {
    error = make_dirs(group->path, 0755);
    if (error != 0) return error;
    group->fd = open(group->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (group->fd < 0) {
      error = errno;
      continue;
    }
    struct statfs fs;
    group->unified = fstatfs(group->fd, &fs) == 0 && fs.f_type == CGROUP2_MAGIC;
    if (group->unified || write_in(group->fd, "cgroup.procs", "0")) return 0;
    error = errno;
    close(group->fd);
    if (error != ENOENT && error != ENODEV) break;
  }
  return error;
}

int cgroup_open(const struct spec *spec, char text[TEXT_BYTES_MAX]) {
  for (unsigned i = 0; i < spec->cgroup_count; i++) {
    struct group *group = &groups[group_count];
    group->path = spec->cgroups[i];
    int error = open_group(group);
    if (error == 0 && group->unified && unified != NULL) error = EINVAL;
    if (error != 0) {
      snprintf(text, TEXT_BYTES_MAX, "control group %s: %s", group->path, strerror(error));
      return error;
    }
    group_count++;
    if (group->unified) unified = group;
    if (!has_kill_file && exists_in(group->fd, "cgroup.kill")) {
      has_kill_file = true;
      killing = group;
    }
    if (oom_file != NULL) continue;
    if (exists_in(group->fd, "memory.events")) oom_file = "memory.events";
    else if (exists_in(group->fd, "memory.oom_control")) oom_file = "memory.oom_control";
    if (oom_file != NULL) oom_dir = group->fd;
  }
  if (killing == NULL && group_count > 0) killing = unified != NULL ? unified : &groups[0];
  return 0;
}

/* An earlier keeper of the job may remove the empty directory after we opened it: once more then. */
bool cgroup_reopen(void) {
  if (unified == NULL) return false;
  bool counts = oom_dir >= 0 && oom_dir == unified->fd;
  if (unified->fd >= 0) close(unified->fd);
  if (open_group(unified) != 0) {
    unified->fd = -1;
    return false;
  }
  if (counts) oom_dir = unified->fd;
  return true;
}

int cgroup_clone_fd(void) {
  if (unified == NULL) return CGROUP_NONE;
  return unified->fd >= 0 || cgroup_reopen() ? unified->fd : CGROUP_LOST;
}

bool cgroup_is_shared(void) {
  for (unsigned i = 0; i < group_count; i++) {
    if (!groups[i].unified) return true;
  }
  return false;
}

bool cgroup_kill_all(void) { return has_kill_file && write_in(killing->fd, "cgroup.kill", "1"); }

unsigned cgroup_pids(pid_t *pids, unsigned max) {
  static char buffer[4096];
  if (killing == NULL) return 0;
  int fd = openat(killing->fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  unsigned count = 0;
  pid_t pid = 0;
  ssize_t bytes;
  while (count < max && (bytes = read(fd, buffer, sizeof buffer)) > 0) {
    for (ssize_t i = 0; i < bytes && count < max; i++) {
      if (buffer[i] >= '0' && buffer[i] <= '9') {
        pid = pid * 10 + (buffer[i] - '0');
        continue;
      }
      if (pid > 0 && pid != getpid()) pids[count++] = pid;
      pid = 0;
    }
  }
  close(fd);
  return count;
}

/* How many of the group's processes the kernel killed for want of memory so far. */
uint64_t cgroup_oom_kills(void) {
  char buffer[1024];
  if (oom_file == NULL) return 0;
  int fd = openat(oom_dir, oom_file, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  ssize_t bytes = read(fd, buffer, sizeof buffer - 1);
  close(fd);
  if (bytes <= 0) return 0;
  buffer[bytes] = '\0';
  for (char *line = buffer; line != NULL; line = strchr(line, '\n')) {
    if (*line == '\n') line++;
    if (strncmp(line, "oom_kill ", 9) == 0) return strtoull(line + 9, NULL, 10);
  }
  return 0;
}

int cgroup_join_in_child(void) {
  if (unified == NULL || write_in(unified->fd, "cgroup.procs", "0")) return 0;
  return errno;
}

static void leave(const struct group *group) {
  char parent[PATH_BYTES_MAX];
  const char *slash = strrchr(group->path, '/');
  size_t length = slash == NULL ? 0 : (size_t)(slash - group->path);
  if (length == 0 || length >= sizeof parent) return;
  memcpy(parent, group->path, length);
  parent[length] = '\0';
  int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  (void)!write_in(fd, "cgroup.procs", "0");
  close(fd);
}

/* Every process that the file of the group lists but `keeper` and us; how many. */
static unsigned kill_listed(const char *path, pid_t keeper) {
  char procs[PATH_BYTES_MAX + 16];
  snprintf(procs, sizeof procs, "%s/cgroup.procs", path);
  FILE *file = fopen(procs, "re");
  if (file == NULL) return 0;
  unsigned count = 0;
  int pid;
  while (fscanf(file, "%d", &pid) == 1) {
    if (pid <= 0 || pid == keeper || pid == getpid()) continue;
    kill(pid, SIGKILL);
    count++;
  }
  fclose(file);
  return count;
}

unsigned cgroup_kill_paths(const struct spec *spec, pid_t keeper) {
  unsigned count = 0;
  for (unsigned i = 0; i < spec->cgroup_count; i++) {
    int fd = open(spec->cgroups[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) continue;
    if (!write_in(fd, "cgroup.kill", "1")) count += kill_listed(spec->cgroups[i], keeper);
    close(fd);
  }
  return count;
}

/* Removes the directories. Killed processes need a moment to be gone; a group that stays busy after
   that has processes that the job's kill-mode leaves alone, and they keep it. */
void cgroup_close(void) {
  for (unsigned i = 0; i < group_count; i++) {
    if (!groups[i].unified) leave(&groups[i]);
    for (int attempt = 0; attempt < 20; attempt++) {
      if (rmdir(groups[i].path) == 0 || errno != EBUSY) break;
      nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
    close(groups[i].fd);
  }
  group_count = 0;
  unified = killing = NULL;
  has_kill_file = false;
  oom_file = NULL;
}
