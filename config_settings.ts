/** Every setting: its names in the three places, how text becomes a value, what to say of it. */
import { parseAdminKey } from "./api/admin/public_key.ts";
import type { Config } from "./config.ts";
import {
  boolean,
  chainEndpoints,
  chainId,
  choice,
  grants,
  hex,
  httpsOrigin,
  integer,
  mist,
  names,
  nodeId,
  optionalBytes,
  optionalListen,
  origin,
  p256Key,
  parseListen,
  paths,
  pemCertificates,
  retention,
  teePlugin,
  text,
} from "./config_values.ts";

/** One setting: its names in the three places, how text becomes a value, and what to say of it. */
export interface Setting<T> {
  /** Name in the configuration file; the flag is its kebab-case. */
  readonly field: keyof Config;
  readonly env: string | undefined;
  readonly isSwitch?: boolean;
  /** `@PATH` in the place of the value: it stands in that file. */
  readonly mayBeFile?: boolean;
  readonly help: string;
  /** @throws {Error} whose message says what would be valid. */
  parse(value: unknown): T;
}

/** Every setting, in the order of `--help`. */
export const SETTINGS: readonly Setting<unknown>[] = [
  {
    field: "teeMode",
    env: "TEE_MODE",
    help: "simulation | production | auto (default: auto, which takes what hardware there is)",
    parse: choice("simulation", "production", "auto"),
  },
  {
    field: "teePlugin",
    env: "NAUTILUS_TEE_PLUGIN",
    help: "a TEE backend of others: TEE_TYPE:SHA256:/ABSOLUTE/PATH of its library (sealed)",
    parse: teePlugin,
  },
  {
    field: "teePluginConfig",
    env: "NAUTILUS_TEE_PLUGIN_CONFIG",
    help: "text handed to the plugin; not for secrets (sealed)",
    parse: text,
  },
  {
    field: "teeKey",
    env: "NAUTILUS_TEE_KEY",
    help: "public key that a TrustZone TA must sign with, where no vendor vouches for it (sealed)",
    parse: p256Key,
  },
  {
    field: "dataDir",
    env: "NAUTILUS_DATA_DIR",
    help: "where the sealed store rests (default: /var/lib/nautilus as root)",
    parse: text,
  },
  {
    field: "runtimeDir",
    env: "NAUTILUS_RUNTIME_DIR",
    help: "sockets and endpoints.json, 0700 (default: /run/nautilus as root; simulation: DATA/run)",
    parse: text,
  },
  {
    field: "listen",
    env: "NAUTILUS_LISTEN",
    help: "plain HTTP (default: 127.0.0.1:8080; port 0: any)",
    parse: parseListen,
  },
  {
    field: "tlsListen",
    env: "NAUTILUS_TLS_LISTEN",
    help: "HTTPS (default: 127.0.0.1:6443; off: none)",
    parse: optionalListen,
  },
  {
    field: "tlsNames",
    env: "NAUTILUS_TLS_NAMES",
    help: "more names and addresses for the TLS certificate, separated by commas",
    parse: names,
  },
  {
    field: "etcdListen",
    env: "NAUTILUS_ETCD_LISTEN",
    help: "etcd v3 listener, or off (default: off)",
    parse: optionalListen,
  },
  {
    field: "etcdCertFile",
    env: "NAUTILUS_ETCD_CERT_FILE",
    help: "PEM certificate of the etcd listener (default: of the master's own CA)",
    parse: text,
  },
  {
    field: "etcdKeyFile",
    env: "NAUTILUS_ETCD_KEY_FILE",
    help: "its PEM key",
    parse: text,
  },
  {
    field: "etcdClientCaFile",
    env: "NAUTILUS_ETCD_CLIENT_CA_FILE",
    help: "PEM of the CA whose clients may connect",
    parse: text,
  },
  {
    field: "etcdQuotaBackendBytes",
    env: "NAUTILUS_ETCD_QUOTA_BACKEND_BYTES",
    help: "bytes in use that raise etcd's NOSPACE alarm, or off (default: 2147483648, 2 GiB)",
    parse: optionalBytes(1_048_576),
  },
  {
    field: "etcdAutoCompactionMode",
    env: "NAUTILUS_ETCD_AUTO_COMPACTION_MODE",
    help: "periodic | revision, as etcd's (default: periodic)",
    parse: choice("periodic", "revision"),
  },
  {
    field: "etcdAutoCompactionRetention",
    env: "NAUTILUS_ETCD_AUTO_COMPACTION_RETENTION",
    help: "hours or a duration such as 30m; revisions in mode revision (default: 0, off)",
    parse: retention,
  },
  {
    field: "anchorFile",
    env: "NAUTILUS_ANCHOR_FILE",
    help: "a file on another medium that notices an older store put back by accident",
    parse: text,
  },
  {
    field: "nodeId",
    env: "NAUTILUS_NODE_ID",
    help: "name of this master in logs (default: the host name)",
    parse: nodeId,
  },
  {
    field: "contractAddress",
    env: "CONTRACT_ADDRESS",
    help: "package id of k8s_gateway on Sui, 0x and 64 hex digits",
    parse: hex(32, "0x"),
  },
  {
    field: "suiEndpoints",
    env: "SUI_RPC_ENDPOINT",
    help: "https://… of a Sui full node (gRPC) or graphql+https://…/graphql; several: with commas",
    parse: chainEndpoints,
  },
  {
    field: "suiRegistry",
    env: "NAUTILUS_SUI_REGISTRY",
    help: "object id of the shared WorkerRegistry, 0x and 64 hex digits",
    parse: hex(32, "0x"),
  },
  {
    field: "clusterId",
    env: "NAUTILUS_CLUSTER_ID",
    help: "32 hex digits; tokens of another cluster are refused (default: the registry's own)",
    parse: hex(16, ""),
  },
  {
    field: "suiChainId",
    env: "NAUTILUS_SUI_CHAIN_ID",
    help: "base58 digest of the network's genesis checkpoint; another chain is refused (sealed)",
    parse: chainId,
  },
  {
    field: "suiMasterCap",
    env: "NAUTILUS_SUI_MASTER_CAP",
    help: "object id of the MasterCap: results are written back on chain by its owner (sealed)",
    parse: hex(32, "0x"),
  },
  {
    field: "suiGasBudgetMist",
    env: "NAUTILUS_SUI_GAS_BUDGET_MIST",
    help: "most that writing a result may cost, in MIST (default: 10000000, 0.01 SUI)",
    parse: mist,
  },
  {
    field: "maxChainAgeSeconds",
    env: "NAUTILUS_MAX_CHAIN_AGE_SECONDS",
    help: "nobody is admitted on the word of a node whose newest checkpoint is older (default: 60)",
    parse: integer(1, 86_400, "seconds"),
  },
  {
    field: "acceptZkLogin",
    env: "NAUTILUS_ACCEPT_ZKLOGIN",
    isSwitch: true,
    help: "accept zkLogin wallets; the full nodes judge their signatures (sealed)",
    parse: boolean,
  },
  {
    field: "minimumStakeMist",
    env: "NAUTILUS_MIN_STAKE_MIST",
    help: "least stake that admits a worker, in MIST (default: 1000000000, 1 SUI)",
    parse: mist,
  },
  {
    field: "policies",
    env: "NAUTILUS_POLICIES",
    help: "appraisal policies of POST /api/v1/verify (files, separated by commas; sealed)",
    parse: paths,
  },
  {
    field: "workerPolicy",
    env: "NAUTILUS_WORKER_POLICY",
    help:
      "appraisal policy that a worker's own TEE evidence must meet to be admitted (file; sealed)",
    parse: text,
  },
  {
    field: "workerEvidenceMaxAgeSeconds",
    env: "NAUTILUS_WORKER_EVIDENCE_MAX_AGE_SECONDS",
    help:
      "how old evidence of a worker's TEE may be before new one is asked (default: 86400; sealed)",
    parse: integer(300, 31_536_000, "seconds"),
  },
  {
    field: "legacyBearerTokens",
    env: "NAUTILUS_LEGACY_BEARER_TOKENS",
    isSwitch: true,
    help: "accept the bare string seal_0x… (ids are public: anybody can present one)",
    parse: boolean,
  },
  {
    field: "adminKey",
    env: "NAUTILUS_ADMIN_KEY",
    mayBeFile: true,
    help: "the admin's Ed25519 public key: base64 SPKI, PEM, ssh-ed25519 line, or @FILE (sealed)",
    parse: parseAdminKey,
  },
  {
    field: "grants",
    env: undefined,
    help: "what chain addresses may do (configuration file only)",
    parse: grants,
  },
  {
    field: "telemetryEndpoint",
    env: "NAUTILUS_TELEMETRY_ENDPOINT",
    help: "OTLP/HTTP collector that OTEL_DENO=true may export to, http(s)://HOST:PORT (sealed)",
    parse: origin,
  },
  {
    field: "k8sApiEndpoint",
    env: "K8S_API_ENDPOINT",
    help: "https://HOST:PORT of a kube-apiserver that Kubernetes paths are proxied to (sealed)",
    parse: httpsOrigin,
  },
  {
    field: "k8sApiCa",
    env: "NAUTILUS_K8S_API_CA",
    mayBeFile: true,
    help: "PEM of its CA, or @FILE (sealed)",
    parse: pemCertificates,
  },
  {
    field: "k8sApiCredential",
    env: "NAUTILUS_K8S_API_CREDENTIAL",
    help:
      "file with a bearer token, or a certificate and its key in PEM, that may impersonate (sealed)",
    parse: text,
  },
  {
    field: "k3sServerUrl",
    env: "NAUTILUS_K3S_SERVER_URL",
    help: "https://HOST:PORT of the K3s server that workers get join tokens for (sealed)",
    parse: httpsOrigin,
  },
  {
    field: "sealPolicy",
    env: "NAUTILUS_SEAL_POLICY",
    help: "measurement | signer | default (measurement; the simulation: signer)",
    parse: choice("measurement", "signer", "default"),
  },
  {
    field: "recoveryKey",
    env: "NAUTILUS_RECOVERY_KEYS",
    help: "public keys of `key recovery-init` that bring the store back elsewhere (files, commas)",
    parse: paths,
  },
  {
    field: "noRecovery",
    env: "NAUTILUS_NO_RECOVERY",
    isSwitch: true,
    help: "make a production store that is lost with its TEE",
    parse: boolean,
  },
  {
    field: "acceptLostAnchor",
    env: "NAUTILUS_ACCEPT_LOST_ANCHOR",
    isSwitch: true,
    help: "simulation: start although the store's anchor is gone; a rollback would not be told",
    parse: boolean,
  },
  {
    field: "logLevel",
    env: "LOG_LEVEL",
    help: "debug | info | warn | error (default: info)",
    parse: choice("debug", "info", "warn", "error"),
  },
  {
    field: "heartbeatTimeoutSeconds",
    env: "NAUTILUS_HEARTBEAT_TIMEOUT_SECONDS",
    help: "a worker silent for longer is lost (default: 90)",
    parse: integer(1, 86_400, "seconds"),
  },
  {
    field: "removeLostAfterSeconds",
    env: "NAUTILUS_REMOVE_LOST_AFTER_SECONDS",
    help: "a worker lost or refused for longer goes with its Node and Lease (default: 3600)",
    parse: integer(1, 31_536_000, "seconds"),
  },
];
