/* The TA's entry points: who may come in, and which command is whose. */
#include "ta_internal.h"

TEE_Result TA_CreateEntryPoint(void) { return TEE_SUCCESS; }

void TA_DestroyEntryPoint(void) {}

TEE_Result TA_OpenSessionEntryPoint(uint32_t types, TEE_Param params[4], void **session) {
  (void)types;
  (void)params;
  *session = NULL;
  return check_code_version(NULL);
}

void TA_CloseSessionEntryPoint(void *session) { (void)session; }

/* `absent` is allowed for an input: then it is empty. */
static TEE_Result expect_input(uint32_t types, TEE_Param params[4], unsigned index, int absent) {
  uint32_t type = TEE_PARAM_TYPE_GET(types, index);
  if (type == TEE_PARAM_TYPE_NONE && absent) {
    params[index].memref.buffer = NULL;
    params[index].memref.size = 0;
    return TEE_SUCCESS;
  }
  if (type != TEE_PARAM_TYPE_MEMREF_INPUT) return TEE_ERROR_BAD_PARAMETERS;
  return params[index].memref.buffer == NULL ? TEE_ERROR_BAD_PARAMETERS : TEE_SUCCESS;
}

static int has(uint32_t types, unsigned index, uint32_t type) {
  return TEE_PARAM_TYPE_GET(types, index) == type;
}

static TEE_Result expect(uint32_t command, uint32_t types, TEE_Param params[4]) {
  const int takes_input = command != NAUTILUS_TA_INFO && command != NAUTILUS_TA_KEY_ID;
  const int takes_aad = command == NAUTILUS_TA_SEAL || command == NAUTILUS_TA_UNSEAL;
  const int takes_policy = command == NAUTILUS_TA_SEAL || command == NAUTILUS_TA_KEY_ID;
  TEE_Result result = TEE_SUCCESS;
  if (!has(types, 3, TEE_PARAM_TYPE_MEMREF_OUTPUT)) return TEE_ERROR_BAD_PARAMETERS;
  if (params[3].memref.buffer == NULL) return TEE_ERROR_BAD_PARAMETERS;
  if (!has(types, 2, takes_policy ? TEE_PARAM_TYPE_VALUE_INPUT : TEE_PARAM_TYPE_NONE)) {
    return TEE_ERROR_BAD_PARAMETERS;
  }
  if (takes_input) {
    result = expect_input(types, params, 0, command == NAUTILUS_TA_SEAL);
  } else if (!has(types, 0, TEE_PARAM_TYPE_NONE)) {
    return TEE_ERROR_BAD_PARAMETERS;
  }
  if (result != TEE_SUCCESS) return result;
  if (takes_aad) return expect_input(types, params, 1, 1);
  return has(types, 1, TEE_PARAM_TYPE_NONE) ? TEE_SUCCESS : TEE_ERROR_BAD_PARAMETERS;
}

TEE_Result TA_InvokeCommandEntryPoint(void *session, uint32_t command, uint32_t types,
                                      TEE_Param params[4]) {
  TEE_Result result;
  (void)session;
  if (command > NAUTILUS_TA_KEY_ID) return TEE_ERROR_NOT_SUPPORTED;
  result = expect(command, types, params);
  if (result != TEE_SUCCESS) return result;
  switch (command) {
    case NAUTILUS_TA_INFO:
      return info(params);
    case NAUTILUS_TA_SEAL:
      return seal(params);
    case NAUTILUS_TA_UNSEAL:
      return unseal(params);
    case NAUTILUS_TA_ATTEST:
      return attest(params);
    default:
      return key_id(params);
  }
}
