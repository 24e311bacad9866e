/*
 * open, close and ioctl for where FUSE is missing: a "device" is a unix socket whose other end, in
 * the test, answers ioctls. Frames both ways: u32 length, then a letter and its fields.
 *   to the test   I request u32, argument     M bytes read (answer to R), or nothing (to W)
 *   from it       R address u64, length u32   W address u64, bytes   D result i32, argument
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

enum { NOT_FOUND = 2, FAILED = 5, NO_DEVICE = 19, INVALID = 22, CAPACITY = 1 << 16 };

static __thread int number;
static __thread unsigned char frame[CAPACITY];

int *__errno_location(void) { return &number; }

static int fail(int value) {
  number = value;
  return -1;
}

static int put(int fd, char letter, const void *a, uint32_t a_length, const void *b,
               uint32_t b_length) {
  static __thread unsigned char out[CAPACITY];
  uint32_t size = 1 + a_length + b_length;
  if (size + 4 > sizeof out) return 0;
  memcpy(out, &size, 4);
  out[4] = (unsigned char)letter;
  if (a_length > 0) memcpy(out + 5, a, a_length);
  if (b_length > 0) memcpy(out + 5 + a_length, b, b_length);
  for (uint32_t done = 0; done < size + 4;) {
    ssize_t count = send(fd, out + done, size + 4 - done, MSG_NOSIGNAL);
    if (count <= 0) return 0;
    done += (uint32_t)count;
  }
  return 1;
}

static int whole(int fd, void *data, uint32_t length) {
  for (uint32_t done = 0; done < length;) {
    ssize_t count = recv(fd, (char *)data + done, length - done, 0);
    if (count <= 0) return 0;
    done += (uint32_t)count;
  }
  return 1;
}

int open(const char *path, int flags, ...) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  (void)flags;
  if (strlen(path) >= sizeof address.sun_path) return fail(INVALID);
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail(FAILED);
  if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
  syscall(SYS_close, fd);
  return fail(NOT_FOUND);
}

int close(int fd) { return (int)syscall(SYS_close, fd); }

int ioctl(int fd, unsigned long request, ...) {
  va_list list;
  va_start(list, request);
  unsigned char *argument = va_arg(list, unsigned char *);
  va_end(list);
  uint32_t size = (uint32_t)(request >> 16) & 0x3fff, number32 = (uint32_t)request, length;
  if (!put(fd, 'I', &number32, 4, argument, size)) return fail(NO_DEVICE);
  for (;;) {
    if (!whole(fd, &length, 4) || length < 1 || length > CAPACITY || !whole(fd, frame, length)) {
      return fail(NO_DEVICE);
    }
    uint64_t address = 0;
    uint32_t count = 0;
    int32_t result;
    switch (frame[0]) {
      case 'R':
        memcpy(&address, frame + 1, 8);
        memcpy(&count, frame + 9, 4);
        if (!put(fd, 'M', (void *)(uintptr_t)address, count, NULL, 0)) return fail(NO_DEVICE);
        break;
      case 'W':
        memcpy(&address, frame + 1, 8);
        memcpy((void *)(uintptr_t)address, frame + 9, length - 9);
        if (!put(fd, 'M', NULL, 0, NULL, 0)) return fail(NO_DEVICE);
        break;
      case 'D':
        memcpy(&result, frame + 1, 4);
        if (length != 5 + size) return fail(FAILED);
        memcpy(argument, frame + 5, size);
        return result < 0 ? fail(-result) : result;
      default:
        return fail(FAILED);
    }
  }
}
