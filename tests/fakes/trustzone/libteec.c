/*
 * A libteec for tests, compiled against the real header where it is installed: the client API of
 * GlobalPlatform with our TA behind it, on the trusted OS of core.c. The name of the context is the
 * folder that is the device. A file `fault` in it makes calls go wrong:
 *   <init|open|invoke> <result, hex> <origin> <output size or 0> <bytes beyond> <hold ms> <once>
 * (hold: wait until the file `hold` is gone, or answer TEE_ERROR_TIMEOUT), and a file `reply` is what every command answers, whatever it was asked.
 */
#include "core.c"

#include "attest.c"
#include "entry.c"
#include "keys.c"
#include "measurement.c"
#include "seal.c"

#include <pthread.h>
#include <stdbool.h>
#include <time.h>

#if __has_include(<tee_client_api.h>)
#include <tee_client_api.h>
#else
/* GlobalPlatform TEE Client API 1.0; the private parts as in OP-TEE 4.5. */
typedef uint32_t TEEC_Result;
typedef struct {
  uint32_t timeLow;
  uint16_t timeMid;
  uint16_t timeHiAndVersion;
  uint8_t clockSeqAndNode[8];
} TEEC_UUID;
typedef struct {
  struct {
    int fd;
    bool reg_mem;
    bool memref_null;
  } imp;
} TEEC_Context;
typedef struct {
  struct {
    TEEC_Context *ctx;
    uint32_t session_id;
  } imp;
} TEEC_Session;
typedef struct {
  void *buffer;
  size_t size;
} TEEC_TempMemoryReference;
typedef union {
  TEEC_TempMemoryReference tmpref;
  struct {
    void *parent;
    size_t size, offset;
  } memref;
  struct {
    uint32_t a, b;
  } value;
} TEEC_Parameter;
typedef struct {
  uint32_t started, paramTypes;
  TEEC_Parameter params[4];
  struct {
    TEEC_Session *session;
  } imp;
} TEEC_Operation;
#endif

enum { DEVICES = 1024, ORIGIN_TRUSTED_APP = 4 };
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char *devices[DEVICES];

typedef struct {
  uint32_t result, origin;
  size_t size, beyond;
  bool there;
} fault_t;

/* Called with the lock held; may sleep, as a trusted OS may. */
static fault_t fault_of(const char *call) {
  char path[PATH_LENGTH], name[16] = "";
  unsigned result = 0, origin = 0, hold_ms = 0, once = 0;
  fault_t fault = { 0 };
  file_of(path, "", "fault", 5);
  FILE *file = fopen(path, "r");
  if (file == NULL) return fault;
  int fields = fscanf(file, "%15s %x %u %zu %zu %u %u", name, &result, &origin, &fault.size,
                      &fault.beyond, &hold_ms, &once);
  fclose(file);
  if (fields != 7 || strcmp(name, call) != 0) return (fault_t){ 0 };
  if (once != 0) unlink(path);
  if (hold_ms > 0) {
    static const struct timespec pause = { 0, 1000000 };
    file_of(path, "", "hold", 4);
    while (hold_ms > 0 && access(path, F_OK) == 0) {
      nanosleep(&pause, NULL);
      hold_ms--;
    }
    if (access(path, F_OK) == 0) result = 0xFFFF3001u;
  }
  fault.result = result;
  fault.origin = origin;
  fault.there = result != 0 || fault.size != 0 || fault.beyond != 0;
  return fault;
}

static void enter(const TEEC_Context *context) {
  pthread_mutex_lock(&lock);
  snprintf(device, sizeof device, "%s", devices[context->imp.fd]);
}

TEEC_Result TEEC_InitializeContext(const char *name, TEEC_Context *context) {
  int slot = 0;
  if (name == NULL || access(name, R_OK) != 0) return 0xFFFF0008u;
  pthread_mutex_lock(&lock);
  while (slot < DEVICES && devices[slot] != NULL) slot++;
  if (slot == DEVICES) {
    pthread_mutex_unlock(&lock);
    return 0xFFFF000Cu;
  }
  snprintf(device, sizeof device, "%s", name);
  fault_t fault = fault_of("init");
  if (fault.result == 0) {
    devices[slot] = strdup(name);
    memset(context, 0, sizeof *context);
    context->imp.fd = slot;
  }
  pthread_mutex_unlock(&lock);
  return fault.result;
}

void TEEC_FinalizeContext(TEEC_Context *context) {
  pthread_mutex_lock(&lock);
  free(devices[context->imp.fd]);
  devices[context->imp.fd] = NULL;
  pthread_mutex_unlock(&lock);
}

TEEC_Result TEEC_OpenSession(TEEC_Context *context, TEEC_Session *session, const TEEC_UUID *destination,
                             uint32_t method, const void *data, TEEC_Operation *operation,
                             uint32_t *origin) {
  static const TEE_UUID ours = NAUTILUS_TA_UUID;
  void *own = NULL;
  *origin = 3;
  if (memcmp(destination, &ours, sizeof ours) != 0) return 0xFFFF0008u;
  if (method != 0 || data != NULL || operation != NULL) return 0xFFFF0006u;
  enter(context);
  fault_t fault = fault_of("open");
  TEE_Result result = fault.result;
  if (fault.there) *origin = fault.origin;
  if (result == 0) {
    *origin = ORIGIN_TRUSTED_APP;
    result = TA_OpenSessionEntryPoint(0, NULL, &own);
  }
  pthread_mutex_unlock(&lock);
  session->imp.ctx = context;
  return result;
}

void TEEC_CloseSession(TEEC_Session *session) { session->imp.ctx = NULL; }

static TEE_Result planned_reply(TEEC_Operation *operation, long length, const uint8_t *reply) {
  TEEC_TempMemoryReference *out = &operation->params[3].tmpref;
  size_t copied = (size_t)length < out->size ? (size_t)length : out->size;
  memcpy(out->buffer, reply, copied);
  out->size = (size_t)length;
  return 0;
}

TEEC_Result TEEC_InvokeCommand(TEEC_Session *session, uint32_t command, TEEC_Operation *operation,
                               uint32_t *origin) {
  static uint8_t reply[65536];
  TEE_Param params[4];
  char path[PATH_LENGTH];
  enter(session->imp.ctx);
  fault_t fault = fault_of("invoke");
  TEE_Result result = fault.result;
  *origin = fault.there ? fault.origin : ORIGIN_TRUSTED_APP;
  file_of(path, "", "reply", 5);
  long planned = read_file(path, reply, sizeof reply);
  if (result == 0 && planned >= 0) {
    result = planned_reply(operation, planned, reply);
  } else if (result == 0) {
    size_t capacity = operation->params[3].tmpref.size;
    for (int i = 0; i < 4; i++) {
      uint32_t type = operation->paramTypes >> (4 * i) & 0xF;
      memset(&params[i], 0, sizeof params[i]);
      if (type == 1) params[i].value.a = operation->params[i].value.a;
      if (type == 5 || type == 6) {
        params[i].memref.buffer = operation->params[i].tmpref.buffer;
        params[i].memref.size = operation->params[i].tmpref.size;
      }
    }
    result = TA_InvokeCommandEntryPoint(NULL, command, operation->paramTypes, params);
    if ((operation->paramTypes >> 12 & 0xF) == 6) operation->params[3].tmpref.size = params[3].memref.size;
    for (size_t i = 0; i < fault.beyond; i++) {
      ((uint8_t *)operation->params[3].tmpref.buffer)[capacity + i] = 0;
    }
  }
  if (fault.size != 0) operation->params[3].tmpref.size = fault.size;
  pthread_mutex_unlock(&lock);
  return result;
}

void TEEC_RequestCancellation(TEEC_Operation *operation) { (void)operation; }
