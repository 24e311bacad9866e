/*
 * Carries a FUSE mount's messages between the kernel and a test, which answers them.
 *
 *   bridge MOUNTPOINT   (root; a new mount namespace is the caller's choice)
 *
 * Frames on stdin and stdout: u32 length of what follows, u8 type, payload; little-endian.
 *   out 'F' message from /dev/fuse        in 'F' message for /dev/fuse
 *   out 'M' i32 errno, bytes read         in 'R' u32 pid, u64 address, u32 length
 *   out 'W' i32 errno                     in 'W' u32 pid, u64 address, bytes to write
 *   out 'E' i32 errno of a refused 'F'
 * Ends, and unmounts, when stdin does.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/uio.h>
#include <unistd.h>

enum { CAPACITY = 1 << 20 };
static unsigned char frame[CAPACITY];
static const char *mounted;

static void finish(int status) {
  if (mounted) umount2(mounted, MNT_DETACH);
  _exit(status);
}

static void whole(ssize_t (*move)(int, void *, size_t), int fd, void *data, size_t length) {
  for (size_t done = 0; done < length;) {
    ssize_t count = move(fd, (char *)data + done, length - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) finish(count < 0 ? 1 : 0);
    done += (size_t)count;
  }
}

static ssize_t put(int fd, void *data, size_t length) { return write(fd, data, length); }
static ssize_t get(int fd, void *data, size_t length) { return read(fd, data, length); }

static void send_frame(char type, const void *data, size_t length) {
  uint32_t size = (uint32_t)length + 1;
  unsigned char head[5];
  memcpy(head, &size, 4);
  head[4] = (unsigned char)type;
  whole(put, 1, head, 5);
  whole(put, 1, (void *)data, length);
}

static void answer(char type, int status) {
  int32_t value = status;
  send_frame(type, &value, 4);
}

static void handle(size_t length, int fuse) {
  unsigned char *data = frame + 1;
  uint32_t pid = 0, size = 0;
  uint64_t address = 0;
  switch (frame[0]) {
    case 'F':
      if (write(fuse, data, length - 1) < 0) answer('E', errno);
      return;
    case 'R': {
      static unsigned char out[4 + 65536];
      memcpy(&pid, data, 4);
      memcpy(&address, data + 4, 8);
      memcpy(&size, data + 12, 4);
      if (size > 65536) size = 65536;
      struct iovec local = {out + 4, size}, remote = {(void *)(uintptr_t)address, size};
      ssize_t count = process_vm_readv((pid_t)pid, &local, 1, &remote, 1, 0);
      int32_t status = count < 0 ? errno : 0;
      memcpy(out, &status, 4);
      send_frame('M', out, 4 + (count < 0 ? 0 : (size_t)count));
      return;
    }
    case 'W': {
      memcpy(&pid, data, 4);
      memcpy(&address, data + 4, 8);
      size = (uint32_t)length - 13;
      struct iovec local = {data + 12, size}, remote = {(void *)(uintptr_t)address, size};
      ssize_t count = process_vm_writev((pid_t)pid, &local, 1, &remote, 1, 0);
      answer('W', count == (ssize_t)size ? 0 : count < 0 ? errno : EFAULT);
      return;
    }
    default:
      finish(2);
  }
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  signal(SIGINT, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
  int fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
  if (fuse < 0) return perror("/dev/fuse"), 1;
  char options[128];
  snprintf(options, sizeof options, "fd=%d,rootmode=40755,user_id=0,group_id=0,allow_other", fuse);
  if (mount("nautilus-fake", argv[1], "fuse", MS_NOSUID | MS_NODEV, options) != 0) {
    return perror("mount"), 1;
  }
  mounted = argv[1];
  for (;;) {
    struct pollfd ends[2] = {{fuse, POLLIN, 0}, {0, POLLIN, 0}};
    if (poll(ends, 2, -1) < 0) {
      if (errno == EINTR) continue;
      break;
    }
    if (ends[1].revents) {
      uint32_t length;
      ssize_t first = read(0, &length, 4);
      if (first <= 0) break;
      if (first < 4) whole(get, 0, (char *)&length + first, 4 - (size_t)first);
      if (length == 0 || length > CAPACITY) break;
      whole(get, 0, frame, length);
      handle(length, fuse);
    }
    if (ends[0].revents) {
      ssize_t count = read(fuse, frame, CAPACITY);
      if (count > 0) send_frame('F', frame, (size_t)count);
      else if (count < 0 && errno != EINTR && errno != EAGAIN && errno != ENOENT) break;
    }
  }
  finish(0);
}
