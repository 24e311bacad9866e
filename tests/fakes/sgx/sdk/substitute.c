/*
 * libsgx_urts, libsgx_dcap_ql and libnautilus_sgx in one library for tests: the enclave's and the
 * shim's own sources over a software processor. The "enclave file" is a text that says which
 * processor, program and security versions there are, and the folder of the platform:
 *
 *   processor=1 program=1 signer=81 isvsvn=1 cpusvn=5 platform=/a/folder
 *
 * In the folder: quote.header (48 bytes), quote.certified (what stands behind the attestation key in
 * a quote), attestation.key (PKCS #8) and attestation.xy; calls.log gets a line for every call;
 * a file fault, "name status count", makes that many calls of that name answer with that status.
 */
#include "nautilus_t.h"

#include "enclave.c"

#undef nautilus_get_report
#undef nautilus_seal
#undef nautilus_unseal
#undef nautilus_derive_key

#include "shim.c"

#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

/* Of libcrypto.so.3, by its documented prototypes: its headers need not be here. */
typedef struct evp_pkey_st EVP_PKEY;
typedef struct evp_md_ctx_st EVP_MD_CTX;
typedef struct evp_md_st EVP_MD;
typedef struct evp_cipher_st EVP_CIPHER;
typedef struct evp_cipher_ctx_st EVP_CIPHER_CTX;
unsigned char *SHA256(const unsigned char *data, size_t length, unsigned char *out);
EVP_PKEY *d2i_AutoPrivateKey(EVP_PKEY **key, const unsigned char **in, long length);
void EVP_PKEY_free(EVP_PKEY *key);
EVP_MD_CTX *EVP_MD_CTX_new(void);
void EVP_MD_CTX_free(EVP_MD_CTX *context);
const EVP_MD *EVP_sha256(void);
int EVP_DigestSignInit(EVP_MD_CTX *context, void *unused, const EVP_MD *md, void *engine,
                       EVP_PKEY *key);
int EVP_DigestSign(EVP_MD_CTX *context, unsigned char *signature, size_t *length,
                   const unsigned char *data, size_t data_length);
const EVP_CIPHER *EVP_aes_128_gcm(void);
EVP_CIPHER_CTX *EVP_CIPHER_CTX_new(void);
void EVP_CIPHER_CTX_free(EVP_CIPHER_CTX *context);
int EVP_CIPHER_CTX_ctrl(EVP_CIPHER_CTX *context, int type, int argument, void *pointer);
int EVP_CipherInit_ex(EVP_CIPHER_CTX *context, const EVP_CIPHER *cipher, void *engine,
                      const unsigned char *key, const unsigned char *iv, int encrypt);
int EVP_CipherUpdate(EVP_CIPHER_CTX *context, unsigned char *out, int *length,
                     const unsigned char *in, int in_length);
int EVP_CipherFinal_ex(EVP_CIPHER_CTX *context, unsigned char *out, int *length);
enum { GCM_GET_TAG = 0x10, GCM_SET_TAG = 0x11 };

enum { ENCLAVES = 64 };

typedef struct {
  int alive, processor, program, signer, isvsvn, cpusvn;
  char platform[256];
} enclave_t;

static enclave_t enclaves[ENCLAVES];
static char making;
/* Of the thread: a Worker drives one enclave. */
static __thread enclave_t *current, *latest;

/* A line in the log, and what the fault file says of this call. */
static uint32_t called(const enclave_t *enclave, const char *name) {
  char path[300], found[32];
  unsigned status, count;
  if (enclave == NULL) return 0;
  snprintf(path, sizeof path, "%s/calls.log", enclave->platform);
  int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (log >= 0) {
    dprintf(log, "%s\n", name);
    close(log);
  }
  snprintf(path, sizeof path, "%s/fault", enclave->platform);
  FILE *file = fopen(path, "r");
  if (file == NULL) return 0;
  int fields = fscanf(file, "%31s %x %u", found, &status, &count);
  fclose(file);
  if (fields != 3 || count == 0 || strcmp(found, name) != 0) return 0;
  file = fopen(path, "w");
  if (file != NULL) {
    fprintf(file, "%s %x %u\n", found, status, count - 1);
    fclose(file);
  }
  return status;
}

static size_t read_file(const char *name, uint8_t *out, size_t capacity) {
  char path[300];
  snprintf(path, sizeof path, "%s/%s", latest->platform, name);
  FILE *file = fopen(path, "rb");
  if (file == NULL) return 0;
  size_t length = fread(out, 1, capacity, file);
  fclose(file);
  return length;
}

EXPORT sgx_status_t sgx_create_enclave(const char *file_name, int debug, sgx_launch_token_t *token,
                                       int *updated, sgx_enclave_id_t *eid,
                                       sgx_misc_attribute_t *misc) {
  enclave_t made = {.alive = 1};
  if (debug != 0 || token == NULL || updated == NULL || eid == NULL) {
    return SGX_ERROR_INVALID_PARAMETER;
  }
  FILE *file = fopen(file_name, "r");
  if (file == NULL) return SGX_ERROR_ENCLAVE_FILE_ACCESS;
  int fields = fscanf(file, "processor=%d program=%d signer=%d isvsvn=%d cpusvn=%d platform=%255s",
                      &made.processor, &made.program, &made.signer, &made.isvsvn, &made.cpusvn,
                      made.platform);
  fclose(file);
  if (fields != 6) return SGX_ERROR_INVALID_ENCLAVE;
  uint32_t status = called(&made, "sgx_create_enclave");
  if (status != 0) return status;
  status = SGX_ERROR_OUT_OF_MEMORY;
  while (__atomic_test_and_set(&making, __ATOMIC_ACQUIRE)) {
  }
  for (int i = 0; i < ENCLAVES && status != SGX_SUCCESS; i++) {
    if (enclaves[i].alive) continue;
    enclaves[i] = made;
    latest = &enclaves[i];
    *eid = (uint64_t)i + 2;
    status = SGX_SUCCESS;
  }
  __atomic_clear(&making, __ATOMIC_RELEASE);
  if (misc != NULL) memset(misc, 0, sizeof *misc);
  return status;
}

EXPORT sgx_status_t sgx_destroy_enclave(sgx_enclave_id_t eid) {
  if (eid < 2 || eid >= ENCLAVES + 2 || !enclaves[eid - 2].alive) {
    return SGX_ERROR_INVALID_ENCLAVE_ID;
  }
  called(&enclaves[eid - 2], "sgx_destroy_enclave");
  enclaves[eid - 2].alive = 0;
  return SGX_SUCCESS;
}

/* Into the enclave; every ecall begins with it. */
static sgx_status_t enter(sgx_enclave_id_t eid, const char *name) {
  if (eid < 2 || eid >= ENCLAVES + 2 || !enclaves[eid - 2].alive) {
    return SGX_ERROR_INVALID_ENCLAVE_ID;
  }
  current = latest = &enclaves[eid - 2];
  return called(current, name);
}

sgx_status_t nautilus_get_report(sgx_enclave_id_t eid, uint32_t *retval,
                                 const sgx_target_info_t *target, const uint8_t *report_data,
                                 sgx_report_t *report) {
  sgx_status_t status = enter(eid, "get_report");
  if (status == SGX_SUCCESS) *retval = trusted_get_report(target, report_data, report);
  return status;
}

sgx_status_t nautilus_seal(sgx_enclave_id_t eid, uint32_t *retval, uint32_t policy,
                           const uint8_t *plaintext, uint32_t plaintext_length, const uint8_t *aad,
                           uint32_t aad_length, uint8_t *out, uint32_t capacity, uint32_t *length) {
  sgx_status_t status = enter(eid, "seal");
  if (status == SGX_SUCCESS) {
    *retval = trusted_seal(policy, plaintext, plaintext_length, aad, aad_length, out, capacity,
                           length);
  }
  return status;
}

sgx_status_t nautilus_unseal(sgx_enclave_id_t eid, uint32_t *retval, const uint8_t *sealed,
                             uint32_t sealed_length, const uint8_t *aad, uint32_t aad_length,
                             uint8_t *out, uint32_t capacity, uint32_t *length) {
  sgx_status_t status = enter(eid, "unseal");
  if (status == SGX_SUCCESS) {
    *retval = trusted_unseal(sealed, sealed_length, aad, aad_length, out, capacity, length);
  }
  return status;
}

sgx_status_t nautilus_derive_key(sgx_enclave_id_t eid, uint32_t *retval, uint32_t policy,
                                 const uint8_t *label, uint8_t *key) {
  sgx_status_t status = enter(eid, "derive_key");
  if (status == SGX_SUCCESS) *retval = trusted_derive_key(policy, label, key);
  return status;
}

sgx_status_t sgx_get_key(const sgx_key_request_t *request, sgx_key_128bit_t *key) {
  struct {
    int processor, program, signer;
    uint16_t policy, isv_svn;
    sgx_cpu_svn_t cpu_svn;
    sgx_key_id_t key_id;
  } mixed;
  uint8_t hash[32];
  uint32_t fault = called(current, "sgx_get_key");
  if (fault != 0) return fault;
  if (request->key_name != SGX_KEYSELECT_SEAL) return SGX_ERROR_INVALID_KEYNAME;
  if (request->isv_svn > current->isvsvn) return SGX_ERROR_INVALID_ISVSVN;
  for (int i = 0; i < 16; i++) {
    if (request->cpu_svn.svn[i] > current->cpusvn) return SGX_ERROR_INVALID_CPUSVN;
  }
  memset(&mixed, 0, sizeof mixed);
  mixed.processor = current->processor;
  if (request->key_policy & SGX_KEYPOLICY_MRENCLAVE) mixed.program = current->program;
  if (request->key_policy & SGX_KEYPOLICY_MRSIGNER) mixed.signer = current->signer;
  mixed.policy = request->key_policy;
  mixed.isv_svn = request->isv_svn;
  mixed.cpu_svn = request->cpu_svn;
  mixed.key_id = request->key_id;
  SHA256((const uint8_t *)&mixed, sizeof mixed, hash);
  memcpy(key, hash, sizeof *key);
  return SGX_SUCCESS;
}

static void mac_of(const sgx_report_t *report, uint8_t out[16]) {
  uint8_t hash[32];
  SHA256((const uint8_t *)report, offsetof(sgx_report_t, mac), hash);
  memcpy(out, hash, 16);
}

sgx_status_t sgx_create_report(const sgx_target_info_t *target, const sgx_report_data_t *data,
                               sgx_report_t *report) {
  (void)target;
  memset(report, 0, sizeof *report);
  memset(report->body.cpu_svn.svn, current->cpusvn, 16);
  report->body.attributes.flags = 5; /* INIT, MODE64BIT */
  report->body.attributes.xfrm = 0xe7;
  memset(report->body.mr_enclave.m, current->program, 32);
  memset(report->body.mr_signer.m, current->signer, 32);
  report->body.isv_prod_id = 1;
  report->body.isv_svn = (uint16_t)current->isvsvn;
  if (data != NULL) report->body.report_data = *data;
  mac_of(report, report->mac);
  return SGX_SUCCESS;
}

sgx_status_t sgx_read_rand(unsigned char *out, size_t length) {
  return getrandom(out, length, 0) == (ssize_t)length ? SGX_SUCCESS : SGX_ERROR_UNEXPECTED;
}

sgx_status_t sgx_sha256_msg(const uint8_t *data, uint32_t length, sgx_sha256_hash_t *hash) {
  SHA256(data, length, *hash);
  return SGX_SUCCESS;
}

static sgx_status_t gcm(int encrypt, const uint8_t *key, const uint8_t *src, uint32_t length,
                        uint8_t *dst, const uint8_t *iv, const uint8_t *aad, uint32_t aad_length,
                        uint8_t *mac) {
  EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
  uint8_t rest[16];
  int count = 0, good = context != NULL;
  good = good && EVP_CipherInit_ex(context, EVP_aes_128_gcm(), NULL, key, iv, encrypt) == 1;
  good = good && EVP_CipherUpdate(context, NULL, &count, aad, (int)aad_length) == 1;
  if (good && length > 0) good = EVP_CipherUpdate(context, dst, &count, src, (int)length) == 1;
  if (good && !encrypt) good = EVP_CIPHER_CTX_ctrl(context, GCM_SET_TAG, 16, mac) == 1;
  if (!good) {
    EVP_CIPHER_CTX_free(context);
    return SGX_ERROR_UNEXPECTED;
  }
  int final = EVP_CipherFinal_ex(context, rest, &count);
  if (encrypt && final == 1) final = EVP_CIPHER_CTX_ctrl(context, GCM_GET_TAG, 16, mac);
  EVP_CIPHER_CTX_free(context);
  return final == 1 ? SGX_SUCCESS : SGX_ERROR_MAC_MISMATCH;
}

sgx_status_t sgx_rijndael128GCM_encrypt(const sgx_aes_gcm_128bit_key_t *key, const uint8_t *src,
                                        uint32_t src_len, uint8_t *dst, const uint8_t *iv,
                                        uint32_t iv_len, const uint8_t *aad, uint32_t aad_len,
                                        sgx_aes_gcm_128bit_tag_t *mac) {
  if (iv_len != 12) return SGX_ERROR_INVALID_PARAMETER;
  return gcm(1, *key, src, src_len, dst, iv, aad, aad_len, *mac);
}

sgx_status_t sgx_rijndael128GCM_decrypt(const sgx_aes_gcm_128bit_key_t *key, const uint8_t *src,
                                        uint32_t src_len, uint8_t *dst, const uint8_t *iv,
                                        uint32_t iv_len, const uint8_t *aad, uint32_t aad_len,
                                        const sgx_aes_gcm_128bit_tag_t *mac) {
  uint8_t tag[16];
  if (iv_len != 12) return SGX_ERROR_INVALID_PARAMETER;
  memcpy(tag, mac, 16);
  return gcm(0, *key, src, src_len, dst, iv, aad, aad_len, tag);
}

/* DCAP: the quoting enclave's half, over what the test has certified. */
enum { QL_UNEXPECTED = 0xe001, QL_INVALID_PARAMETER = 0xe002, QL_INVALID_REPORT = 0xe015 };
enum { HEADER = 48, BODY = 384, SIGNED = HEADER + BODY };

EXPORT uint32_t sgx_qe_get_target_info(sgx_target_info_t *target) {
  uint32_t fault = called(latest, "sgx_qe_get_target_info");
  if (fault != 0) return fault;
  memset(target, 0, sizeof *target);
  memset(target->mr_enclave.m, 0x9e, 32);
  return 0;
}

EXPORT uint32_t sgx_qe_get_quote_size(uint32_t *size) {
  uint8_t certified[16384];
  uint32_t fault = called(latest, "sgx_qe_get_quote_size");
  if (fault != 0) return fault;
  size_t length = read_file("quote.certified", certified, sizeof certified);
  if (length == 0) return QL_UNEXPECTED;
  *size = (uint32_t)(SIGNED + 4 + 64 + 64 + length);
  return 0;
}

/* r and s out of a DER signature, 32 bytes each. */
static int flat(const uint8_t *der, size_t length, uint8_t out[64]) {
  size_t at = 2;
  memset(out, 0, 64);
  for (int half = 0; half < 2; half++) {
    if (at + 2 > length) return 0;
    size_t size = der[at + 1];
    const uint8_t *value = der + at + 2;
    at += 2 + size;
    if (at > length) return 0;
    while (size > 32) value++, size--;
    memcpy(out + 32 * half + 32 - size, value, size);
  }
  return 1;
}

EXPORT uint32_t sgx_qe_get_quote(const sgx_report_t *report, uint32_t size, uint8_t *quote) {
  uint8_t pkcs8[512], mac[16], der[80];
  uint32_t fault = called(latest, "sgx_qe_get_quote"), wanted;
  if (fault != 0) return fault;
  fault = sgx_qe_get_quote_size(&wanted);
  if (fault != 0) return fault;
  if (size < wanted) return QL_INVALID_PARAMETER;
  mac_of(report, mac);
  if (memcmp(mac, report->mac, sizeof mac) != 0) return QL_INVALID_REPORT;
  memset(quote, 0, size);
  uint32_t rest = wanted - SIGNED - 4;
  if (read_file("quote.header", quote, HEADER) != HEADER) return QL_UNEXPECTED;
  memcpy(quote + HEADER, &report->body, BODY);
  memcpy(quote + SIGNED, &rest, 4);
  if (read_file("attestation.xy", quote + SIGNED + 4 + 64, 64) != 64) return QL_UNEXPECTED;
  read_file("quote.certified", quote + SIGNED + 4 + 128, rest - 128);

  const unsigned char *in = pkcs8;
  EVP_PKEY *key = d2i_AutoPrivateKey(NULL, &in, (long)read_file("attestation.key", pkcs8, 512));
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  size_t length = sizeof der;
  int good = key != NULL && context != NULL &&
             EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
             EVP_DigestSign(context, der, &length, quote, SIGNED) == 1 &&
             flat(der, length, quote + SIGNED + 4);
  EVP_MD_CTX_free(context);
  EVP_PKEY_free(key);
  return good ? 0 : QL_UNEXPECTED;
}
