/* As sgx_edger8r writes it of nautilus.edl; the enclave's functions get names of their own here. */
#ifndef NAUTILUS_T_H
#define NAUTILUS_T_H
#include "sgx_sdk.h"

#define nautilus_get_report trusted_get_report
#define nautilus_seal trusted_seal
#define nautilus_unseal trusted_unseal
#define nautilus_derive_key trusted_derive_key

uint32_t nautilus_get_report(const sgx_target_info_t *target, const uint8_t *report_data,
                             sgx_report_t *report);
uint32_t nautilus_seal(uint32_t policy, const uint8_t *plaintext, uint32_t plaintext_length,
                       const uint8_t *aad, uint32_t aad_length, uint8_t *out, uint32_t capacity,
                       uint32_t *length);
uint32_t nautilus_unseal(const uint8_t *sealed, uint32_t sealed_length, const uint8_t *aad,
                         uint32_t aad_length, uint8_t *out, uint32_t capacity, uint32_t *length);
uint32_t nautilus_derive_key(uint32_t policy, const uint8_t *label, uint8_t *key);

#endif
