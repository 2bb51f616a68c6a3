/* The keeper's program: `keeper serve` is the nursery; keepers themselves are its forks. */
#include "keeper.h"

#include <stdio.h>
#include <string.h>

extern char **environ;

/* Room for "holon-keeper ID": no more of the environment than that is written over. */
enum { NAME_BYTES = 320 };

/* The kernel put arguments and environment behind one another; both together can hold a name. */
static size_t name_area_bytes(char **argv) {
  char *end = argv[0];
  for (char **string = argv; *string != NULL; string++) {
    if (*string == end) end += strlen(*string) + 1;
  }
  size_t arguments = (size_t)(end - argv[0]);
  for (char **string = environ; *string != NULL; string++) {
    if (*string == end) end += strlen(*string) + 1;
  }
  size_t all = (size_t)(end - argv[0]);
  size_t wanted = all < NAME_BYTES ? all : NAME_BYTES;
  return wanted > arguments ? wanted : arguments;
}

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "serve") == 0) {
    return nursery_main(argv[0], name_area_bytes(argv));
  }
  if (argc == 2 && strcmp(argv[1], "--version") == 0) {
    puts("holon-keeper 1");
    return 0;
  }
  fputs("usage: keeper serve | keeper --version\n"
        "It is started by the Holon agent; docs/keeper.md says what it reads.\n",
        stderr);
  return 64;
}
