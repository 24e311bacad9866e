/*
 * A TEE plugin for tests: a software "device" named by the configuration's text, such as
 * "device=1 program=2 misbehave=none". Encrypt-then-MAC over HMAC-SHA-256; protects nothing.
 */
#include "nautilus_tee_plugin.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

enum { KEY_ID = 16, IV = 16, TAG = 32, CHECK = 8, OVERHEAD = KEY_ID + IV + TAG + CHECK };

/* SHA-256 (FIPS 180-4) and HMAC (RFC 2104). */
typedef struct {
  uint32_t h[8];
  uint8_t block[64];
  uint64_t length;
} sha256_t;

static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t ror(uint32_t x, int n) { return x >> n | x << (32 - n); }

static void compress(sha256_t *s) {
  uint32_t w[64], v[8];
  for (int i = 0; i < 16; i++) {
    const uint8_t *p = s->block + 4 * i;
    w[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
  }
  for (int i = 16; i < 64; i++) {
    uint32_t a = ror(w[i - 15], 7) ^ ror(w[i - 15], 18) ^ w[i - 15] >> 3;
    uint32_t b = ror(w[i - 2], 17) ^ ror(w[i - 2], 19) ^ w[i - 2] >> 10;
    w[i] = w[i - 16] + a + w[i - 7] + b;
  }
  memcpy(v, s->h, sizeof v);
  for (int i = 0; i < 64; i++) {
    uint32_t t1 = v[7] + (ror(v[4], 6) ^ ror(v[4], 11) ^ ror(v[4], 25)) +
                  ((v[4] & v[5]) ^ (~v[4] & v[6])) + K[i] + w[i];
    uint32_t t2 = (ror(v[0], 2) ^ ror(v[0], 13) ^ ror(v[0], 22)) +
                  ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
    memmove(v + 1, v, 7 * sizeof *v);
    v[4] += t1;
    v[0] = t1 + t2;
  }
  for (int i = 0; i < 8; i++) s->h[i] += v[i];
}

static void sha256_start(sha256_t *s) {
  static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  memcpy(s->h, start, sizeof start);
  s->length = 0;
}

static void sha256_add(sha256_t *s, const void *data, size_t length) {
  const uint8_t *bytes = data;
  for (size_t i = 0; i < length; i++) {
    s->block[s->length++ % 64] = bytes[i];
    if (s->length % 64 == 0) compress(s);
  }
}

static void sha256_end(sha256_t *s, uint8_t out[32]) {
  uint64_t bits = s->length * 8;
  uint8_t pad = 0x80;
  sha256_add(s, &pad, 1);
  for (pad = 0; s->length % 64 != 56;) sha256_add(s, &pad, 1);
  for (int i = 7; i >= 0; i--) {
    pad = (uint8_t)(bits >> (8 * i));
    sha256_add(s, &pad, 1);
  }
  for (int i = 0; i < 32; i++) out[i] = (uint8_t)(s->h[i / 4] >> (24 - 8 * (i % 4)));
}

typedef struct {
  const void *data;
  size_t length;
} part_t;

/* HMAC over the parts, each with its length before it; `key` is 32 bytes. */
static void hmac(const uint8_t key[32], const part_t *parts, int count, uint8_t out[32]) {
  uint8_t inner[64] = {0}, outer[64] = {0};
  for (int i = 0; i < 32; i++) inner[i] = outer[i] = key[i];
  for (int i = 0; i < 64; i++) inner[i] ^= 0x36, outer[i] ^= 0x5c;
  sha256_t s;
  sha256_start(&s);
  sha256_add(&s, inner, 64);
  for (int i = 0; i < count; i++) {
    uint32_t length = (uint32_t)parts[i].length;
    sha256_add(&s, &length, 4);
    sha256_add(&s, parts[i].data, parts[i].length);
  }
  sha256_end(&s, out);
  sha256_start(&s);
  sha256_add(&s, outer, 64);
  sha256_add(&s, out, 32);
  sha256_end(&s, out);
}

static struct {
  int open;
  int device, program;
  char misbehave[32];
} self;
static const char *last = "";
static int64_t native;

static int32_t fail(int32_t status, const char *text, int64_t code) {
  last = text;
  native = code;
  return status;
}

static int32_t give(const void *data, uint32_t size, uint8_t *out, uint32_t capacity,
                    uint32_t *length) {
  *length = size;
  if (size > capacity) return NAUTILUS_TEE_BUFFER_TOO_SMALL;
  if (size > 0) memcpy(out, data, size);
  return NAUTILUS_TEE_OK;
}

static int is(const char *fault) { return strcmp(self.misbehave, fault) == 0; }

uint32_t nautilus_tee_abi_version(void) {
#ifdef OTHER_ABI
  return NAUTILUS_TEE_PLUGIN_ABI + 1;
#else
  return NAUTILUS_TEE_PLUGIN_ABI;
#endif
}

int32_t nautilus_tee_describe(uint8_t *out, uint32_t capacity, uint32_t *length) {
  static const char text[] =
      "{\"name\":\"sample\",\"version\":\"1\",\"tee_type\":\"TrustZone\",\"covers\":\"helper\","
      "\"policies\":[\"measurement\",\"signer\"],\"attests\":true}";
  return give(text, sizeof text - 1, out, capacity, length);
}

int32_t nautilus_tee_probe(uint8_t *out, uint32_t capacity, uint32_t *length) {
  static const char text[] = "a sample device";
  return give(text, sizeof text - 1, out, capacity, length);
}

int32_t nautilus_tee_open(const uint8_t *config, uint32_t config_length, uint64_t *instance) {
  char text[128] = {0};
  if (config_length >= sizeof text) return fail(NAUTILUS_TEE_CONFIG_INVALID, "too long", 0);
  memcpy(text, config, config_length);
  memset(&self, 0, sizeof self);
  if (sscanf(text, "device=%d program=%d misbehave=%31s", &self.device, &self.program,
             self.misbehave) != 3) {
    return fail(NAUTILUS_TEE_CONFIG_INVALID, "device=N program=N misbehave=WORD is wanted", 0);
  }
  if (is("absent")) return fail(NAUTILUS_TEE_UNAVAILABLE, "the sample device is absent", 0);
  self.open = 1;
  *instance = 7;
  return NAUTILUS_TEE_OK;
}

int32_t nautilus_tee_measurement(uint64_t instance, uint8_t *out, uint32_t capacity,
                                 uint32_t *length) {
  uint8_t measurement[48];
  (void)instance;
  memset(measurement, self.program, sizeof measurement);
  return give(measurement, is("short_measurement") ? 47 : 48, out, capacity, length);
}

/* The key of the device for a policy, and its public id. */
static void derive(uint32_t policy, uint8_t key[32], uint8_t id[32]) {
  uint8_t device[32];
  uint32_t program = policy == NAUTILUS_TEE_BY_MEASUREMENT ? (uint32_t)self.program : 0;
  memset(device, self.device, sizeof device);
  part_t what[] = {{&policy, 4}, {&program, 4}};
  hmac(device, what, 2, key);
  part_t name = {"id", 2};
  hmac(key, &name, 1, id);
}

static void crypt(const uint8_t key[32], const uint8_t *iv, const uint8_t *in, uint32_t length,
                  uint8_t *out) {
  uint8_t stream[32];
  for (uint32_t i = 0; i < length; i++) {
    uint32_t block = i / 32;
    if (i % 32 == 0) {
      part_t what[] = {{iv, IV}, {&block, 4}};
      hmac(key, what, 2, stream);
    }
    out[i] = in[i] ^ stream[i % 32];
  }
}

int32_t nautilus_tee_seal(uint64_t instance, uint32_t policy, const uint8_t *plaintext,
                          uint32_t plaintext_length, const uint8_t *aad, uint32_t aad_length,
                          uint8_t *out, uint32_t capacity, uint32_t *length) {
  (void)instance;
  if (is("overflow")) {
    memset(out, 0, capacity + 8);
    *length = capacity + 8;
    return NAUTILUS_TEE_OK;
  }
  if (is("too_long")) {
    *length = capacity + 1;
    return NAUTILUS_TEE_OK;
  }
  if (is("odd_status")) return 5;
  if (is("throttled")) return fail(NAUTILUS_TEE_THROTTLED, "busy\x1b[31m", 0);
  if (is("native")) return fail(NAUTILUS_TEE_NATIVE, "the sample TEE failed", 0xffff3071);
  *length = plaintext_length + OVERHEAD;
  if (*length > capacity) return NAUTILUS_TEE_BUFFER_TOO_SMALL;
  uint8_t key[32], id[32];
  derive(policy, key, id);
  uint8_t *iv = out + KEY_ID, *text = iv + IV, *tag = text + plaintext_length;
  memcpy(out, id, KEY_ID);
  if (getrandom(iv, IV, 0) != IV) return fail(NAUTILUS_TEE_NATIVE, "no randomness", 0);
  crypt(key, iv, plaintext, plaintext_length, text);
  part_t what[] = {{"seal", 4}, {out, (size_t)(tag - out)}, {aad, aad_length}};
  hmac(key, what, 3, tag);
  uint8_t digest[32];
  sha256_t s;
  sha256_start(&s);
  sha256_add(&s, out, *length - CHECK);
  sha256_end(&s, digest);
  memcpy(tag + TAG, digest, CHECK);
  return NAUTILUS_TEE_OK;
}

int32_t nautilus_tee_unseal(uint64_t instance, uint32_t policy, const uint8_t *sealed,
                            uint32_t sealed_length, const uint8_t *aad, uint32_t aad_length,
                            uint8_t *out, uint32_t capacity, uint32_t *length) {
  (void)instance;
  if (sealed_length < OVERHEAD) return fail(NAUTILUS_TEE_MALFORMED, "cut short", 0);
  uint32_t size = sealed_length - OVERHEAD;
  const uint8_t *iv = sealed + KEY_ID, *text = iv + IV, *tag = text + size;
  uint8_t key[32], id[32], expected[32];
  sha256_t s;
  sha256_start(&s);
  sha256_add(&s, sealed, sealed_length - CHECK);
  sha256_end(&s, expected);
  if (memcmp(expected, tag + TAG, CHECK) != 0) return fail(NAUTILUS_TEE_TAMPERED, "altered", 0);
  derive(policy, key, id);
  if (memcmp(id, sealed, KEY_ID) != 0) {
    return fail(NAUTILUS_TEE_FOREIGN_DEVICE, "another device sealed this", 0);
  }
  part_t what[] = {{"seal", 4}, {sealed, (size_t)(tag - sealed)}, {aad, aad_length}};
  hmac(key, what, 3, expected);
  if (memcmp(expected, tag, TAG) != 0) return fail(NAUTILUS_TEE_TAMPERED, "the tag is wrong", 0);
  *length = size;
  if (size > capacity) return NAUTILUS_TEE_BUFFER_TOO_SMALL;
  crypt(key, iv, text, size, out);
  return NAUTILUS_TEE_OK;
}

/* report data 64, measurement 48, HMAC 32 under a key of ones. */
int32_t nautilus_tee_attest(uint64_t instance, const uint8_t *report_data, uint8_t *out,
                            uint32_t capacity, uint32_t *length) {
  uint8_t evidence[144], key[32];
  (void)instance;
  memcpy(evidence, report_data, 64);
  memset(evidence + 64, self.program, 48);
  memset(key, 1, sizeof key);
  part_t what = {evidence, 112};
  hmac(key, &what, 1, evidence + 112);
  return give(evidence, sizeof evidence, out, capacity, length);
}

int32_t nautilus_tee_last_error(uint8_t *out, uint32_t capacity, uint32_t *length,
                                int64_t *native_status) {
  *native_status = native;
  return give(last, (uint32_t)strlen(last), out, capacity, length);
}

void nautilus_tee_release(uint64_t instance) {
  (void)instance;
  memset(&self, 0, sizeof self);
}
