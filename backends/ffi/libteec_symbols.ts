/** libteec's functions (tee_client_api.h), each beside its C declaration. */

/** Both have the same functions; .so.2 is OP-TEE 4.2's and later. */
export const LIBTEEC_NAMES = ["libteec.so.2", "libteec.so.1"] as const;

export const LIBTEEC_SYMBOLS = {
  // TEEC_Result TEEC_InitializeContext(const char *name, TEEC_Context *context);
  TEEC_InitializeContext: { parameters: ["buffer", "buffer"], result: "u32" },
  // void TEEC_FinalizeContext(TEEC_Context *context);
  TEEC_FinalizeContext: { parameters: ["buffer"], result: "void" },
  // TEEC_Result TEEC_OpenSession(TEEC_Context *context, TEEC_Session *session,
  //   const TEEC_UUID *destination, uint32_t connectionMethod, const void *connectionData,
  //   TEEC_Operation *operation, uint32_t *returnOrigin);
  TEEC_OpenSession: {
    parameters: ["buffer", "buffer", "buffer", "u32", "pointer", "pointer", "buffer"],
    result: "u32",
  },
  // void TEEC_CloseSession(TEEC_Session *session);
  TEEC_CloseSession: { parameters: ["buffer"], result: "void" },
  // TEEC_Result TEEC_InvokeCommand(TEEC_Session *session, uint32_t commandID,
  //   TEEC_Operation *operation, uint32_t *returnOrigin);
  TEEC_InvokeCommand: { parameters: ["buffer", "u32", "buffer", "buffer"], result: "u32" },
} as const satisfies Deno.ForeignLibraryInterface;
