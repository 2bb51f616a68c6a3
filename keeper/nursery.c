/*
 * The nursery: keeps one process in waiting, which reads the next spec from stdin, answers on stdout
 * and becomes that job's keeper. So no job waits for a fork: the next process in waiting is made
 * while the job starts.
 *
 * The nursery stays tiny, because what it has is what each fork copies. A keeper starts its own
 * session and the nursery disowns its children (SA_NOCLDWAIT), so one fork does what a double fork
 * is for: nobody waits for a keeper, and it does not notice when the nursery goes.
 * Invariant: exactly one process reads stdin, since the next is made after a request was read whole.
 */
#define _GNU_SOURCE
#include "keeper.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The agent may have started us with anything blocked or ignored; jobs must not inherit that. */
static void reset_signals(void) {
  for (int signal = 1; signal <= 64; signal++) {
    struct sigaction action = {.sa_handler = SIG_DFL};
    if (signal == SIGCHLD) action.sa_flags = SA_NOCLDWAIT;
    sigaction(signal, &action, NULL);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

/* False at the end of the input. */
static bool read_all(char *to, size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    ssize_t count = read(STDIN_FILENO, to + done, bytes - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    done += (size_t)count;
  }
  return true;
}

static bool reply(char *line) {
  /* One line is one answer, whatever bytes a path has. */
  size_t length = strlen(line);
  for (size_t i = 0; i < length; i++) {
    if ((unsigned char)line[i] < ' ') line[i] = '?';
  }
  line[length++] = '\n';
  for (size_t done = 0; done < length;) {
    ssize_t count = write(STDOUT_FILENO, line + done, length - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return false;
    done += (size_t)count;
  }
  return true;
}

/* Writes the job's name over our arguments, where `ps` reads it. */
static void rename_process(char *area, size_t bytes, const char *id) {
  prctl(PR_SET_NAME, "holon-keeper");
  if (area == NULL || bytes < 2) return;
  memset(area, 0, bytes);
  snprintf(area, bytes, "holon-keeper %s", id);
}

_Noreturn static void become_keeper(const struct spec *spec, const struct nest *nest, int null_fd,
                                    char *name_area, size_t name_bytes) {
  setsid();
  for (int fd = 0; fd <= 2; fd++) {
    int copy = dup2(null_fd, fd);
    assert(copy == fd);
  }
  close(null_fd);
  rename_process(name_area, name_bytes, spec->id);
  keeper_main(spec, nest);
}

/* What the process in waiting tells the nursery: it has a job, or how it ends. */
enum { TAKEN = 255 };

static void tell(int fd, unsigned char what) { (void)!write(fd, &what, 1); }

_Noreturn static void leave(int fd, unsigned char status) {
  tell(fd, status);
  _exit(status);
}

/* Makes the job's directory and answers; becomes the keeper, or returns whether to go on waiting. */
static bool serve_one(char *payload, size_t bytes, int taken_fd, int null_fd, char *name_area,
                      size_t name_bytes) {
  static struct spec spec;
  static char text[TEXT_BYTES_MAX];
  static char line[TEXT_BYTES_MAX * 2];
  struct nest nest;
  int error = spec_parse(&spec, payload, bytes, text);
  if (error != 0) {
    const char *id = spec.id == NULL || *spec.id == '\0' ? "-" : spec.id;
    snprintf(line, sizeof line - 1, "error %.255s %s %s", id, errno_name(error), text);
    munmap(payload, bytes);
    return reply(line);
  }
  error = jobdir_open(&spec, &nest, text);
  if (error == 0) {
    snprintf(line, sizeof line - 1, "ok %.255s %d", spec.id, (int)getpid());
    /* An agent that is gone hears nothing; the job was asked for all the same. The keeper has all
       signals blocked anyway. */
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    reply(line);
    tell(taken_fd, TAKEN);
    close(taken_fd);
    become_keeper(&spec, &nest, null_fd, name_area, name_bytes);
  }
  snprintf(line, sizeof line - 1, "error %.255s %s %s", spec.id, errno_name(error), text);
  bool told = reply(line);
  jobdir_close(&nest);
  spec_free(&spec);
  return told;
}

/* The process in waiting. Ends with the input, or where it cannot be understood. */
_Noreturn static void wait_for_job(int taken_fd, int null_fd, char *name_area, size_t name_bytes) {
  prctl(PR_SET_NAME, "holon-waiting");
  for (;;) {
    unsigned char header[FRAME_HEADER_BYTES];
    if (!read_all((char *)header, sizeof header)) leave(taken_fd, 0);
    size_t bytes = (size_t)header[1] << 24 | (size_t)header[2] << 16 | (size_t)header[3] << 8 |
                   (size_t)header[4];
    /* Out of step with the agent: nothing after this can be understood. */
    if (header[0] != 'N' || bytes == 0 || bytes > REQUEST_BYTES_MAX) leave(taken_fd, 2);
    char *payload =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (payload == MAP_FAILED) leave(taken_fd, 3);
    if (!read_all(payload, bytes)) leave(taken_fd, 0);
    if (!serve_one(payload, bytes, taken_fd, null_fd, name_area, name_bytes)) leave(taken_fd, 0);
  }
}

int nursery_main(char *name_area, size_t name_bytes) {
  reset_signals();
  umask(0177);
  /* Nothing of the agent's must live on in keepers. */
  syscall(SYS_close_range, 3u, ~0u, 0u);
  prctl(PR_SET_NAME, "holon-nursery");
  /* A guard of a lease leaves its keeper; here nobody needs to collect it. */
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  /* Read here once, known to every keeper. */
  job_read_boot_id();
  int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null_fd < 0 || chdir("/") < 0) return 1;
  for (;;) {
    int taken[2];
    if (pipe2(taken, O_CLOEXEC) < 0) return 1;
    pid_t pid = fork();
    if (pid < 0) return 4;
    if (pid == 0) {
      close(taken[0]);
      wait_for_job(taken[1], null_fd, name_area, name_bytes);
    }
    close(taken[1]);
    unsigned char told;
    ssize_t count;
    do count = read(taken[0], &told, 1);
    while (count < 0 && errno == EINTR);
    close(taken[0]);
    /* Without a job: the agent is gone. Without a word: the agent starts another nursery. */
    if (count != 1) return 5;
    if (told != TAKEN) return told;
  }
}
