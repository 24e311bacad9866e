/*
 * The key helper inside SGX: seals with keys of EGETKEY, derives keys, reports on itself. Plaintext
 * comes from and goes to the master outside; the sealing keys never leave.
 *
 * A sealed blob: header 88 bytes {version u8, policy u8, isv_svn u16, cpu_svn[16], key id[32], name of
 * the key[16], iv[12], check[8]}, all little-endian, then as many bytes of ciphertext as of plaintext,
 * then tag[16]. AES-128-GCM (the SDK has no other); additional data: header, then the caller's.
 */
#include "nautilus_t.h"

#include "sgx_tcrypto.h"
#include "sgx_trts.h"
#include "sgx_utils.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "nautilus_sgx.h"

enum { VERSION = 1, CHECK = 8, NAME = 16, IV = 12, TAG = 16 };

typedef struct {
  uint8_t version;
  uint8_t policy;
  uint16_t isv_svn;
  sgx_cpu_svn_t cpu_svn;
  sgx_key_id_t key_id;
  uint8_t name[NAME];
  uint8_t iv[IV];
  uint8_t check[CHECK];
} header_t;

_Static_assert(sizeof(header_t) == 88, "the header has no padding of its own");
_Static_assert(sizeof(header_t) + TAG == NAUTILUS_SGX_OVERHEAD, "overhead");

static void wipe(void *data, size_t length) {
  for (volatile uint8_t *at = data; length > 0; length--) *at++ = 0;
}

/* Without branches on what is compared. */
static int differ(const void *a, const void *b, size_t length) {
  const uint8_t *left = a, *right = b;
  uint8_t sum = 0;
  for (size_t i = 0; i < length; i++) sum |= left[i] ^ right[i];
  return sum != 0;
}

static sgx_status_t seal_key(uint32_t policy, uint16_t isv_svn, const sgx_cpu_svn_t *cpu_svn,
                             const sgx_key_id_t *key_id, sgx_key_128bit_t *key) {
  sgx_key_request_t request;
  memset(&request, 0, sizeof request);
  request.key_name = SGX_KEYSELECT_SEAL;
  request.key_policy =
      policy == NAUTILUS_SGX_BY_MEASUREMENT ? SGX_KEYPOLICY_MRENCLAVE : SGX_KEYPOLICY_MRSIGNER;
  request.isv_svn = isv_svn;
  request.cpu_svn = *cpu_svn;
  /* INIT, DEBUG and reserved flags: a debug enclave gets other keys. As the SDK's own sealing. */
  request.attribute_mask.flags = 0xff0000000000000bULL;
  request.misc_mask = 0xf0000000;
  request.key_id = *key_id;
  return sgx_get_key(&request, key);
}

/* SHA-256 of a tag and up to two pieces, 300 bytes in all at most. */
static sgx_status_t digest(const char *tag, const void *a, size_t a_length, const void *b,
                           size_t b_length, sgx_sha256_hash_t *out) {
  uint8_t data[300];
  size_t tag_length = strlen(tag), length = tag_length + a_length + b_length;
  if (length > sizeof data) return SGX_ERROR_UNEXPECTED;
  memcpy(data, tag, tag_length);
  memcpy(data + tag_length, a, a_length);
  if (b_length > 0) memcpy(data + tag_length + a_length, b, b_length);
  sgx_status_t status = sgx_sha256_msg(data, (uint32_t)length, out);
  wipe(data, sizeof data);
  return status;
}

static sgx_status_t name_of(const sgx_key_128bit_t *key, uint8_t name[NAME]) {
  sgx_sha256_hash_t hash;
  sgx_status_t status = digest("nautilus-tee/sgx/v1/name", key, sizeof *key, NULL, 0, &hash);
  memcpy(name, hash, NAME);
  return status;
}

static sgx_status_t check_of(const header_t *header, uint8_t check[CHECK]) {
  sgx_sha256_hash_t hash;
  sgx_status_t status = digest("nautilus-tee/sgx/v1/header", header,
                               sizeof *header - sizeof header->check, NULL, 0, &hash);
  memcpy(check, hash, CHECK);
  return status;
}

/* Header and the caller's data in one piece, as GCM wants it; freed by the caller. */
static uint8_t *joined(const header_t *header, const uint8_t *aad, uint32_t aad_length) {
  uint8_t *all = malloc(sizeof *header + aad_length);
  if (all == NULL) return NULL;
  memcpy(all, header, sizeof *header);
  if (aad_length > 0) memcpy(all + sizeof *header, aad, aad_length);
  return all;
}

uint32_t nautilus_get_report(const sgx_target_info_t *target, const uint8_t *report_data,
                             sgx_report_t *report) {
  sgx_report_data_t data;
  if (target == NULL || report_data == NULL || report == NULL) return SGX_ERROR_INVALID_PARAMETER;
  memcpy(&data, report_data, sizeof data);
  return sgx_create_report(target, &data, report);
}

uint32_t nautilus_seal(uint32_t policy, const uint8_t *plaintext, uint32_t plaintext_length,
                       const uint8_t *aad, uint32_t aad_length, uint8_t *out, uint32_t capacity,
                       uint32_t *length) {
  if (policy != NAUTILUS_SGX_BY_MEASUREMENT && policy != NAUTILUS_SGX_BY_SIGNER) {
    return NAUTILUS_SGX_BAD_POLICY;
  }
  if (length == NULL || plaintext_length > NAUTILUS_SGX_MAX_PLAINTEXT ||
      aad_length > NAUTILUS_SGX_MAX_PLAINTEXT) {
    return SGX_ERROR_INVALID_PARAMETER;
  }
  *length = plaintext_length + NAUTILUS_SGX_OVERHEAD;
  if (out == NULL || capacity < *length) return NAUTILUS_SGX_BUFFER_TOO_SMALL;

  sgx_report_t self;
  header_t header;
  sgx_key_128bit_t key;
  uint8_t *all = NULL;
  memset(&header, 0, sizeof header);
  sgx_status_t status = sgx_create_report(NULL, NULL, &self);
  if (status != SGX_SUCCESS) return status;
  header.version = VERSION;
  header.policy = (uint8_t)policy;
  header.isv_svn = self.body.isv_svn;
  header.cpu_svn = self.body.cpu_svn;
  status = sgx_read_rand(header.key_id.id, sizeof header.key_id.id);
  if (status == SGX_SUCCESS) status = sgx_read_rand(header.iv, IV);
  if (status == SGX_SUCCESS) {
    status = seal_key(policy, header.isv_svn, &header.cpu_svn, &header.key_id, &key);
  }
  if (status == SGX_SUCCESS) status = name_of(&key, header.name);
  if (status == SGX_SUCCESS) status = check_of(&header, header.check);
  if (status == SGX_SUCCESS) {
    all = joined(&header, aad, aad_length);
    if (all == NULL) status = SGX_ERROR_OUT_OF_MEMORY;
  }
  if (status == SGX_SUCCESS) {
    uint8_t *text = out + sizeof header, *tag = text + plaintext_length;
    memcpy(out, &header, sizeof header);
    status = sgx_rijndael128GCM_encrypt((const sgx_aes_gcm_128bit_key_t *)&key, plaintext,
                                        plaintext_length, text, header.iv, IV, all,
                                        (uint32_t)sizeof header + aad_length,
                                        (sgx_aes_gcm_128bit_tag_t *)tag);
  }
  wipe(&key, sizeof key);
  free(all);
  return status;
}

uint32_t nautilus_unseal(const uint8_t *sealed, uint32_t sealed_length, const uint8_t *aad,
                         uint32_t aad_length, uint8_t *out, uint32_t capacity, uint32_t *length) {
  if (length == NULL || aad_length > NAUTILUS_SGX_MAX_PLAINTEXT) return SGX_ERROR_INVALID_PARAMETER;
  *length = 0;
  if (sealed == NULL || sealed_length < NAUTILUS_SGX_OVERHEAD ||
      sealed_length - NAUTILUS_SGX_OVERHEAD > NAUTILUS_SGX_MAX_PLAINTEXT) {
    return NAUTILUS_SGX_MALFORMED;
  }
  header_t header;
  uint8_t check[CHECK], name[NAME];
  memcpy(&header, sealed, sizeof header);
  uint32_t size = sealed_length - NAUTILUS_SGX_OVERHEAD;
  const uint8_t *text = sealed + sizeof header, *tag = text + size;
  sgx_status_t status = check_of(&header, check);
  if (status != SGX_SUCCESS) return status;
  if (differ(check, header.check, CHECK)) return NAUTILUS_SGX_TAMPERED;
  if (header.version != VERSION) return NAUTILUS_SGX_MALFORMED;
  if (header.policy != NAUTILUS_SGX_BY_MEASUREMENT && header.policy != NAUTILUS_SGX_BY_SIGNER) {
    return NAUTILUS_SGX_BAD_POLICY;
  }
  *length = size;
  if (capacity < size || (size > 0 && out == NULL)) return NAUTILUS_SGX_BUFFER_TOO_SMALL;

  sgx_key_128bit_t key;
  status = seal_key(header.policy, header.isv_svn, &header.cpu_svn, &header.key_id, &key);
  if (status == SGX_SUCCESS) status = name_of(&key, name);
  if (status != SGX_SUCCESS || differ(name, header.name, NAME)) {
    wipe(&key, sizeof key);
    return status != SGX_SUCCESS ? (uint32_t)status : (uint32_t)NAUTILUS_SGX_OTHER_KEY;
  }
  uint8_t *all = joined(&header, aad, aad_length);
  status = all == NULL ? SGX_ERROR_OUT_OF_MEMORY
                       : sgx_rijndael128GCM_decrypt(
                             (const sgx_aes_gcm_128bit_key_t *)&key, text, size, out, header.iv, IV,
                             all, (uint32_t)sizeof header + aad_length,
                             (const sgx_aes_gcm_128bit_tag_t *)tag);
  wipe(&key, sizeof key);
  free(all);
  if (status == SGX_SUCCESS) return SGX_SUCCESS;
  if (size > 0) wipe(out, size);
  return status == SGX_ERROR_MAC_MISMATCH ? (uint32_t)NAUTILUS_SGX_TAMPERED : (uint32_t)status;
}

uint32_t nautilus_derive_key(uint32_t policy, const uint8_t *label, uint8_t *out) {
  static const sgx_cpu_svn_t oldest; /* no security version: the same key after every update */
  if (policy != NAUTILUS_SGX_BY_MEASUREMENT && policy != NAUTILUS_SGX_BY_SIGNER) {
    return NAUTILUS_SGX_BAD_POLICY;
  }
  if (label == NULL || out == NULL) return SGX_ERROR_INVALID_PARAMETER;
  sgx_key_id_t key_id;
  sgx_key_128bit_t key;
  sgx_sha256_hash_t hash;
  memcpy(&key_id, label, sizeof key_id);
  sgx_status_t status = seal_key(policy, 0, &oldest, &key_id, &key);
  if (status == SGX_SUCCESS) {
    status = digest("nautilus-tee/sgx/v1/derive", &key, sizeof key, label, 32, &hash);
  }
  if (status == SGX_SUCCESS) memcpy(out, hash, sizeof hash);
  wipe(&key, sizeof key);
  wipe(&hash, sizeof hash);
  return status;
}
