/*
 * Makes one call on the device argv[2], argv[3] times: "tdx", TDX_CMD_GET_REPORT0 of
 * /dev/tdx_guest; "nsm", DescribePCR 0 of /dev/nsm. Their headers are not everywhere.
 */
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>

#include "loop.h"

static int fd;

static int tdx(void *context) {
  static unsigned char request[1088];
  (void)context;
  return ioctl(fd, 0xc4405401, request);
}

static int nsm(void *context) {
  /* {"DescribePCR": {"index": 0}} in CBOR */
  static const unsigned char request[] = "\xa1\x6b" "DescribePCR" "\xa1\x65" "index" "\x00";
  static unsigned char response[12288];
  struct {
    uint64_t request, request_length, response, response_length;
  } message = {(uintptr_t)request, sizeof request - 1, (uintptr_t)response, sizeof response};
  (void)context;
  return ioctl(fd, 0xc0200a00, &message);
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  fd = open(argv[2], O_RDWR | O_CLOEXEC);
  if (fd < 0) return 1;
  return loop_run(atoi(argv[3]), strcmp(argv[1], "tdx") == 0 ? tdx : nsm, NULL);
}
