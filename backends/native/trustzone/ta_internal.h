/* What the TA's sources share. Every function gives a TEE_Result and leaves no secret behind. */
#ifndef TA_INTERNAL_H
#define TA_INTERNAL_H

#include <stddef.h>
#include <stdint.h>
#include <tee_internal_api.h>

#include "nautilus_ta.h"

enum { KEY_LENGTH = 32, DIGEST_LENGTH = 32, MEASUREMENT_LENGTH = 48, KEY_ID_LENGTH = 16 };

/* Memory of the normal world can change while it is looked at, so it is copied in pieces of this
 * length, and every byte of it is read once. */
enum { CHUNK = 4096 };

void put_u16(uint8_t *out, uint16_t value);
void put_u32(uint8_t *out, uint32_t value);
uint32_t get_u32(const uint8_t *in);

/* measurement.c */
void ta_uuid(uint8_t out[16]);
/* SHA-384 of a context, the UUID, the code version and the digest of the sources. */
TEE_Result ta_measurement(uint8_t out[MEASUREMENT_LENGTH]);

/* keys.c */
/* 32 bytes that only this device gives to this UUID, for this label. */
TEE_Result derive(const void *label, size_t label_length, uint8_t out[KEY_LENGTH]);
/* Refuses to run where a newer code version did; `*newest` may be NULL. */
TEE_Result check_code_version(uint32_t *newest);
/* Made at the first use, then kept in secure storage. The caller closes it. */
TEE_Result open_attestation_key(TEE_ObjectHandle *key);
TEE_Result sha256(const void *a, size_t a_length, const void *b, size_t b_length,
                  uint8_t out[DIGEST_LENGTH]);

/* seal.c; the parameters are those of nautilus_ta.h, their types already checked */
TEE_Result seal(TEE_Param params[4]);
TEE_Result unseal(TEE_Param params[4]);
TEE_Result key_id(TEE_Param params[4]);

/* attest.c */
TEE_Result info(TEE_Param params[4]);
TEE_Result attest(TEE_Param params[4]);

#endif
