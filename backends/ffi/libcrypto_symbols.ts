/** The few functions of OpenSSL's libcrypto (3.x, 1.1) in use, each beside its C declaration. */
export const LIBCRYPTO_SYMBOLS = {
  // const EVP_CIPHER *EVP_aes_256_gcm(void);
  EVP_aes_256_gcm: { parameters: [], result: "pointer" },
  // EVP_CIPHER_CTX *EVP_CIPHER_CTX_new(void);
  EVP_CIPHER_CTX_new: { parameters: [], result: "pointer" },
  // void EVP_CIPHER_CTX_free(EVP_CIPHER_CTX *ctx);   clears the key schedule
  EVP_CIPHER_CTX_free: { parameters: ["pointer"], result: "void" },
  // int EVP_CIPHER_CTX_ctrl(EVP_CIPHER_CTX *ctx, int type, int arg, void *ptr);
  EVP_CIPHER_CTX_ctrl: { parameters: ["pointer", "i32", "i32", "buffer"], result: "i32" },
  // int EVP_EncryptInit_ex(EVP_CIPHER_CTX *ctx, const EVP_CIPHER *type, ENGINE *impl, const unsigned char *key, const unsigned char *iv);
  EVP_EncryptInit_ex: {
    parameters: ["pointer", "pointer", "pointer", "buffer", "buffer"],
    result: "i32",
  },
  // int EVP_EncryptUpdate(EVP_CIPHER_CTX *ctx, unsigned char *out, int *outl, const unsigned char *in, int inl);
  EVP_EncryptUpdate: {
    parameters: ["pointer", "buffer", "buffer", "buffer", "i32"],
    result: "i32",
  },
  // int EVP_EncryptFinal_ex(EVP_CIPHER_CTX *ctx, unsigned char *out, int *outl);
  EVP_EncryptFinal_ex: { parameters: ["pointer", "buffer", "buffer"], result: "i32" },
  // int EVP_DecryptInit_ex(EVP_CIPHER_CTX *ctx, const EVP_CIPHER *type, ENGINE *impl, const unsigned char *key, const unsigned char *iv);
  EVP_DecryptInit_ex: {
    parameters: ["pointer", "pointer", "pointer", "buffer", "buffer"],
    result: "i32",
  },
  // int EVP_DecryptUpdate(EVP_CIPHER_CTX *ctx, unsigned char *out, int *outl, const unsigned char *in, int inl);
  EVP_DecryptUpdate: {
    parameters: ["pointer", "buffer", "buffer", "buffer", "i32"],
    result: "i32",
  },
  // int EVP_DecryptFinal_ex(EVP_CIPHER_CTX *ctx, unsigned char *outm, int *outl);
  EVP_DecryptFinal_ex: { parameters: ["pointer", "buffer", "buffer"], result: "i32" },
  // void ERR_clear_error(void);
  ERR_clear_error: { parameters: [], result: "void" },
  // int SHA512_Init(SHA512_CTX *c);   sizeof(SHA512_CTX) = 216 in every libcrypto
  SHA512_Init: { parameters: ["buffer"], result: "i32" },
  // int SHA512_Update(SHA512_CTX *c, const void *data, size_t len);
  SHA512_Update: { parameters: ["buffer", "buffer", "usize"], result: "i32" },
  // int SHA512_Final(unsigned char *md, SHA512_CTX *c);
  SHA512_Final: { parameters: ["buffer", "buffer"], result: "i32" },
  // const char *OpenSSL_version(int t);
  OpenSSL_version: { parameters: ["i32"], result: "pointer" },
} as const satisfies Deno.ForeignLibraryInterface;

/** Names tried in order; the loader searches its own directories, an absolute path is taken as it is. */
export const LIBCRYPTO_NAMES: readonly string[] = [
  "libcrypto.so.3",
  "libcrypto.so.1.1",
  "libcrypto.so",
  "/usr/lib64/libcrypto.so.3",
  "libcrypto.3.dylib",
];
