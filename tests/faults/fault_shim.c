/*
 * Makes the disk fail: preloaded into a process, it lets the Nth matching call on a file whose path
 * contains NAUTILUS_FAULT_PATH fail, and every one after it.
 *
 *   NAUTILUS_FAULT=<write|sync|read|torn|short>:<n>:<errno>
 *   NAUTILUS_FAULT=stall:<n>:<milliseconds>
 *
 * write: pwrite and write; sync: fsync and fdatasync; read: pread and read; torn: the Nth write puts
 * down half of its bytes before it fails; short: every write from the Nth on puts down half of its
 * bytes and says so, which is no failure; stall: the Nth sync alone takes so long.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_long calls;

static int on_path(int fd) {
  const char *wanted = getenv("NAUTILUS_FAULT_PATH");
  char link[64], path[4096];
  if (wanted == NULL) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return strstr(path, wanted) != NULL;
}

enum { GO_ON, FAIL, TEAR, SHORTEN };

/* FAIL: errno is set. */
static int fault(const char *kind, int fd) {
  const char *spec = getenv("NAUTILUS_FAULT");
  char name[16];
  long nth;
  int code;
  if (spec == NULL || sscanf(spec, "%15[a-z]:%ld:%d", name, &nth, &code) != 3) return GO_ON;
  int writes = strcmp(kind, "write") == 0;
  int torn = writes && strcmp(name, "torn") == 0;
  int brief = writes && strcmp(name, "short") == 0;
  int stall = strcmp(kind, "sync") == 0 && strcmp(name, "stall") == 0;
  if (!torn && !brief && !stall && strcmp(name, kind) != 0) return GO_ON;
  if (!on_path(fd)) return GO_ON;
  long call = atomic_fetch_add(&calls, 1) + 1;
  if (call < nth) return GO_ON;
  if (brief) return SHORTEN;
  if (stall) {
    if (call == nth) usleep((useconds_t)code * 1000);
    return GO_ON;
  }
  errno = code;
  return torn && call == nth ? TEAR : FAIL;
}

#define REAL(type, name) \
  static type real; \
  if (real == NULL) real = (type)dlsym(RTLD_NEXT, name)

typedef ssize_t (*pwrite_fn)(int, const void *, size_t, off_t);
typedef ssize_t (*write_fn)(int, const void *, size_t);
typedef ssize_t (*pread_fn)(int, void *, size_t, off_t);
typedef ssize_t (*read_fn)(int, void *, size_t);
typedef int (*sync_fn)(int);

static ssize_t faulty_pwrite(pwrite_fn real, int fd, const void *data, size_t size, off_t at) {
  int what = fault("write", fd);
  if (what == GO_ON || size < 2) return real(fd, data, size, at);
  if (what == SHORTEN) return real(fd, data, size / 2, at);
  int code = errno;
  if (what == TEAR) real(fd, data, size / 2, at);
  errno = code;
  return -1;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
  REAL(pwrite_fn, "pwrite");
  return faulty_pwrite(real, fd, data, size, at);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off_t at) {
  REAL(pwrite_fn, "pwrite64");
  return faulty_pwrite(real, fd, data, size, at);
}
ssize_t write(int fd, const void *data, size_t size) {
  REAL(write_fn, "write");
  return fault("write", fd) == GO_ON ? real(fd, data, size) : -1;
}
ssize_t pread(int fd, void *data, size_t size, off_t at) {
  REAL(pread_fn, "pread");
  return fault("read", fd) == GO_ON ? real(fd, data, size, at) : -1;
}
ssize_t pread64(int fd, void *data, size_t size, off_t at) {
  REAL(pread_fn, "pread64");
  return fault("read", fd) == GO_ON ? real(fd, data, size, at) : -1;
}
ssize_t read(int fd, void *data, size_t size) {
  REAL(read_fn, "read");
  return fault("read", fd) == GO_ON ? real(fd, data, size) : -1;
}
int fsync(int fd) {
  REAL(sync_fn, "fsync");
  return fault("sync", fd) == GO_ON ? real(fd) : -1;
}
int fdatasync(int fd) {
  REAL(sync_fn, "fdatasync");
  return fault("sync", fd) == GO_ON ? real(fd) : -1;
}
