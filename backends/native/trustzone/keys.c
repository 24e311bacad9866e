/* Keys: derived from the hardware's by the system PTA, and the attestation key in secure storage. */
#include "ta_internal.h"

/* OP-TEE's system PTA: 3a2f8978-5dc0-11e8-9c2d-fa7ae01bbebc, PTA_SYSTEM_DERIVE_TA_UNIQUE_KEY. */
static const TEE_UUID system_pta = {
  0x3a2f8978, 0x5dc0, 0x11e8, { 0x9c, 0x2d, 0xfa, 0x7a, 0xe0, 0x1b, 0xbe, 0xbc }
};
enum { DERIVE_TA_UNIQUE_KEY = 1 };

static const char version_id[] = "code version";
static const char attestation_id[] = "attestation key";

TEE_Result derive(const void *label, size_t label_length, uint8_t out[KEY_LENGTH]) {
  const uint32_t types = TEE_PARAM_TYPES(TEE_PARAM_TYPE_MEMREF_INPUT, TEE_PARAM_TYPE_MEMREF_OUTPUT,
                                         TEE_PARAM_TYPE_NONE, TEE_PARAM_TYPE_NONE);
  TEE_TASessionHandle session = TEE_HANDLE_NULL;
  uint32_t origin = 0;
  TEE_Param params[4];
  TEE_Result result =
      TEE_OpenTASession(&system_pta, TEE_TIMEOUT_INFINITE, 0, NULL, &session, &origin);
  if (result != TEE_SUCCESS) return result;
  TEE_MemFill(params, 0, sizeof params);
  params[0].memref.buffer = (void *)(uintptr_t)label;
  params[0].memref.size = label_length;
  params[1].memref.buffer = out;
  params[1].memref.size = KEY_LENGTH;
  result = TEE_InvokeTACommand(session, TEE_TIMEOUT_INFINITE, DERIVE_TA_UNIQUE_KEY, types, params,
                               &origin);
  TEE_CloseTASession(session);
  if (result == TEE_SUCCESS && params[1].memref.size != KEY_LENGTH) result = TEE_ERROR_GENERIC;
  if (result != TEE_SUCCESS) TEE_MemFill(out, 0, KEY_LENGTH);
  return result;
}

/* Replaces the object in one step. */
static TEE_Result remember_version(void) {
  TEE_ObjectHandle object = TEE_HANDLE_NULL;
  uint8_t bytes[4];
  TEE_Result result;
  put_u32(bytes, NAUTILUS_TA_CODE_VERSION);
  result = TEE_CreatePersistentObject(TEE_STORAGE_PRIVATE, version_id, sizeof version_id - 1,
                                      TEE_DATA_FLAG_ACCESS_WRITE | TEE_DATA_FLAG_OVERWRITE,
                                      TEE_HANDLE_NULL, bytes, sizeof bytes, &object);
  if (result == TEE_SUCCESS) TEE_CloseObject(object);
  return result;
}

TEE_Result check_code_version(uint32_t *newest) {
  TEE_ObjectHandle object = TEE_HANDLE_NULL;
  uint8_t bytes[4];
  size_t count = 0;
  uint32_t known = 0;
  TEE_Result result = TEE_OpenPersistentObject(TEE_STORAGE_PRIVATE, version_id,
                                               sizeof version_id - 1, TEE_DATA_FLAG_ACCESS_READ,
                                               &object);
  if (result == TEE_SUCCESS) {
    result = TEE_ReadObjectData(object, bytes, sizeof bytes, &count);
    TEE_CloseObject(object);
    if (result != TEE_SUCCESS) return result;
    if (count != sizeof bytes) return TEE_ERROR_CORRUPT_OBJECT;
    known = get_u32(bytes);
  } else if (result != TEE_ERROR_ITEM_NOT_FOUND) {
    return result; /* storage that cannot be read is no first start */
  }
  if (known > NAUTILUS_TA_CODE_VERSION) return NAUTILUS_TA_ERROR_ROLLED_BACK;
  if (known < NAUTILUS_TA_CODE_VERSION) {
    result = remember_version();
    if (result != TEE_SUCCESS) return result;
  }
  if (newest != NULL) *newest = NAUTILUS_TA_CODE_VERSION;
  return TEE_SUCCESS;
}

static TEE_Result make_attestation_key(TEE_ObjectHandle *key) {
  TEE_ObjectHandle fresh = TEE_HANDLE_NULL;
  TEE_Attribute curve;
  TEE_Result result = TEE_AllocateTransientObject(TEE_TYPE_ECDSA_KEYPAIR, 256, &fresh);
  if (result != TEE_SUCCESS) return result;
  TEE_InitValueAttribute(&curve, TEE_ATTR_ECC_CURVE, TEE_ECC_CURVE_NIST_P256, 0);
  result = TEE_GenerateKey(fresh, 256, &curve, 1);
  if (result == TEE_SUCCESS) {
    /* Without OVERWRITE: a key that is there stays. */
    result = TEE_CreatePersistentObject(TEE_STORAGE_PRIVATE, attestation_id,
                                        sizeof attestation_id - 1, TEE_DATA_FLAG_ACCESS_READ,
                                        fresh, NULL, 0, key);
  }
  TEE_FreeTransientObject(fresh);
  return result;
}

TEE_Result open_attestation_key(TEE_ObjectHandle *key) {
  TEE_Result result = TEE_OpenPersistentObject(TEE_STORAGE_PRIVATE, attestation_id,
                                               sizeof attestation_id - 1,
                                               TEE_DATA_FLAG_ACCESS_READ, key);
  return result == TEE_ERROR_ITEM_NOT_FOUND ? make_attestation_key(key) : result;
}

TEE_Result sha256(const void *a, size_t a_length, const void *b, size_t b_length,
                  uint8_t out[DIGEST_LENGTH]) {
  size_t length = DIGEST_LENGTH;
  TEE_OperationHandle digest = TEE_HANDLE_NULL;
  TEE_Result result = TEE_AllocateOperation(&digest, TEE_ALG_SHA256, TEE_MODE_DIGEST, 0);
  if (result != TEE_SUCCESS) return result;
  TEE_DigestUpdate(digest, a, a_length);
  result = TEE_DigestDoFinal(digest, b, b_length, out, &length);
  TEE_FreeOperation(digest);
  if (result == TEE_SUCCESS && length != DIGEST_LENGTH) result = TEE_ERROR_GENERIC;
  return result;
}
