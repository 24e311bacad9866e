/*
 * The trusted application of Nautilus TEE for ARM TrustZone: what the program and the TA say to each
 * other. Integers are big-endian. Memory references only; a length of 0 is passed as no parameter.
 */
#ifndef NAUTILUS_TA_H
#define NAUTILUS_TA_H

/* cb8899bc-da92-4080-89e4-57a9dfcead58 */
#define NAUTILUS_TA_UUID \
  { 0xcb8899bc, 0xda92, 0x4080, { 0x89, 0xe4, 0x57, 0xa9, 0xdf, 0xce, 0xad, 0x58 } }

/* Goes up with every release of the TA; what ran once on a device keeps older ones from running. */
#ifndef NAUTILUS_TA_CODE_VERSION
#define NAUTILUS_TA_CODE_VERSION 1
#endif

enum {
  /*
   * [out] memref[3]: 152 bytes
   *   0  4  "NTZI"      4  2  format 1       6  2  flags: 1 the attestation PTA is there
   *   8 16  UUID       24  4  code version  28  4  newest code version that ever ran here
   *  32 48  measurement
   *  80  8  zero       88 64  public attestation key, P-256, x then y
   */
  NAUTILUS_TA_INFO = 0,
  /* [in] memref[0]: plaintext (may be absent)  [in] memref[1]: aad (may be absent)
   * [in] value[2].a: policy  [out] memref[3]: sealed, 56 bytes longer than the plaintext */
  NAUTILUS_TA_SEAL = 1,
  /* [in] memref[0]: sealed  [in] memref[1]: aad (may be absent)  [out] memref[3]: plaintext */
  NAUTILUS_TA_UNSEAL = 2,
  /* [in] memref[0]: 64 bytes of report data  [out] memref[3]: evidence, see below */
  NAUTILUS_TA_ATTEST = 3,
  /* [in] value[2].a: policy  [out] memref[3]: 16 bytes, public name of the key under that policy */
  NAUTILUS_TA_KEY_ID = 4
};

/* Bound to the device, the UUID, the code version and the measurement. There is no other: who signed
 * a TA is nothing that it could learn. */
enum { NAUTILUS_TA_POLICY_MEASUREMENT = 1 };

/*
 * Sealed data:
 *   0  4  "NTZS"      4  1  format 1   5  1  policy   6  2  zero   8  4  code version
 *  12 16  salt       28 12  nonce     40  .  ciphertext            .  16  tag
 * AES-256-GCM; the key is derived from the hardware's for this salt alone; additional data are the
 * first 40 bytes, then the caller's.
 */
enum { NAUTILUS_TA_SEALED_HEADER = 40, NAUTILUS_TA_SEALED_OVERHEAD = 56 };

/*
 * Evidence:
 *   0  4  "NTZE"      4  2  format 1       6  2  flags: 1 a platform attestation follows
 *   8 16  UUID       24  4  code version  28  4  newest code version that ever ran here
 *  32 48  measurement                     80 64  report data
 * 144 64  public attestation key, P-256, x then y
 * 208 64  ECDSA-SHA-256, r then s, over "nautilus-tee/trustzone/evidence/v1\n" and bytes 0 to 207
 * 272  .  with flag 1: PTA_ATTESTATION_HASH_TA_MEMORY with SHA-256 of bytes 0 to 271 as its nonce
 */
enum { NAUTILUS_TA_INFO_LENGTH = 152, NAUTILUS_TA_EVIDENCE_LENGTH = 272 };

/* Beside GlobalPlatform's. */
#define NAUTILUS_TA_ERROR_OTHER_CODE 0x80000001u  /* sealed by another code version */
#define NAUTILUS_TA_ERROR_ROLLED_BACK 0x80000002u /* a newer code version ran on this device */
#define NAUTILUS_TA_ERROR_POLICY 0x80000003u      /* a policy that the hardware cannot honour */

#endif
