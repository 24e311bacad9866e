/* Has the plugin argv[1] seal 32 bytes argv[2] times. */
#include <dlfcn.h>
#include <stdint.h>
#include <string.h>

#include "loop.h"

typedef int32_t open_t(const uint8_t *, uint32_t, uint64_t *);
typedef int32_t seal_t(uint64_t, uint32_t, const uint8_t *, uint32_t, const uint8_t *, uint32_t,
                       uint8_t *, uint32_t, uint32_t *);

static uint64_t instance;

static int call(void *context) {
  uint8_t plaintext[32] = {0}, out[256];
  uint32_t length = 0;
  return (*(seal_t **)context)(instance, 1, plaintext, sizeof plaintext, plaintext,
                               sizeof plaintext, out, sizeof out, &length);
}

int main(int argc, char **argv) {
  static const char config[] = "device=1 program=1 misbehave=none";
  if (argc != 3) return 2;
  void *library = dlopen(argv[1], RTLD_NOW);
  if (library == NULL) return 1;
  open_t *open_plugin;
  seal_t *seal;
  *(void **)&open_plugin = dlsym(library, "nautilus_tee_open");
  *(void **)&seal = dlsym(library, "nautilus_tee_seal");
  if (open_plugin((const uint8_t *)config, sizeof config - 1, &instance) != 0) return 1;
  return loop_run(atoi(argv[2]), call, &seal);
}
