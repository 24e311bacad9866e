/* As sgx_edger8r writes it of nautilus.edl. */
#ifndef NAUTILUS_U_H
#define NAUTILUS_U_H
#include "sgx_sdk.h"

sgx_status_t nautilus_get_report(sgx_enclave_id_t eid, uint32_t *retval,
                                 const sgx_target_info_t *target, const uint8_t *report_data,
                                 sgx_report_t *report);
sgx_status_t nautilus_seal(sgx_enclave_id_t eid, uint32_t *retval, uint32_t policy,
                           const uint8_t *plaintext, uint32_t plaintext_length, const uint8_t *aad,
                           uint32_t aad_length, uint8_t *out, uint32_t capacity, uint32_t *length);
sgx_status_t nautilus_unseal(sgx_enclave_id_t eid, uint32_t *retval, const uint8_t *sealed,
                             uint32_t sealed_length, const uint8_t *aad, uint32_t aad_length,
                             uint8_t *out, uint32_t capacity, uint32_t *length);
sgx_status_t nautilus_derive_key(sgx_enclave_id_t eid, uint32_t *retval, uint32_t policy,
                                 const uint8_t *label, uint8_t *key);

#endif
