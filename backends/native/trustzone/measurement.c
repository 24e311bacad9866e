/* What this TA is. Its own code says so: OP-TEE gives a TA no way to be measured by somebody else
 * unless the attestation PTA is there, so the word is as good as the key that signs TAs. */
#include "ta_internal.h"

/* SHA-384 of the sources, by the build. */
static const uint8_t source_digest[] = { NAUTILUS_CODE_DIGEST };
_Static_assert(sizeof source_digest == 48, "NAUTILUS_CODE_DIGEST is 48 bytes");

void put_u16(uint8_t *out, uint16_t value) {
  out[0] = (uint8_t)(value >> 8);
  out[1] = (uint8_t)value;
}

void put_u32(uint8_t *out, uint32_t value) {
  put_u16(out, (uint16_t)(value >> 16));
  put_u16(out + 2, (uint16_t)value);
}

uint32_t get_u32(const uint8_t *in) {
  return (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 | (uint32_t)in[2] << 8 | in[3];
}

void ta_uuid(uint8_t out[16]) {
  static const TEE_UUID uuid = NAUTILUS_TA_UUID;
  put_u32(out, uuid.timeLow);
  put_u16(out + 4, uuid.timeMid);
  put_u16(out + 6, uuid.timeHiAndVersion);
  TEE_MemMove(out + 8, uuid.clockSeqAndNode, 8);
}

TEE_Result ta_measurement(uint8_t out[MEASUREMENT_LENGTH]) {
  static const char context[] = "nautilus-tee/trustzone/measurement/v1\n";
  uint8_t about[20];
  size_t length = MEASUREMENT_LENGTH;
  TEE_OperationHandle digest = TEE_HANDLE_NULL;
  TEE_Result result = TEE_AllocateOperation(&digest, TEE_ALG_SHA384, TEE_MODE_DIGEST, 0);
  if (result != TEE_SUCCESS) return result;
  ta_uuid(about);
  put_u32(about + 16, NAUTILUS_TA_CODE_VERSION);
  TEE_DigestUpdate(digest, context, sizeof context - 1);
  TEE_DigestUpdate(digest, about, sizeof about);
  result = TEE_DigestDoFinal(digest, source_digest, sizeof source_digest, out, &length);
  TEE_FreeOperation(digest);
  if (result == TEE_SUCCESS && length != MEASUREMENT_LENGTH) result = TEE_ERROR_GENERIC;
  return result;
}
