/*
 * The flat interface of libnautilus_sgx.so, version 1: what the master calls over FFI. Each function
 * returns the sgx_status_t of the ecall itself; what the enclave answered is in *result: 0, an
 * sgx_status_t, or one of the values below. A pointer with length 0 may be anything.
 */
#ifndef NAUTILUS_SGX_H
#define NAUTILUS_SGX_H

#include <stdint.h>

#define NAUTILUS_SGX_ABI 1

enum nautilus_sgx_result {
  NAUTILUS_SGX_BUFFER_TOO_SMALL = 0x4e540001,
  NAUTILUS_SGX_MALFORMED = 0x4e540002, /* no blob of this enclave */
  NAUTILUS_SGX_TAMPERED = 0x4e540003,  /* altered, or sealed with other additional data */
  NAUTILUS_SGX_OTHER_KEY = 0x4e540004, /* by another processor, another enclave or another signer */
  NAUTILUS_SGX_BAD_POLICY = 0x4e540005
};

enum nautilus_sgx_policy { NAUTILUS_SGX_BY_MEASUREMENT = 1, NAUTILUS_SGX_BY_SIGNER = 2 };

/* Bytes that a blob is longer than what was sealed. */
#define NAUTILUS_SGX_OVERHEAD 104
/* Longest plaintext: 16 MiB. The enclave's heap holds input and output (nautilus.config.xml). */
#define NAUTILUS_SGX_MAX_PLAINTEXT (16u << 20)

uint32_t nautilus_sgx_abi_version(void);

/* target_info: 512 bytes, report_data: 64, report: 432. */
uint32_t nautilus_sgx_get_report(uint64_t eid, uint32_t *result, const uint8_t *target_info,
                                 const uint8_t *report_data, uint8_t *report);

uint32_t nautilus_sgx_seal(uint64_t eid, uint32_t *result, uint32_t policy,
                           const uint8_t *plaintext, uint32_t plaintext_length, const uint8_t *aad,
                           uint32_t aad_length, uint8_t *out, uint32_t capacity, uint32_t *length);

uint32_t nautilus_sgx_unseal(uint64_t eid, uint32_t *result, const uint8_t *sealed,
                             uint32_t sealed_length, const uint8_t *aad, uint32_t aad_length,
                             uint8_t *out, uint32_t capacity, uint32_t *length);

/*
 * 32 bytes that hang on the processor, the label (32 bytes), and the enclave or its signer and
 * product, and on no security version: the same after every update.
 */
uint32_t nautilus_sgx_derive_key(uint64_t eid, uint32_t *result, uint32_t policy,
                                 const uint8_t *label, uint8_t *key);

#endif
