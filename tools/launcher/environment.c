/*
 * An allow list: whoever starts the program must not steer its runtime. DENO_*, NODE_*, LD_*,
 * GLIBC_TUNABLES, MALLOC_*, OPENSSL_CONF and their like (V8 flags, preloaded libraries, TLS roots,
 * engines) never arrive, and neither does what nobody has thought of yet.
 */
#include "environment.h"

#include <stddef.h>

/* A name that ends in `*` stands for every name that begins so. */
static const char *const KEPT[] = {
    /* The program's own (docs/OPERATIONS.md). */
    "TEE_MODE", "CONTRACT_ADDRESS", "SUI_RPC_ENDPOINT", "K8S_API_ENDPOINT", "LOG_LEVEL",
    "NAUTILUS_*",
    /* Where things lie and how to print them. */
    "HOME", "USER", "LOGNAME", "PATH", "TMPDIR", "XDG_*", "LANG", "LC_*", "TZ", "TERM", "COLORTERM",
    "NO_COLOR", "COLUMNS", "LINES",
    /* Telemetry, which the sealed configuration must name, too (docs/OPERATIONS.md). */
    "OTEL_DENO", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_CERTIFICATE", "OTEL_SERVICE_NAME",
    "OTEL_RESOURCE_ATTRIBUTES", "OTEL_BSP_*", "OTEL_METRIC_EXPORT_INTERVAL",
    /* Ways out to the network. */
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy",
    "no_proxy",
    /* What systemd tells a service. */
    "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "INVOCATION_ID", "JOURNAL_STREAM",
    "CREDENTIALS_DIRECTORY", "STATE_DIRECTORY", "RUNTIME_DIRECTORY", "CONFIGURATION_DIRECTORY",
    "LOGS_DIRECTORY", "CACHE_DIRECTORY",
};

static int matches(const char *pattern, const char *entry) {
  for (;; pattern++, entry++) {
    if (*pattern == '*') return 1;
    if (*pattern == 0) return *entry == '=';
    if (*pattern != *entry) return 0;
  }
}

int environment_keeps(const char *entry) {
  for (size_t i = 0; i < sizeof KEPT / sizeof KEPT[0]; i++) {
    if (matches(KEPT[i], entry)) return 1;
  }
  return 0;
}
