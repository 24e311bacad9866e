/* Seals 32 bytes in the enclave argv[2], by the library argv[1], argv[3] times. */
#include <dlfcn.h>
#include <stdint.h>

#include "loop.h"

typedef uint32_t create_t(const char *, int, void *, int *, uint64_t *, void *);
typedef uint32_t seal_t(uint64_t, uint32_t *, uint32_t, const uint8_t *, uint32_t, const uint8_t *,
                        uint32_t, uint8_t *, uint32_t, uint32_t *);

static uint64_t eid;

static int call(void *context) {
  uint8_t plaintext[32] = {0}, out[256];
  uint32_t result = 1, length = 0;
  uint32_t status = (*(seal_t **)context)(eid, &result, 1, plaintext, sizeof plaintext, plaintext,
                                          sizeof plaintext, out, sizeof out, &length);
  return status != 0 || result != 0;
}

int main(int argc, char **argv) {
  static uint8_t token[1024], misc[64];
  int updated = 0;
  if (argc != 4) return 2;
  void *library = dlopen(argv[1], RTLD_NOW);
  if (library == NULL) return 1;
  create_t *create;
  seal_t *seal;
  *(void **)&create = dlsym(library, "sgx_create_enclave");
  *(void **)&seal = dlsym(library, "nautilus_sgx_seal");
  if (create(argv[2], 0, token, &updated, &eid, misc) != 0) return 1;
  return loop_run(atoi(argv[3]), call, &seal);
}
