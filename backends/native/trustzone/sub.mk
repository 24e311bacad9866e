srcs-y += entry.c measurement.c keys.c seal.c attest.c
global-incdirs-y += .
cflags-y += -DNAUTILUS_CODE_DIGEST=$(NAUTILUS_CODE_DIGEST)
