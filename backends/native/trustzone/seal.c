/* Sealing: AES-256-GCM under a key of each blob's own, in pieces, because the heap is small. */
#include "ta_internal.h"

enum { SALT_AT = 12, SALT_LENGTH = 16, NONCE_AT = 28, NONCE_LENGTH = 12, TAG_LENGTH = 16 };

/* One instance, one command at a time (TA_FLAG_SINGLE_INSTANCE), so these are nobody else's. */
static uint8_t in_chunk[CHUNK];
static uint8_t out_chunk[CHUNK + 16];

/* What a key hangs on besides device and UUID: a label, the policy, this version, this code. */
enum { BINDING_LENGTH = 24 + 1 + 4 + MEASUREMENT_LENGTH };

static TEE_Result binding(const char label[24], uint32_t policy, uint8_t out[BINDING_LENGTH]) {
  TEE_MemMove(out, label, 24);
  out[24] = (uint8_t)policy;
  put_u32(out + 25, NAUTILUS_TA_CODE_VERSION);
  return ta_measurement(out + 29);
}

TEE_Result key_id(TEE_Param params[4]) {
  uint8_t label[BINDING_LENGTH];
  uint8_t derived[KEY_LENGTH];
  TEE_Result result;
  if (params[2].value.a != NAUTILUS_TA_POLICY_MEASUREMENT) return NAUTILUS_TA_ERROR_POLICY;
  if (params[3].memref.size < KEY_ID_LENGTH) {
    params[3].memref.size = KEY_ID_LENGTH;
    return TEE_ERROR_SHORT_BUFFER;
  }
  result = binding("nautilus-tee/key-id/v1\n", params[2].value.a, label);
  if (result != TEE_SUCCESS) return result;
  result = derive(label, sizeof label, derived);
  if (result == TEE_SUCCESS) {
    TEE_MemMove(params[3].memref.buffer, derived, KEY_ID_LENGTH);
    params[3].memref.size = KEY_ID_LENGTH;
  }
  TEE_MemFill(derived, 0, sizeof derived);
  return result;
}

/* An operation with the blob's key, its nonce and all of the additional data. */
static TEE_Result begin(uint32_t mode, const uint8_t header[NAUTILUS_TA_SEALED_HEADER],
                        const TEE_Param *aad, TEE_OperationHandle *operation) {
  uint8_t label[BINDING_LENGTH + SALT_LENGTH];
  uint8_t key[KEY_LENGTH];
  TEE_ObjectHandle object = TEE_HANDLE_NULL;
  TEE_Attribute secret;
  TEE_Result result = binding("nautilus-tee/blob-key/1\n", header[5], label);
  if (result != TEE_SUCCESS) return result;
  TEE_MemMove(label + BINDING_LENGTH, header + SALT_AT, SALT_LENGTH);
  result = derive(label, sizeof label, key);
  if (result != TEE_SUCCESS) return result;
  result = TEE_AllocateTransientObject(TEE_TYPE_AES, 256, &object);
  if (result == TEE_SUCCESS) {
    TEE_InitRefAttribute(&secret, TEE_ATTR_SECRET_VALUE, key, sizeof key);
    result = TEE_PopulateTransientObject(object, &secret, 1);
  }
  if (result == TEE_SUCCESS) result = TEE_AllocateOperation(operation, TEE_ALG_AES_GCM, mode, 256);
  if (result == TEE_SUCCESS) result = TEE_SetOperationKey(*operation, object);
  TEE_FreeTransientObject(object);
  TEE_MemFill(key, 0, sizeof key);
  if (result == TEE_SUCCESS) {
    result = TEE_AEInit(*operation, header + NONCE_AT, NONCE_LENGTH, TAG_LENGTH * 8, 0, 0);
  }
  if (result == TEE_SUCCESS) {
    TEE_AEUpdateAAD(*operation, header, NAUTILUS_TA_SEALED_HEADER);
    for (size_t at = 0; at < aad->memref.size;) {
      size_t length = aad->memref.size - at < CHUNK ? aad->memref.size - at : CHUNK;
      TEE_MemMove(in_chunk, (const uint8_t *)aad->memref.buffer + at, length);
      TEE_AEUpdateAAD(*operation, in_chunk, length);
      at += length;
    }
    return TEE_SUCCESS;
  }
  if (*operation != TEE_HANDLE_NULL) TEE_FreeOperation(*operation);
  *operation = TEE_HANDLE_NULL;
  return result;
}

/* All but the end: writes to `out`, whose room the caller has checked; `*written` says how far. */
static TEE_Result pump(TEE_OperationHandle operation, const uint8_t *in, size_t length, uint8_t *out,
                       size_t *written) {
  size_t total = length;
  *written = 0;
  for (size_t at = 0; at < length;) {
    size_t piece = length - at < CHUNK ? length - at : CHUNK;
    size_t made = sizeof out_chunk;
    TEE_Result result;
    TEE_MemMove(in_chunk, in + at, piece);
    result = TEE_AEUpdate(operation, in_chunk, piece, out_chunk, &made);
    if (result != TEE_SUCCESS) return result;
    if (made > total - *written) return TEE_ERROR_GENERIC;
    TEE_MemMove(out + *written, out_chunk, made);
    *written += made;
    at += piece;
  }
  return TEE_SUCCESS;
}

static void wipe_chunks(void) {
  TEE_MemFill(in_chunk, 0, sizeof in_chunk);
  TEE_MemFill(out_chunk, 0, sizeof out_chunk);
}

TEE_Result seal(TEE_Param params[4]) {
  uint8_t header[NAUTILUS_TA_SEALED_HEADER] = { 'N', 'T', 'Z', 'S', 1 };
  uint8_t tag[TAG_LENGTH];
  size_t tag_length = sizeof tag;
  size_t length = params[0].memref.size;
  size_t written = 0;
  size_t rest = sizeof out_chunk;
  uint8_t *out = params[3].memref.buffer;
  TEE_OperationHandle operation = TEE_HANDLE_NULL;
  TEE_Result result;
  if (params[2].value.a != NAUTILUS_TA_POLICY_MEASUREMENT) return NAUTILUS_TA_ERROR_POLICY;
  if (length > SIZE_MAX - NAUTILUS_TA_SEALED_OVERHEAD) return TEE_ERROR_BAD_PARAMETERS;
  if (params[3].memref.size < length + NAUTILUS_TA_SEALED_OVERHEAD) {
    params[3].memref.size = length + NAUTILUS_TA_SEALED_OVERHEAD;
    return TEE_ERROR_SHORT_BUFFER;
  }
  header[5] = (uint8_t)params[2].value.a;
  put_u32(header + 8, NAUTILUS_TA_CODE_VERSION);
  TEE_GenerateRandom(header + SALT_AT, SALT_LENGTH + NONCE_LENGTH);
  result = begin(TEE_MODE_ENCRYPT, header, &params[1], &operation);
  if (result != TEE_SUCCESS) return result;
  out += NAUTILUS_TA_SEALED_HEADER;
  result = pump(operation, params[0].memref.buffer, length, out, &written);
  if (result == TEE_SUCCESS) {
    result = TEE_AEEncryptFinal(operation, NULL, 0, out_chunk, &rest, tag, &tag_length);
  }
  TEE_FreeOperation(operation);
  if (result == TEE_SUCCESS && (written + rest != length || tag_length != TAG_LENGTH)) {
    result = TEE_ERROR_GENERIC;
  }
  if (result == TEE_SUCCESS) {
    TEE_MemMove(out + written, out_chunk, rest);
    TEE_MemMove(out + length, tag, TAG_LENGTH);
    TEE_MemMove(params[3].memref.buffer, header, sizeof header);
    params[3].memref.size = length + NAUTILUS_TA_SEALED_OVERHEAD;
  }
  wipe_chunks();
  return result;
}

TEE_Result unseal(TEE_Param params[4]) {
  uint8_t header[NAUTILUS_TA_SEALED_HEADER];
  uint8_t tag[TAG_LENGTH];
  const uint8_t *in = params[0].memref.buffer;
  uint8_t *out = params[3].memref.buffer;
  size_t length = 0;
  size_t written = 0;
  size_t rest = sizeof out_chunk;
  TEE_OperationHandle operation = TEE_HANDLE_NULL;
  TEE_Result result;
  if (params[0].memref.size < NAUTILUS_TA_SEALED_OVERHEAD) return TEE_ERROR_BAD_FORMAT;
  length = params[0].memref.size - NAUTILUS_TA_SEALED_OVERHEAD;
  TEE_MemMove(header, in, sizeof header);
  if (TEE_MemCompare(header, "NTZS\1", 5) != 0 || header[6] != 0 || header[7] != 0) {
    return TEE_ERROR_BAD_FORMAT;
  }
  if (header[5] != NAUTILUS_TA_POLICY_MEASUREMENT) return NAUTILUS_TA_ERROR_POLICY;
  if (get_u32(header + 8) != NAUTILUS_TA_CODE_VERSION) return NAUTILUS_TA_ERROR_OTHER_CODE;
  if (params[3].memref.size < length) {
    params[3].memref.size = length;
    return TEE_ERROR_SHORT_BUFFER;
  }
  result = begin(TEE_MODE_DECRYPT, header, &params[1], &operation);
  if (result != TEE_SUCCESS) return result;
  in += NAUTILUS_TA_SEALED_HEADER;
  result = pump(operation, in, length, out, &written);
  if (result == TEE_SUCCESS) {
    TEE_MemMove(tag, in + length, TAG_LENGTH);
    result = TEE_AEDecryptFinal(operation, NULL, 0, out_chunk, &rest, tag, TAG_LENGTH);
  }
  TEE_FreeOperation(operation);
  if (result == TEE_SUCCESS && written + rest != length) result = TEE_ERROR_GENERIC;
  if (result == TEE_SUCCESS) {
    TEE_MemMove(out + written, out_chunk, rest);
    params[3].memref.size = length;
  } else {
    /* What could not be authenticated is nobody's plaintext. */
    TEE_MemFill(out, 0, written);
    params[3].memref.size = 0;
  }
  wipe_chunks();
  return result;
}
