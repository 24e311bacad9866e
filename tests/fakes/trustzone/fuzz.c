/*
 * Hostile calls of the TA: argv[1] the device's folder, argv[2] how many, argv[3] a seed. Every buffer
 * is an allocation of its own, so that a sanitizer sees a byte read or written beside it.
 */
#include "core.c"

#include "attest.c"
#include "entry.c"
#include "keys.c"
#include "measurement.c"
#include "seal.c"

static uint64_t state;

static uint32_t random_below(uint32_t below) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return below == 0 ? 0 : (uint32_t)(state >> 11) % below;
}

static uint32_t some_length(void) {
  static const uint32_t edges[] = { 0, 1, 16, 39, 40, 55, 56, 57, 63, 64, 65, 151, 152, 272, 4095, 4096, 4097 };
  return random_below(3) > 0 ? edges[random_below(sizeof edges / sizeof *edges)] : random_below(9000);
}

/* What was sealed last, to be damaged. */
static uint8_t kept[16384];
static size_t kept_length;

static void fill(uint8_t *bytes, size_t length, int like_sealed) {
  for (size_t i = 0; i < length; i++) bytes[i] = (uint8_t)random_below(256);
  if (!like_sealed || kept_length == 0) return;
  memcpy(bytes, kept, length < kept_length ? length : kept_length);
  if (length > 0 && random_below(2) > 0) bytes[random_below((uint32_t)length)] ^= 1u << random_below(8);
}

static void call(void) {
  const uint32_t command = random_below(6);
  const int proper = random_below(4) > 0;
  const int sealed = command == NAUTILUS_TA_UNSEAL && kept_length > 0 && random_below(4) > 0;
  const int reads = command == NAUTILUS_TA_INFO || command == NAUTILUS_TA_KEY_ID;
  uint32_t types[4] = { reads ? 0 : 5, command == 1 || command == 2 ? 5 : 0, command == 1 || command == 4, 6 };
  TEE_Param params[4];
  uint8_t *buffers[4] = { NULL };
  size_t sizes[4] = { 0 };
  for (int i = 0; i < 4; i++) {
    if (!proper && random_below(4) == 0) types[i] = random_below(8);
    memset(&params[i], 0, sizeof params[i]);
    if (types[i] == 1) {
      params[i].value.a = proper ? 1 : random_below(3);
    } else if (types[i] >= 5) {
      sizes[i] = sealed && i == 0 ? kept_length + random_below(2) - random_below(2) : some_length();
      if (i == 1 && random_below(2) > 0) sizes[i] = 8;
      buffers[i] = malloc(sizes[i]);
      fill(buffers[i], sizes[i], sealed && i == 0);
      if (i == 1 && sizes[i] == 8) memset(buffers[i], 7, 8);
      params[i].memref.buffer = buffers[i];
      params[i].memref.size = sizes[i];
    }
  }
  TEE_Result result = TA_InvokeCommandEntryPoint(
      NULL, command, TEE_PARAM_TYPES(types[0], types[1], types[2], types[3]), params);
  panic(command > NAUTILUS_TA_KEY_ID && result != TEE_ERROR_NOT_SUPPORTED, "an unknown command");
  if (result == TEE_SUCCESS) {
    panic(params[3].memref.size > sizes[3], "more than there was room for");
    if (command == NAUTILUS_TA_SEAL && sizes[0] + 56 <= sizeof kept && sizes[1] == 8) {
      kept_length = params[3].memref.size;
      memcpy(kept, buffers[3], kept_length);
    }
  } else if (command == NAUTILUS_TA_UNSEAL && result == TEE_ERROR_MAC_INVALID) {
    size_t claimed = sizes[0] - NAUTILUS_TA_SEALED_OVERHEAD;
    for (size_t i = 0; i < claimed; i++) panic(buffers[3][i] != 0, "plaintext that was not authenticated");
  }
  for (int i = 0; i < 4; i++) free(buffers[i]);
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  snprintf(device, sizeof device, "%s", argv[1]);
  state = strtoull(argv[3], NULL, 10) * 2654435761u + 1;
  if (TA_OpenSessionEntryPoint(0, NULL, (void **)&(void *){ NULL }) != TEE_SUCCESS) return 3;
  for (long left = atol(argv[2]); left > 0; left--) call();
  return 0;
}
