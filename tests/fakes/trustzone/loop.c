/* Has the TA behind the libteec argv[1], on the device argv[2], seal 32 bytes argv[3] times. */
#include <dlfcn.h>
#include <stdint.h>
#include <string.h>

#include "loop.h"

typedef struct {
  void *buffer;
  size_t size, unused;
} reference_t;
/* TEEC_Operation. */
typedef struct {
  uint32_t started, types;
  reference_t params[4];
  void *session;
} operation_t;
_Static_assert(sizeof(operation_t) == 112, "TEEC_Operation is 112 bytes");

static uint32_t (*invoke)(void *session, uint32_t command, operation_t *, uint32_t *origin);

static int call(void *session) {
  static uint8_t plaintext[32], aad[32], sealed[32 + 56];
  operation_t operation = {.types = 5 | 5 << 4 | 1 << 8 | 6 << 12};
  uint32_t origin = 0, policy = 1;
  operation.params[0] = (reference_t){plaintext, sizeof plaintext, 0};
  operation.params[1] = (reference_t){aad, sizeof aad, 0};
  memcpy(&operation.params[2], &policy, sizeof policy);
  operation.params[3] = (reference_t){sealed, sizeof sealed, 0};
  return invoke(session, 1, &operation, &origin) != 0;
}

int main(int argc, char **argv) {
  static const uint8_t uuid[16] = {0xbc, 0x99, 0x88, 0xcb, 0x92, 0xda, 0x80, 0x40,
                                   0x89, 0xe4, 0x57, 0xa9, 0xdf, 0xce, 0xad, 0x58};
  static uint64_t context[32], session[32];
  uint32_t origin = 0;
  void *library = argc == 4 ? dlopen(argv[1], RTLD_NOW) : NULL;
  if (library == NULL) return 2;
  uint32_t (*connect)(const char *, void *);
  uint32_t (*open)(void *, void *, const void *, uint32_t, const void *, void *, uint32_t *);
  *(void **)&connect = dlsym(library, "TEEC_InitializeContext");
  *(void **)&open = dlsym(library, "TEEC_OpenSession");
  *(void **)&invoke = dlsym(library, "TEEC_InvokeCommand");
  if (connect == NULL || open == NULL || invoke == NULL || connect(argv[2], context) != 0) return 3;
  if (open(context, session, uuid, 0, NULL, NULL, &origin) != 0) return 4;
  return loop_run(atoi(argv[3]), call, session);
}
