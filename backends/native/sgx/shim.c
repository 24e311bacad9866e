/* libnautilus_sgx.so: the generated untrusted half of the enclave behind a flat interface. */
#include "nautilus_sgx.h"

#include "nautilus_u.h"

#define EXPORT __attribute__((visibility("default")))

EXPORT uint32_t nautilus_sgx_abi_version(void) { return NAUTILUS_SGX_ABI; }

EXPORT uint32_t nautilus_sgx_get_report(uint64_t eid, uint32_t *result, const uint8_t *target_info,
                                        const uint8_t *report_data, uint8_t *report) {
  return nautilus_get_report(eid, result, (const sgx_target_info_t *)target_info, report_data,
                             (sgx_report_t *)report);
}

EXPORT uint32_t nautilus_sgx_seal(uint64_t eid, uint32_t *result, uint32_t policy,
                                  const uint8_t *plaintext, uint32_t plaintext_length,
                                  const uint8_t *aad, uint32_t aad_length, uint8_t *out,
                                  uint32_t capacity, uint32_t *length) {
  return nautilus_seal(eid, result, policy, plaintext, plaintext_length, aad, aad_length, out,
                       capacity, length);
}

EXPORT uint32_t nautilus_sgx_unseal(uint64_t eid, uint32_t *result, const uint8_t *sealed,
                                    uint32_t sealed_length, const uint8_t *aad, uint32_t aad_length,
                                    uint8_t *out, uint32_t capacity, uint32_t *length) {
  return nautilus_unseal(eid, result, sealed, sealed_length, aad, aad_length, out, capacity, length);
}

EXPORT uint32_t nautilus_sgx_derive_key(uint64_t eid, uint32_t *result, uint32_t policy,
                                        const uint8_t *label, uint8_t *key) {
  return nautilus_derive_key(eid, result, policy, label, key);
}
