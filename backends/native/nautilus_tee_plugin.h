/*
 * The C interface of TEE plugins for Nautilus TEE, version 1.
 *
 * A plugin is a shared library that reaches a TEE in a way this program does not know. It serves one
 * of the tee_types of the wire, and its evidence has that type's format, so that verifiers need not
 * know of the plugin. The program loads it from an absolute path whose SHA-256 its configuration
 * pins, and calls it from one thread of its own, one call at a time; a call may take its time.
 *
 * Every function but the first and the last returns a status. Outputs go into the caller's buffer of
 * `capacity` bytes and their length into `*length`; where the buffer is too small, nothing is written
 * into it, `*length` is the length that is needed, and the status is NAUTILUS_TEE_BUFFER_TOO_SMALL.
 * A pointer with length 0 may be anything. The plugin keeps no pointer after it returned, and wipes
 * what was secret.
 */
#ifndef NAUTILUS_TEE_PLUGIN_H
#define NAUTILUS_TEE_PLUGIN_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NAUTILUS_TEE_PLUGIN_ABI 1

enum nautilus_tee_status {
  NAUTILUS_TEE_OK = 0,
  NAUTILUS_TEE_BUFFER_TOO_SMALL = -1,
  NAUTILUS_TEE_UNAVAILABLE = -2,
  NAUTILUS_TEE_CONFIG_INVALID = -3,
  NAUTILUS_TEE_POLICY_UNSUPPORTED = -4,
  NAUTILUS_TEE_MEASUREMENT_MISMATCH = -5, /* sealed to other code */
  NAUTILUS_TEE_SIGNER_MISMATCH = -6,      /* sealed to other code's signer */
  NAUTILUS_TEE_FOREIGN_DEVICE = -7,       /* sealed by another machine */
  NAUTILUS_TEE_TAMPERED = -8,             /* altered, or sealed with other additional data */
  NAUTILUS_TEE_MALFORMED = -9,            /* no sealed data of this plugin */
  NAUTILUS_TEE_THROTTLED = -10,
  NAUTILUS_TEE_DEVICE_LOST = -11,
  NAUTILUS_TEE_NATIVE = -12 /* the TEE failed: see nautilus_tee_last_error */
};

enum nautilus_tee_policy {
  NAUTILUS_TEE_BY_MEASUREMENT = 1,
  NAUTILUS_TEE_BY_SIGNER = 2
};

/* NAUTILUS_TEE_PLUGIN_ABI of the header the plugin was made with. */
uint32_t nautilus_tee_abi_version(void);

/*
 * UTF-8 JSON: {"name": "...", "version": "...", "tee_type": "SGX|SEV|TrustZone|TDX|NITRO",
 * "covers": "program|image|helper|none", "policies": ["measurement", "signer"], "attests": true}.
 */
int32_t nautilus_tee_describe(uint8_t *out, uint32_t capacity, uint32_t *length);

/* OK: the TEE is here. UNAVAILABLE: it is not. Either way `out` says why, in UTF-8. No side effects. */
int32_t nautilus_tee_probe(uint8_t *out, uint32_t capacity, uint32_t *length);

/* `config` is the configuration's text for the plugin. On OK `*instance` is for the calls below. */
int32_t nautilus_tee_open(const uint8_t *config, uint32_t config_length, uint64_t *instance);

/* 32 bytes for SGX, 48 for the others; the same while the instance is open. */
int32_t nautilus_tee_measurement(uint64_t instance, uint8_t *out, uint32_t capacity,
                                 uint32_t *length);

/* Authenticates `aad` with the sealed data. `policy` is one of enum nautilus_tee_policy. */
int32_t nautilus_tee_seal(uint64_t instance, uint32_t policy, const uint8_t *plaintext,
                          uint32_t plaintext_length, const uint8_t *aad, uint32_t aad_length,
                          uint8_t *out, uint32_t capacity, uint32_t *length);

int32_t nautilus_tee_unseal(uint64_t instance, uint32_t policy, const uint8_t *sealed,
                            uint32_t sealed_length, const uint8_t *aad, uint32_t aad_length,
                            uint8_t *out, uint32_t capacity, uint32_t *length);

/* `report_data` is 64 bytes. `out` gets the evidence in the format of the plugin's tee_type. */
int32_t nautilus_tee_attest(uint64_t instance, const uint8_t *report_data, uint8_t *out,
                            uint32_t capacity, uint32_t *length);

/* Text of the last failure of any call, in UTF-8, and the TEE's own status (0: none). */
int32_t nautilus_tee_last_error(uint8_t *out, uint32_t capacity, uint32_t *length,
                                int64_t *native_status);

/* Ends the instance and wipes its secrets. Not called twice. */
void nautilus_tee_release(uint64_t instance);

#ifdef __cplusplus
}
#endif
#endif
