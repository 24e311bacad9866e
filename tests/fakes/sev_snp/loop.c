/* Asks /dev/sev-guest (argv[1]) for a derived key argv[2] times. */
#include <fcntl.h>
#include <linux/sev-guest.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include "loop.h"

static int call(void *context) {
  struct snp_derived_key_req request = {.guest_field_select = 9};
  struct snp_derived_key_resp response = {{0}};
  struct snp_guest_request_ioctl message = {.msg_version = 1,
                                            .req_data = (uintptr_t)&request,
                                            .resp_data = (uintptr_t)&response};
  return ioctl(*(int *)context, SNP_GET_DERIVED_KEY, &message);
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  int fd = open(argv[1], O_RDWR | O_CLOEXEC);
  return fd < 0 ? 1 : loop_run(atoi(argv[2]), call, &fd);
}
