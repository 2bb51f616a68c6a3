/* Names of errors and signals, both ways, without the C library's newer functions for it. */
#include "keeper.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ERROR(name) {name, #name}
static const struct {
  int number;
  const char *name;
} errors[] = {
    ERROR(EPERM),   ERROR(ENOENT),  ERROR(ESRCH),   ERROR(EINTR),       ERROR(EIO),
    ERROR(ENXIO),   ERROR(E2BIG),   ERROR(ENOEXEC), ERROR(EBADF),       ERROR(ECHILD),
    ERROR(EAGAIN),  ERROR(ENOMEM),  ERROR(EACCES),  ERROR(EFAULT),      ERROR(EBUSY),
    ERROR(EEXIST),  ERROR(EXDEV),   ERROR(ENODEV),  ERROR(ENOTDIR),     ERROR(EISDIR),
    ERROR(EINVAL),  ERROR(ENFILE),  ERROR(EMFILE),  ERROR(ENOTTY),      ERROR(ETXTBSY),
    ERROR(EFBIG),   ERROR(ENOSPC),  ERROR(ESPIPE),  ERROR(EROFS),       ERROR(EMLINK),
    ERROR(EPIPE),   ERROR(EDOM),    ERROR(ERANGE),  ERROR(ENAMETOOLONG), ERROR(ENOSYS),
    ERROR(ENOTEMPTY), ERROR(ELOOP), ERROR(EPROTO),  ERROR(EOVERFLOW),   ERROR(ELIBBAD),
    ERROR(EADDRINUSE), ERROR(ENOBUFS), ERROR(ETIMEDOUT), ERROR(ECONNREFUSED), ERROR(ESTALE),
    ERROR(ECANCELED), ERROR(EDQUOT),  ERROR(EOPNOTSUPP), ERROR(ENOKEY),
};

#define SIGNAL(name) {SIG##name, #name}
static const struct {
  int number;
  const char *name;
} signals[] = {
    SIGNAL(HUP),  SIGNAL(INT),  SIGNAL(QUIT), SIGNAL(ILL),    SIGNAL(TRAP), SIGNAL(ABRT),
    SIGNAL(BUS),  SIGNAL(FPE),  SIGNAL(KILL), SIGNAL(USR1),   SIGNAL(SEGV), SIGNAL(USR2),
    SIGNAL(PIPE), SIGNAL(ALRM), SIGNAL(TERM), SIGNAL(CHLD),   SIGNAL(CONT), SIGNAL(STOP),
    SIGNAL(TSTP), SIGNAL(TTIN), SIGNAL(TTOU), SIGNAL(URG),    SIGNAL(XCPU), SIGNAL(XFSZ),
    SIGNAL(PROF), SIGNAL(WINCH), SIGNAL(IO),  SIGNAL(VTALRM), SIGNAL(PWR),  SIGNAL(SYS),
};

const char *errno_name(int error) {
  for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
    if (errors[i].number == error) return errors[i].name;
  }
  return "EIO";
}

/* By number or by name with or without SIG; 0 when there is no such signal. */
int signal_by_name(const char *name) {
  char *end;
  long number = strtol(name, &end, 10);
  if (end != name && *end == '\0') return number > 0 && number <= 64 ? (int)number : 0;
  if (strncasecmp(name, "SIG", 3) == 0) name += 3;
  for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
    if (strcasecmp(signals[i].name, name) == 0) return signals[i].number;
  }
  return 0;
}
