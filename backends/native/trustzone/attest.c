/* Evidence: what this TA is, signed with its own key, and by the platform where it can. */
#include "ta_internal.h"

/* OP-TEE's attestation PTA: 39800861-182a-4720-9b67-2bcd622bc0b5, PTA_ATTESTATION_HASH_TA_MEMORY. */
static const TEE_UUID attestation_pta = {
  0x39800861, 0x182a, 0x4720, { 0x9b, 0x67, 0x2b, 0xcd, 0x62, 0x2b, 0xc0, 0xb5 }
};
enum { HASH_TA_MEMORY = 2 };

enum {
  FLAG_PLATFORM = 1,
  BODY_LENGTH = 208,
  REPORT_DATA_AT = 80,
  KEY_AT = 144,
  SIGNATURE_LENGTH = 64,
  /* A digest and an RSA signature of up to 8192 bits. */
  MAX_PLATFORM_LENGTH = 32 + 1024
};

/* `*session` is TEE_HANDLE_NULL where the platform has no attestation PTA. */
static TEE_Result open_platform(TEE_TASessionHandle *session) {
  uint32_t origin = 0;
  TEE_Result result =
      TEE_OpenTASession(&attestation_pta, TEE_TIMEOUT_INFINITE, 0, NULL, session, &origin);
  if (result != TEE_ERROR_ITEM_NOT_FOUND) return result;
  *session = TEE_HANDLE_NULL;
  return TEE_SUCCESS;
}

static TEE_Result platform_attestation(TEE_TASessionHandle session, uint8_t nonce[DIGEST_LENGTH],
                                       uint8_t *out, size_t *length) {
  const uint32_t types = TEE_PARAM_TYPES(TEE_PARAM_TYPE_MEMREF_INPUT, TEE_PARAM_TYPE_MEMREF_OUTPUT,
                                         TEE_PARAM_TYPE_NONE, TEE_PARAM_TYPE_NONE);
  TEE_Param params[4];
  uint32_t origin = 0;
  TEE_Result result;
  TEE_MemFill(params, 0, sizeof params);
  params[0].memref.buffer = nonce;
  params[0].memref.size = DIGEST_LENGTH;
  params[1].memref.buffer = out;
  params[1].memref.size = MAX_PLATFORM_LENGTH;
  result = TEE_InvokeTACommand(session, TEE_TIMEOUT_INFINITE, HASH_TA_MEMORY, types, params,
                               &origin);
  *length = params[1].memref.size;
  if (result == TEE_ERROR_SHORT_BUFFER) return TEE_ERROR_GENERIC; /* not the caller's buffer */
  if (result == TEE_SUCCESS && *length > MAX_PLATFORM_LENGTH) return TEE_ERROR_GENERIC;
  return result;
}

/* A coordinate, with the zeros in front that some implementations drop. */
static TEE_Result coordinate(TEE_ObjectHandle key, uint32_t attribute, uint8_t out[32]) {
  uint8_t bytes[32];
  size_t length = sizeof bytes;
  TEE_Result result = TEE_GetObjectBufferAttribute(key, attribute, bytes, &length);
  if (result != TEE_SUCCESS) return result;
  if (length > sizeof bytes) return TEE_ERROR_GENERIC;
  TEE_MemFill(out, 0, 32);
  TEE_MemMove(out + 32 - length, bytes, length);
  return TEE_SUCCESS;
}

static TEE_Result public_key(TEE_ObjectHandle key, uint8_t out[64]) {
  TEE_Result result = coordinate(key, TEE_ATTR_ECC_PUBLIC_VALUE_X, out);
  return result == TEE_SUCCESS ? coordinate(key, TEE_ATTR_ECC_PUBLIC_VALUE_Y, out + 32) : result;
}

/* Bytes 0 to 79 of both formats. */
static TEE_Result identify(const char magic[4], uint16_t flags, uint8_t *out) {
  uint32_t newest = 0;
  TEE_Result result = check_code_version(&newest);
  if (result != TEE_SUCCESS) return result;
  TEE_MemMove(out, magic, 4);
  put_u16(out + 4, 1);
  put_u16(out + 6, flags);
  ta_uuid(out + 8);
  put_u32(out + 24, NAUTILUS_TA_CODE_VERSION);
  put_u32(out + 28, newest);
  return ta_measurement(out + 32);
}

TEE_Result info(TEE_Param params[4]) {
  uint8_t out[NAUTILUS_TA_INFO_LENGTH] = { 0 };
  TEE_ObjectHandle key = TEE_HANDLE_NULL;
  TEE_TASessionHandle platform = TEE_HANDLE_NULL;
  TEE_Result result;
  if (params[3].memref.size < sizeof out) {
    params[3].memref.size = sizeof out;
    return TEE_ERROR_SHORT_BUFFER;
  }
  result = open_platform(&platform);
  if (result != TEE_SUCCESS) return result;
  result = identify("NTZI", platform == TEE_HANDLE_NULL ? 0 : FLAG_PLATFORM, out);
  if (platform != TEE_HANDLE_NULL) TEE_CloseTASession(platform);
  if (result == TEE_SUCCESS) result = open_attestation_key(&key);
  if (result != TEE_SUCCESS) return result;
  result = public_key(key, out + 88);
  TEE_CloseObject(key);
  if (result != TEE_SUCCESS) return result;
  TEE_MemMove(params[3].memref.buffer, out, sizeof out);
  params[3].memref.size = sizeof out;
  return TEE_SUCCESS;
}

static TEE_Result sign(TEE_ObjectHandle key, const uint8_t body[BODY_LENGTH],
                       uint8_t out[SIGNATURE_LENGTH]) {
  static const char context[] = "nautilus-tee/trustzone/evidence/v1\n";
  uint8_t digest[DIGEST_LENGTH];
  size_t length = SIGNATURE_LENGTH;
  TEE_OperationHandle operation = TEE_HANDLE_NULL;
  TEE_Result result = sha256(context, sizeof context - 1, body, BODY_LENGTH, digest);
  if (result != TEE_SUCCESS) return result;
  result = TEE_AllocateOperation(&operation, TEE_ALG_ECDSA_SHA256, TEE_MODE_SIGN, 256);
  if (result != TEE_SUCCESS) return result;
  result = TEE_SetOperationKey(operation, key);
  if (result == TEE_SUCCESS) {
    result = TEE_AsymmetricSignDigest(operation, NULL, 0, digest, sizeof digest, out, &length);
  }
  TEE_FreeOperation(operation);
  if (result == TEE_SUCCESS && length != SIGNATURE_LENGTH) result = TEE_ERROR_GENERIC;
  return result;
}

TEE_Result attest(TEE_Param params[4]) {
  uint8_t out[NAUTILUS_TA_EVIDENCE_LENGTH + MAX_PLATFORM_LENGTH];
  uint8_t nonce[DIGEST_LENGTH];
  size_t length = NAUTILUS_TA_EVIDENCE_LENGTH;
  size_t more = 0;
  TEE_ObjectHandle key = TEE_HANDLE_NULL;
  TEE_TASessionHandle platform = TEE_HANDLE_NULL;
  TEE_Result result;
  if (params[0].memref.size != 64) return TEE_ERROR_BAD_PARAMETERS;
  result = open_platform(&platform);
  if (result != TEE_SUCCESS) return result;
  result = identify("NTZE", platform == TEE_HANDLE_NULL ? 0 : FLAG_PLATFORM, out);
  TEE_MemMove(out + REPORT_DATA_AT, params[0].memref.buffer, 64);
  if (result == TEE_SUCCESS) result = open_attestation_key(&key);
  if (result == TEE_SUCCESS) {
    result = public_key(key, out + KEY_AT);
    if (result == TEE_SUCCESS) result = sign(key, out, out + BODY_LENGTH);
    TEE_CloseObject(key);
  }
  if (result == TEE_SUCCESS && platform != TEE_HANDLE_NULL) {
    result = sha256(out, BODY_LENGTH, out + BODY_LENGTH, SIGNATURE_LENGTH, nonce);
    if (result == TEE_SUCCESS) result = platform_attestation(platform, nonce, out + length, &more);
    length += more;
  }
  if (platform != TEE_HANDLE_NULL) TEE_CloseTASession(platform);
  if (result != TEE_SUCCESS) return result;
  if (params[3].memref.size < length) {
    params[3].memref.size = length;
    return TEE_ERROR_SHORT_BUFFER;
  }
  TEE_MemMove(params[3].memref.buffer, out, length);
  params[3].memref.size = length;
  return TEE_SUCCESS;
}
