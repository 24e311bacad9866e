/*
 * The part of GlobalPlatform's TEE Internal Core API 1.3.1 that the TA uses, for where OP-TEE's own
 * header is not: names and values are the specification's, the types behind handles are core.c's.
 */
#ifndef TEE_INTERNAL_API_H
#define TEE_INTERNAL_API_H

#include <stddef.h>
#include <stdint.h>

typedef uint32_t TEE_Result;
typedef struct {
  uint32_t timeLow;
  uint16_t timeMid;
  uint16_t timeHiAndVersion;
  uint8_t clockSeqAndNode[8];
} TEE_UUID;
typedef union {
  struct {
    void *buffer;
    size_t size;
  } memref;
  struct {
    uint32_t a;
    uint32_t b;
  } value;
} TEE_Param;
typedef struct {
  uint32_t attributeID;
  union {
    struct {
      void *buffer;
      size_t length;
    } ref;
    struct {
      uint32_t a, b;
    } value;
  } content;
} TEE_Attribute;
typedef struct __TEE_TASessionHandle *TEE_TASessionHandle;
typedef struct __TEE_ObjectHandle *TEE_ObjectHandle;
typedef struct __TEE_OperationHandle *TEE_OperationHandle;
#define TEE_HANDLE_NULL NULL
#define TEE_TIMEOUT_INFINITE 0xFFFFFFFFu

#define TEE_SUCCESS 0u
#define TEE_ERROR_CORRUPT_OBJECT 0xF0100001u
#define TEE_ERROR_GENERIC 0xFFFF0000u
#define TEE_ERROR_ACCESS_CONFLICT 0xFFFF0003u
#define TEE_ERROR_BAD_FORMAT 0xFFFF0005u
#define TEE_ERROR_BAD_PARAMETERS 0xFFFF0006u
#define TEE_ERROR_ITEM_NOT_FOUND 0xFFFF0008u
#define TEE_ERROR_NOT_SUPPORTED 0xFFFF000Au
#define TEE_ERROR_SHORT_BUFFER 0xFFFF0010u
#define TEE_ERROR_MAC_INVALID              0xFFFF3071

#define TEE_PARAM_TYPE_NONE 0
#define TEE_PARAM_TYPE_VALUE_INPUT 1
#define TEE_PARAM_TYPE_MEMREF_INPUT 5
#define TEE_PARAM_TYPE_MEMREF_OUTPUT 6
#define TEE_PARAM_TYPES(a, b, c, d) ((a) | (b) << 4 | (c) << 8 | (d) << 12)
#define TEE_PARAM_TYPE_GET(types, i) ((types) >> (4 * (i)) & 0xF)

#define TEE_STORAGE_PRIVATE 1u
#define TEE_DATA_FLAG_ACCESS_READ 0x1u
#define TEE_DATA_FLAG_ACCESS_WRITE 0x2u
#define TEE_DATA_FLAG_OVERWRITE 0x400u
#define TEE_TYPE_AES 0xA0000010u
#define TEE_TYPE_ECDSA_KEYPAIR 0xA1000041u
#define TEE_ATTR_SECRET_VALUE 0xC0000000u
#define TEE_ATTR_ECC_PUBLIC_VALUE_X 0xD0000141u
#define TEE_ATTR_ECC_PUBLIC_VALUE_Y 0xD0000241u
#define TEE_ATTR_ECC_CURVE 0xF0000441u
#define TEE_ECC_CURVE_NIST_P256 3u
#define TEE_MODE_ENCRYPT 0u
#define TEE_MODE_DECRYPT 1u
#define TEE_MODE_SIGN 2u
#define TEE_MODE_DIGEST 5u
#define TEE_ALG_AES_GCM 0x40000810u
#define TEE_ALG_SHA256 0x50000004u
#define TEE_ALG_SHA384 0x50000005u
#define TEE_ALG_ECDSA_SHA256 0x70003042u

TEE_Result TEE_OpenTASession(const TEE_UUID *destination, uint32_t timeout, uint32_t types,
                             TEE_Param params[4], TEE_TASessionHandle *session, uint32_t *origin);
void TEE_CloseTASession(TEE_TASessionHandle session);
TEE_Result TEE_InvokeTACommand(TEE_TASessionHandle session, uint32_t timeout, uint32_t command,
                               uint32_t types, TEE_Param params[4], uint32_t *origin);
void TEE_MemMove(void *to, const void *from, size_t size);
int32_t TEE_MemCompare(const void *a, const void *b, size_t size);
void TEE_MemFill(void *at, uint32_t byte, size_t size);
TEE_Result TEE_GetObjectBufferAttribute(TEE_ObjectHandle object, uint32_t attribute, void *buffer,
                                        size_t *size);
void TEE_CloseObject(TEE_ObjectHandle object);
TEE_Result TEE_AllocateTransientObject(uint32_t type, uint32_t size, TEE_ObjectHandle *object);
void TEE_FreeTransientObject(TEE_ObjectHandle object);
TEE_Result TEE_PopulateTransientObject(TEE_ObjectHandle object, const TEE_Attribute *attributes,
                                       uint32_t count);
void TEE_InitRefAttribute(TEE_Attribute *attribute, uint32_t id, const void *buffer, size_t length);
void TEE_InitValueAttribute(TEE_Attribute *attribute, uint32_t id, uint32_t a, uint32_t b);
TEE_Result TEE_GenerateKey(TEE_ObjectHandle object, uint32_t size, const TEE_Attribute *params,
                           uint32_t count);
TEE_Result TEE_OpenPersistentObject(uint32_t storage, const void *id, size_t id_length,
                                    uint32_t flags, TEE_ObjectHandle *object);
TEE_Result TEE_CreatePersistentObject(uint32_t storage, const void *id, size_t id_length,
                                      uint32_t flags, TEE_ObjectHandle attributes, const void *data,
                                      size_t length, TEE_ObjectHandle *object);
TEE_Result TEE_ReadObjectData(TEE_ObjectHandle object, void *buffer, size_t size, size_t *count);
TEE_Result TEE_AllocateOperation(TEE_OperationHandle *operation, uint32_t algorithm, uint32_t mode,
                                 uint32_t size);
void TEE_FreeOperation(TEE_OperationHandle operation);
TEE_Result TEE_SetOperationKey(TEE_OperationHandle operation, TEE_ObjectHandle key);
void TEE_DigestUpdate(TEE_OperationHandle operation, const void *chunk, size_t size);
TEE_Result TEE_DigestDoFinal(TEE_OperationHandle operation, const void *chunk, size_t size,
                             void *hash, size_t *length);
TEE_Result TEE_AEInit(TEE_OperationHandle operation, const void *nonce, size_t length,
                      uint32_t tag_bits, size_t aad_length, size_t payload_length);
void TEE_AEUpdateAAD(TEE_OperationHandle operation, const void *data, size_t size);
TEE_Result TEE_AEUpdate(TEE_OperationHandle operation, const void *from, size_t from_length, void *to,
                        size_t *to_length);
TEE_Result TEE_AEEncryptFinal(TEE_OperationHandle operation, const void *from, size_t from_length,
                              void *to, size_t *to_length, void *tag, size_t *tag_length);
TEE_Result TEE_AEDecryptFinal(TEE_OperationHandle operation, const void *from, size_t from_length,
                              void *to, size_t *to_length, void *tag, size_t tag_length);
TEE_Result TEE_AsymmetricSignDigest(TEE_OperationHandle operation, const TEE_Attribute *params,
                                    uint32_t count, const void *digest, size_t digest_length,
                                    void *signature, size_t *length);
void TEE_GenerateRandom(void *buffer, size_t length);

TEE_Result TA_OpenSessionEntryPoint(uint32_t types, TEE_Param params[4], void **session);
void TA_CloseSessionEntryPoint(void *session);
TEE_Result TA_InvokeCommandEntryPoint(void *session, uint32_t command, uint32_t types,
                                      TEE_Param params[4]);

#endif
