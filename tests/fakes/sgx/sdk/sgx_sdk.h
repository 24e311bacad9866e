/*
 * What the enclave and its shim use of Intel's SGX SDK, by the documented prototypes and layouts
 * (SGX Developer Reference; DCAP ECDSA quoting library API). For tests: substitute.c implements it.
 */
#ifndef SGX_SDK_H
#define SGX_SDK_H

#include <stddef.h>
#include <stdint.h>

typedef enum {
  SGX_SUCCESS = 0,
  SGX_ERROR_UNEXPECTED = 0x0001,
  SGX_ERROR_INVALID_PARAMETER = 0x0002,
  SGX_ERROR_OUT_OF_MEMORY = 0x0003,
  SGX_ERROR_ENCLAVE_LOST = 0x0004,
  SGX_ERROR_INVALID_ENCLAVE = 0x2001,
  SGX_ERROR_INVALID_ENCLAVE_ID = 0x2002,
  SGX_ERROR_ENCLAVE_FILE_ACCESS = 0x200f,
  SGX_ERROR_MAC_MISMATCH = 0x3001,
  SGX_ERROR_INVALID_CPUSVN = 0x3003,
  SGX_ERROR_INVALID_ISVSVN = 0x3004,
  SGX_ERROR_INVALID_KEYNAME = 0x3005
} sgx_status_t;

typedef uint64_t sgx_enclave_id_t;
typedef uint8_t sgx_launch_token_t[1024];

typedef struct {
  uint8_t svn[16];
} sgx_cpu_svn_t;
typedef struct {
  uint8_t id[32];
} sgx_key_id_t;
typedef struct {
  uint64_t flags, xfrm;
} sgx_attributes_t;
typedef struct {
  uint8_t m[32];
} sgx_measurement_t;
typedef struct {
  uint8_t d[64];
} sgx_report_data_t;
typedef uint8_t sgx_key_128bit_t[16];
typedef struct {
  sgx_attributes_t secs_attr;
  uint32_t misc_select;
} sgx_misc_attribute_t;

#define SGX_KEYSELECT_SEAL 0x0004
#define SGX_KEYPOLICY_MRENCLAVE 0x0001
#define SGX_KEYPOLICY_MRSIGNER 0x0002

typedef struct {
  uint16_t key_name, key_policy, isv_svn, reserved1;
  sgx_cpu_svn_t cpu_svn;
  sgx_attributes_t attribute_mask;
  sgx_key_id_t key_id;
  uint32_t misc_mask;
  uint16_t config_svn;
  uint8_t reserved2[434];
} sgx_key_request_t;

typedef struct {
  sgx_measurement_t mr_enclave;
  sgx_attributes_t attributes;
  uint16_t ce_attributes, config_svn;
  uint32_t misc_select;
  uint8_t reserved[456];
} sgx_target_info_t;

typedef struct {
  sgx_cpu_svn_t cpu_svn;
  uint32_t misc_select;
  uint8_t reserved1[28];
  sgx_attributes_t attributes;
  sgx_measurement_t mr_enclave;
  uint8_t reserved2[32];
  sgx_measurement_t mr_signer;
  uint8_t reserved3[96];
  uint16_t isv_prod_id, isv_svn;
  uint8_t reserved4[60];
  sgx_report_data_t report_data;
} sgx_report_body_t;

typedef struct {
  sgx_report_body_t body;
  sgx_key_id_t key_id;
  uint8_t mac[16];
} sgx_report_t;

_Static_assert(sizeof(sgx_key_request_t) == 512, "key request");
_Static_assert(sizeof(sgx_target_info_t) == 512, "target info");
_Static_assert(sizeof(sgx_report_body_t) == 384, "report body");
_Static_assert(sizeof(sgx_report_t) == 432, "report");

typedef uint8_t sgx_sha256_hash_t[32];
typedef uint8_t sgx_aes_gcm_128bit_key_t[16];
typedef uint8_t sgx_aes_gcm_128bit_tag_t[16];

/* Trusted side. */
sgx_status_t sgx_get_key(const sgx_key_request_t *request, sgx_key_128bit_t *key);
sgx_status_t sgx_create_report(const sgx_target_info_t *target, const sgx_report_data_t *data,
                               sgx_report_t *report);
sgx_status_t sgx_read_rand(unsigned char *out, size_t length);
sgx_status_t sgx_sha256_msg(const uint8_t *data, uint32_t length, sgx_sha256_hash_t *hash);
sgx_status_t sgx_rijndael128GCM_encrypt(const sgx_aes_gcm_128bit_key_t *key, const uint8_t *src,
                                        uint32_t src_len, uint8_t *dst, const uint8_t *iv,
                                        uint32_t iv_len, const uint8_t *aad, uint32_t aad_len,
                                        sgx_aes_gcm_128bit_tag_t *mac);
sgx_status_t sgx_rijndael128GCM_decrypt(const sgx_aes_gcm_128bit_key_t *key, const uint8_t *src,
                                        uint32_t src_len, uint8_t *dst, const uint8_t *iv,
                                        uint32_t iv_len, const uint8_t *aad, uint32_t aad_len,
                                        const sgx_aes_gcm_128bit_tag_t *mac);

/* libsgx_urts. */
sgx_status_t sgx_create_enclave(const char *file_name, int debug, sgx_launch_token_t *launch_token,
                                int *launch_token_updated, sgx_enclave_id_t *enclave_id,
                                sgx_misc_attribute_t *misc_attr);
sgx_status_t sgx_destroy_enclave(sgx_enclave_id_t enclave_id);

/* libsgx_dcap_ql; errors are 0xE0nn. */
uint32_t sgx_qe_get_target_info(sgx_target_info_t *target);
uint32_t sgx_qe_get_quote_size(uint32_t *size);
uint32_t sgx_qe_get_quote(const sgx_report_t *report, uint32_t size, uint8_t *quote);

#endif
