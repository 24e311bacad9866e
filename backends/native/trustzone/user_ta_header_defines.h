/* Read by the TA development kit of OP-TEE. */
#ifndef USER_TA_HEADER_DEFINES_H
#define USER_TA_HEADER_DEFINES_H

#include "nautilus_ta.h"

#define TA_UUID NAUTILUS_TA_UUID
/* One instance for everybody, so that a command never meets another on its way. */
#define TA_FLAGS (TA_FLAG_SINGLE_INSTANCE | TA_FLAG_MULTI_SESSION)
#define TA_STACK_SIZE (16 * 1024)
#define TA_DATA_SIZE (32 * 1024)
#define TA_VERSION "1"
#define TA_DESCRIPTION "Nautilus TEE: sealing and evidence"

#endif
