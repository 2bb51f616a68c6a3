/*
 * The processes of the job: those in its killing group, or, without one, the keeper's descendants,
 * found by walking /proc. The keeper is a subreaper, so nothing that a job forks leaves that tree.
 */
#define _GNU_SOURCE
#include "keeper.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* More processes than this in the whole machine: the rest is found by the next pass. */
enum { PROCS_MAX = 1 << 16 };

struct process {
  pid_t pid, parent;
  bool ours;
};

/* Field 4 of /proc/PID/stat is the parent, 22 the start; the name before them may hold anything. */
static bool read_stat(pid_t pid, pid_t *parent, unsigned long long *start) {
  char path[64], buffer[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  ssize_t bytes = read(fd, buffer, sizeof buffer - 1);
  close(fd);
  if (bytes <= 0) return false;
  buffer[bytes] = '\0';
  char *at = strrchr(buffer, ')');
  if (at == NULL) return false;
  for (int field = 3; field <= 22; field++) {
    at = strchr(at + 1, ' ');
    if (at == NULL) return false;
    if (field == 4) *parent = (pid_t)strtol(at + 1, NULL, 10);
    if (field == 22) *start = strtoull(at + 1, NULL, 10);
  }
  return true;
}

unsigned long long proc_start_ticks(pid_t pid) {
  pid_t parent;
  unsigned long long start = 0;
  return read_stat(pid, &parent, &start) ? start : 0;
}

static unsigned list_processes(struct process *all) {
  unsigned count = 0;
  DIR *proc = opendir("/proc");
  if (proc == NULL) return 0;
  struct dirent *entry;
  while (count < PROCS_MAX && (entry = readdir(proc)) != NULL) {
    if (!isdigit((unsigned char)entry->d_name[0])) continue;
    struct process *process = &all[count];
    unsigned long long start;
    process->pid = (pid_t)atoi(entry->d_name);
    process->ours = false;
    if (read_stat(process->pid, &process->parent, &start)) count++;
  }
  closedir(proc);
  return count;
}

/* Marks what descends from `root`, level by level; the depth of a process tree bounds it. */
static unsigned descendants(pid_t root, pid_t *pids, unsigned max) {
  size_t bytes = PROCS_MAX * sizeof(struct process);
  struct process *all =
      mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (all == MAP_FAILED) return 0;
  unsigned count = list_processes(all);
  unsigned found = 0;
  for (bool grown = true; grown;) {
    grown = false;
    for (unsigned i = 0; i < count; i++) {
      if (all[i].ours) continue;
      bool ours = all[i].parent == root;
      for (unsigned j = 0; j < found && !ours; j++) ours = pids[j] == all[i].parent;
      if (!ours || found == max) continue;
      all[i].ours = grown = true;
      pids[found++] = all[i].pid;
    }
  }
  munmap(all, bytes);
  return found;
}

void procs_kill_descendants(pid_t keeper) {
  size_t bytes = PROCS_MAX * sizeof(pid_t);
  pid_t *pids = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pids == MAP_FAILED) return;
  unsigned count = descendants(keeper, pids, PROCS_MAX);
  for (unsigned i = 0; i < count; i++) kill(pids[i], SIGKILL);
  munmap(pids, bytes);
}

bool procs_is_ours(pid_t pid) {
  pid_t self = getpid();
  unsigned long long start;
  for (unsigned depth = 0; pid > 1 && pid != self && depth < PROCS_MAX; depth++) {
    pid_t parent;
    if (!read_stat(pid, &parent, &start)) return false;
    if (parent == self) return true;
    pid = parent;
  }
  return false;
}

unsigned procs_signal_all(int signal, bool then_continue, pid_t skip_main, pid_t skip_control) {
  size_t bytes = PROCS_MAX * sizeof(pid_t);
  pid_t *pids = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pids == MAP_FAILED) return 0;
  unsigned count = cgroup_pids(pids, PROCS_MAX);
  /* Without a group, or when something of ours left it. */
  if (count == 0) count = descendants(getpid(), pids, PROCS_MAX);
  unsigned sent = 0;
  /* At once and without a gap for forks where the kernel offers that. */
  if (signal == SIGKILL) cgroup_kill_all();
  for (unsigned i = 0; i < count; i++) {
    if (pids[i] == skip_main || pids[i] == skip_control) continue;
    if (kill(pids[i], signal) == 0) sent++;
    if (then_continue) kill(pids[i], SIGCONT);
  }
  munmap(pids, bytes);
  return sent;
}
