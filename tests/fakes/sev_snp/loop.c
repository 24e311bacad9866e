/* Asks /dev/sev-guest (argv[1]) for a derived key argv[2] times; prints nanoseconds per call. */
#include <fcntl.h>
#include <linux/sev-guest.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  int fd = open(argv[1], O_RDWR | O_CLOEXEC), count = atoi(argv[2]);
  if (fd < 0) return 1;
  double start = now();
  for (int i = 0; i < count; i++) {
    struct snp_derived_key_req request = {.guest_field_select = 9};
    struct snp_derived_key_resp response = {{0}};
    struct snp_guest_request_ioctl call = {.msg_version = 1,
                                           .req_data = (uintptr_t)&request,
                                           .resp_data = (uintptr_t)&response};
    if (ioctl(fd, SNP_GET_DERIVED_KEY, &call) != 0) return 1;
  }
  printf("%.0f\n", (now() - start) / count);
  return 0;
}
