/*
 * A trusted OS for tests: the internal API over OpenSSL and a folder that is the device. In it: `huk`,
 * the hardware's key; secure storage, one file an object; `pta_key`, an RSA key (DER) where this
 * device has the attestation PTA. What a trusted OS would end a TA for ends the process.
 */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tee_internal_api.h"

enum { PATH_LENGTH = 4096, MAX_DATA = 8192 };

/* The device that the command on its way is for; commands run one at a time. */
static char device[PATH_LENGTH - 64];

struct __TEE_ObjectHandle {
  uint32_t type;
  EVP_PKEY *pair;
  uint8_t data[MAX_DATA];
  size_t length;
};
struct __TEE_OperationHandle {
  uint32_t algorithm, mode;
  EVP_MD_CTX *digest;
  EVP_CIPHER_CTX *cipher;
  EVP_PKEY *pair;
  uint8_t key[32];
};
struct __TEE_TASessionHandle {
  int unused;
};
static struct __TEE_TASessionHandle system_session, attestation_session;

static void panic(int bad, const char *what) {
  if (!bad) return;
  fprintf(stderr, "the TA panicked: %s\n", what);
  abort();
}

static void file_of(char path[PATH_LENGTH], const char *prefix, const void *id, size_t length) {
  panic(length > 40, "object id");
  snprintf(path, PATH_LENGTH, "%s/%s%.*s", device, prefix, (int)length, (const char *)id);
}

static long read_file(const char *path, uint8_t *out, size_t capacity) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) return -1;
  size_t length = fread(out, 1, capacity, file);
  fclose(file);
  return (long)length;
}

void TEE_MemMove(void *to, const void *from, size_t size) {
  if (size > 0) memmove(to, from, size);
}
int32_t TEE_MemCompare(const void *a, const void *b, size_t size) { return memcmp(a, b, size); }
void TEE_MemFill(void *at, uint32_t byte, size_t size) {
  if (size > 0) memset(at, (int)byte, size);
}
void TEE_GenerateRandom(void *buffer, size_t length) {
  panic(RAND_bytes(buffer, (int)length) != 1, "no randomness");
}

/* The two PTAs. */

TEE_Result TEE_OpenTASession(const TEE_UUID *destination, uint32_t timeout, uint32_t types,
                             TEE_Param params[4], TEE_TASessionHandle *session, uint32_t *origin) {
  char path[PATH_LENGTH];
  (void)timeout, (void)types, (void)params;
  *origin = 3;
  file_of(path, "", "pta_key", 7);
  if (destination->timeLow == 0x3a2f8978) *session = &system_session;
  else if (destination->timeLow == 0x39800861 && access(path, F_OK) == 0) *session = &attestation_session;
  else return TEE_ERROR_ITEM_NOT_FOUND;
  return TEE_SUCCESS;
}

void TEE_CloseTASession(TEE_TASessionHandle session) { (void)session; }

static TEE_Result derive_key(TEE_Param params[4]) {
  uint8_t huk[32];
  unsigned length = 32;
  char path[PATH_LENGTH];
  file_of(path, "", "huk", 3);
  if (read_file(path, huk, sizeof huk) != 32) return TEE_ERROR_GENERIC;
  panic(params[1].memref.size != 32, "derived key's length");
  HMAC(EVP_sha256(), huk, 32, params[0].memref.buffer, params[0].memref.size,
       params[1].memref.buffer, &length);
  return TEE_SUCCESS;
}

static TEE_Result hash_memory(TEE_Param params[4]) {
  static const uint8_t code[] = { NAUTILUS_CODE_DIGEST };
  uint8_t der[MAX_DATA], signed_bytes[256 + 32];
  const uint8_t *at = der;
  uint8_t *out = params[1].memref.buffer;
  size_t nonce = params[0].memref.size, length = params[1].memref.size - 32;
  char path[PATH_LENGTH];
  file_of(path, "", "pta_key", 7);
  long found = read_file(path, der, sizeof der);
  EVP_PKEY *key = d2i_AutoPrivateKey(NULL, &at, found);
  panic(key == NULL || nonce > 256, "attestation key");
  EVP_Digest(code, sizeof code, out, NULL, EVP_sha256(), NULL);
  memcpy(signed_bytes, params[0].memref.buffer, nonce);
  memcpy(signed_bytes + nonce, out, 32);
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  EVP_PKEY_CTX *options = NULL;
  int good = EVP_DigestSignInit(context, &options, EVP_sha256(), NULL, key) == 1 &&
             EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) == 1 &&
             EVP_PKEY_CTX_set_rsa_pss_saltlen(options, 32) == 1 &&
             EVP_DigestSign(context, out + 32, &length, signed_bytes, nonce + 32) == 1;
  EVP_MD_CTX_free(context);
  EVP_PKEY_free(key);
  params[1].memref.size = 32 + length;
  return good ? TEE_SUCCESS : TEE_ERROR_GENERIC;
}

TEE_Result TEE_InvokeTACommand(TEE_TASessionHandle session, uint32_t timeout, uint32_t command,
                               uint32_t types, TEE_Param params[4], uint32_t *origin) {
  (void)timeout;
  *origin = 4;
  panic(types != TEE_PARAM_TYPES(5, 6, 0, 0), "parameters of a PTA");
  if (session == &system_session && command == 1) return derive_key(params);
  if (session == &attestation_session && command == 2) return hash_memory(params);
  return TEE_ERROR_NOT_SUPPORTED;
}

/* Objects: transient keys, and files. */

TEE_Result TEE_AllocateTransientObject(uint32_t type, uint32_t size, TEE_ObjectHandle *object) {
  panic(size != 256, "key size");
  *object = calloc(1, sizeof **object);
  (*object)->type = type;
  return TEE_SUCCESS;
}

void TEE_FreeTransientObject(TEE_ObjectHandle object) {
  if (object == NULL) return;
  EVP_PKEY_free(object->pair);
  memset(object, 0, sizeof *object);
  free(object);
}

void TEE_CloseObject(TEE_ObjectHandle object) { TEE_FreeTransientObject(object); }

void TEE_InitRefAttribute(TEE_Attribute *attribute, uint32_t id, const void *buffer, size_t length) {
  attribute->attributeID = id;
  attribute->content.ref.buffer = (void *)(uintptr_t)buffer;
  attribute->content.ref.length = length;
}

void TEE_InitValueAttribute(TEE_Attribute *attribute, uint32_t id, uint32_t a, uint32_t b) {
  attribute->attributeID = id;
  attribute->content.value.a = a;
  attribute->content.value.b = b;
}

TEE_Result TEE_PopulateTransientObject(TEE_ObjectHandle object, const TEE_Attribute *attributes,
                                       uint32_t count) {
  panic(object->type != TEE_TYPE_AES || count != 1 || attributes->content.ref.length != 32, "AES key");
  memcpy(object->data, attributes->content.ref.buffer, 32);
  object->length = 32;
  return TEE_SUCCESS;
}

TEE_Result TEE_GenerateKey(TEE_ObjectHandle object, uint32_t size, const TEE_Attribute *params,
                           uint32_t count) {
  panic(object->type != TEE_TYPE_ECDSA_KEYPAIR || size != 256 || count != 1 ||
            params->content.value.a != TEE_ECC_CURVE_NIST_P256,
        "key to generate");
  object->pair = EVP_EC_gen("P-256");
  return object->pair == NULL ? TEE_ERROR_GENERIC : TEE_SUCCESS;
}

TEE_Result TEE_GetObjectBufferAttribute(TEE_ObjectHandle object, uint32_t attribute, void *buffer,
                                        size_t *size) {
  BIGNUM *number = NULL;
  const char *name =
      attribute == TEE_ATTR_ECC_PUBLIC_VALUE_X ? OSSL_PKEY_PARAM_EC_PUB_X : OSSL_PKEY_PARAM_EC_PUB_Y;
  if (EVP_PKEY_get_bn_param(object->pair, name, &number) != 1) return TEE_ERROR_GENERIC;
  panic((size_t)BN_num_bytes(number) > *size, "coordinate");
  *size = (size_t)BN_bn2bin(number, buffer);
  BN_free(number);
  return TEE_SUCCESS;
}

TEE_Result TEE_OpenPersistentObject(uint32_t storage, const void *id, size_t id_length,
                                    uint32_t flags, TEE_ObjectHandle *object) {
  char path[PATH_LENGTH];
  uint8_t bytes[MAX_DATA];
  panic(storage != TEE_STORAGE_PRIVATE || flags != TEE_DATA_FLAG_ACCESS_READ, "open flags");
  file_of(path, "object ", id, id_length);
  long length = read_file(path, bytes, sizeof bytes);
  if (length < 0) return TEE_ERROR_ITEM_NOT_FOUND;
  TEE_ObjectHandle found = calloc(1, sizeof *found);
  const uint8_t *at = bytes + 1;
  if (length > 0 && bytes[0] == 'K') found->pair = d2i_AutoPrivateKey(NULL, &at, length - 1);
  if (length == 0 || (bytes[0] == 'K' ? found->pair == NULL : bytes[0] != 'D')) {
    free(found);
    return TEE_ERROR_CORRUPT_OBJECT;
  }
  found->length = (size_t)length - 1;
  memcpy(found->data, bytes + 1, found->length);
  *object = found;
  return TEE_SUCCESS;
}

TEE_Result TEE_CreatePersistentObject(uint32_t storage, const void *id, size_t id_length,
                                      uint32_t flags, TEE_ObjectHandle attributes, const void *data,
                                      size_t length, TEE_ObjectHandle *object) {
  char path[PATH_LENGTH], fresh[PATH_LENGTH + 8];
  uint8_t bytes[MAX_DATA] = "D";
  uint8_t *at = bytes + 1;
  panic(storage != TEE_STORAGE_PRIVATE || length > 64, "persistent object");
  file_of(path, "object ", id, id_length);
  if ((flags & TEE_DATA_FLAG_OVERWRITE) == 0 && access(path, F_OK) == 0) {
    return TEE_ERROR_ACCESS_CONFLICT;
  }
  if (attributes != TEE_HANDLE_NULL) {
    bytes[0] = 'K';
    i2d_PrivateKey(attributes->pair, &at); /* moves `at` on */
  } else {
    memcpy(at, data, length);
    at += length;
  }
  snprintf(fresh, sizeof fresh, "%s.new", path);
  FILE *file = fopen(fresh, "wb");
  if (file == NULL) return TEE_ERROR_GENERIC;
  size_t written = fwrite(bytes, 1, (size_t)(at - bytes), file);
  if (fclose(file) != 0 || written != (size_t)(at - bytes) || rename(fresh, path) != 0) {
    return TEE_ERROR_GENERIC;
  }
  return TEE_OpenPersistentObject(storage, id, id_length, TEE_DATA_FLAG_ACCESS_READ, object);
}

TEE_Result TEE_ReadObjectData(TEE_ObjectHandle object, void *buffer, size_t size, size_t *count) {
  *count = object->length < size ? object->length : size;
  memcpy(buffer, object->data, *count);
  return TEE_SUCCESS;
}

/* Operations. */

TEE_Result TEE_AllocateOperation(TEE_OperationHandle *operation, uint32_t algorithm, uint32_t mode,
                                 uint32_t size) {
  TEE_OperationHandle made = calloc(1, sizeof *made);
  (void)size;
  made->algorithm = algorithm;
  made->mode = mode;
  if (mode == TEE_MODE_DIGEST) {
    made->digest = EVP_MD_CTX_new();
    EVP_DigestInit_ex(made->digest, algorithm == TEE_ALG_SHA256 ? EVP_sha256() : EVP_sha384(), NULL);
  }
  *operation = made;
  return TEE_SUCCESS;
}

void TEE_FreeOperation(TEE_OperationHandle operation) {
  panic(operation == NULL, "no operation");
  EVP_MD_CTX_free(operation->digest);
  EVP_CIPHER_CTX_free(operation->cipher);
  EVP_PKEY_free(operation->pair);
  memset(operation, 0, sizeof *operation);
  free(operation);
}

TEE_Result TEE_SetOperationKey(TEE_OperationHandle operation, TEE_ObjectHandle key) {
  if (key->pair != NULL) {
    EVP_PKEY_up_ref(key->pair);
    operation->pair = key->pair;
  }
  memcpy(operation->key, key->data, 32);
  return TEE_SUCCESS;
}

void TEE_DigestUpdate(TEE_OperationHandle operation, const void *chunk, size_t size) {
  panic(EVP_DigestUpdate(operation->digest, chunk, size) != 1, "digest");
}

TEE_Result TEE_DigestDoFinal(TEE_OperationHandle operation, const void *chunk, size_t size,
                             void *hash, size_t *length) {
  unsigned made = 0;
  TEE_DigestUpdate(operation, chunk, size);
  panic((size_t)EVP_MD_CTX_get_size(operation->digest) > *length, "digest's length");
  EVP_DigestFinal_ex(operation->digest, hash, &made);
  *length = made;
  return TEE_SUCCESS;
}

TEE_Result TEE_AEInit(TEE_OperationHandle operation, const void *nonce, size_t length,
                      uint32_t tag_bits, size_t aad_length, size_t payload_length) {
  (void)aad_length, (void)payload_length;
  panic(operation->algorithm != TEE_ALG_AES_GCM || length != 12 || tag_bits != 128, "AES-GCM");
  operation->cipher = EVP_CIPHER_CTX_new();
  int good = EVP_CipherInit_ex(operation->cipher, EVP_aes_256_gcm(), NULL, operation->key, nonce,
                               operation->mode == TEE_MODE_ENCRYPT);
  return good == 1 ? TEE_SUCCESS : TEE_ERROR_GENERIC;
}

void TEE_AEUpdateAAD(TEE_OperationHandle operation, const void *data, size_t size) {
  int made = 0;
  panic(EVP_CipherUpdate(operation->cipher, NULL, &made, data, (int)size) != 1, "AAD");
}

TEE_Result TEE_AEUpdate(TEE_OperationHandle operation, const void *from, size_t from_length, void *to,
                        size_t *to_length) {
  int made = 0;
  if (*to_length < from_length) return TEE_ERROR_SHORT_BUFFER;
  panic(EVP_CipherUpdate(operation->cipher, to, &made, from, (int)from_length) != 1, "AES-GCM");
  *to_length = (size_t)made;
  return TEE_SUCCESS;
}

TEE_Result TEE_AEEncryptFinal(TEE_OperationHandle operation, const void *from, size_t from_length,
                              void *to, size_t *to_length, void *tag, size_t *tag_length) {
  int made = 0;
  panic(from_length != 0 || *tag_length < 16, "final call");
  (void)from;
  panic(EVP_CipherFinal_ex(operation->cipher, to, &made) != 1, "AES-GCM");
  EVP_CIPHER_CTX_ctrl(operation->cipher, EVP_CTRL_AEAD_GET_TAG, 16, tag);
  *to_length = (size_t)made;
  *tag_length = 16;
  return TEE_SUCCESS;
}

TEE_Result TEE_AEDecryptFinal(TEE_OperationHandle operation, const void *from, size_t from_length,
                              void *to, size_t *to_length, void *tag, size_t tag_length) {
  int made = 0;
  panic(from_length != 0 || tag_length != 16, "final call");
  (void)from;
  EVP_CIPHER_CTX_ctrl(operation->cipher, EVP_CTRL_AEAD_SET_TAG, 16, tag);
  if (EVP_CipherFinal_ex(operation->cipher, to, &made) != 1) return TEE_ERROR_MAC_INVALID;
  *to_length = (size_t)made;
  return TEE_SUCCESS;
}

TEE_Result TEE_AsymmetricSignDigest(TEE_OperationHandle operation, const TEE_Attribute *params,
                                    uint32_t count, const void *digest, size_t digest_length,
                                    void *signature, size_t *length) {
  uint8_t der[128];
  const uint8_t *at = der;
  size_t der_length = sizeof der;
  (void)params, (void)count;
  panic(operation->algorithm != TEE_ALG_ECDSA_SHA256 || *length < 64, "ECDSA");
  EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(operation->pair, NULL);
  int good = EVP_PKEY_sign_init(context) == 1 &&
             EVP_PKEY_sign(context, der, &der_length, digest, digest_length) == 1;
  EVP_PKEY_CTX_free(context);
  if (!good) return TEE_ERROR_GENERIC;
  ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &at, (long)der_length);
  BN_bn2binpad(ECDSA_SIG_get0_r(pair), signature, 32);
  BN_bn2binpad(ECDSA_SIG_get0_s(pair), (uint8_t *)signature + 32, 32);
  ECDSA_SIG_free(pair);
  *length = 64;
  return TEE_SUCCESS;
}
