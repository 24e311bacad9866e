import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { ConfigError, type ConfigSources, flagName, loadConfig } from "./config.ts";

const sources = (over: Partial<ConfigSources> = {}): ConfigSources => ({
  flags: {},
  env: {},
  isRoot: true,
  hostName: "Master_1",
  ...over,
});

function refusal(over: Partial<ConfigSources>): string {
  return assertThrows(() => loadConfig(sources(over)), ConfigError).message;
}

Deno.test("loadConfig() gives frozen defaults when nothing is set", () => {
  const config = loadConfig(sources());
  assertEquals(config.teeMode, "auto");
  assertEquals(config.dataDir, "/var/lib/nautilus");
  assertEquals(config.listen, { host: "127.0.0.1", port: 8080 });
  assertEquals(config.nodeId, "master-1");
  assertEquals(Object.isFrozen(config), true);
  assertEquals(
    loadConfig(sources({ isRoot: false, env: { HOME: "/home/op" } })).dataDir,
    "/home/op/.local/share/nautilus",
  );
});

Deno.test("loadConfig() lets flags win over environment over file", () => {
  const file = { path: "n.jsonc", text: '{ // comment\n "logLevel": "debug", "nodeId": "file" }' };
  const env = { LOG_LEVEL: "warn", TEE_MODE: "simulation" };
  const config = loadConfig(sources({ file, env, flags: { teeMode: "production" } }));
  assertEquals([config.logLevel, config.nodeId, config.teeMode], ["warn", "file", "production"]);
  assertEquals([...config.given], ["teeMode", "nodeId", "logLevel"]);
});

Deno.test("loadConfig() names field, value and what is valid when a value is wrong", () => {
  assertEquals(
    refusal({ env: { TEE_MODE: "simulaton" } }),
    'environment variable TEE_MODE: "simulaton": valid are: simulation, production, auto',
  );
  assertStringIncludes(refusal({ flags: { listen: "nowhere" } }), '--listen: "nowhere": HOST:PORT');
  assertStringIncludes(refusal({ flags: { listen: "127.0.0.1:70000" } }), "HOST:PORT");
  assertStringIncludes(refusal({ env: { CONTRACT_ADDRESS: "0x12" } }), "64 hex digits");
  assertStringIncludes(refusal({ env: { SUI_RPC_ENDPOINT: "ftp://x" } }), "https://");
  assertStringIncludes(
    refusal({ env: { SUI_RPC_ENDPOINT: "https://x,https://graphql.x/graphql" } }),
    "write graphql+https://graphql.x/graphql",
  );
  assertStringIncludes(
    refusal({ env: { SUI_RPC_ENDPOINT: "graphql+http://x/q,graphql+http://x/q/" } }),
    "graphql+http://x/q is named twice",
  );
  assertStringIncludes(refusal({ env: { SUI_RPC_ENDPOINT: "http://u:p@x" } }), "credentials");
  assertStringIncludes(refusal({ env: { SUI_RPC_ENDPOINT: "http://x,http://x/" } }), "twice");
  assertStringIncludes(refusal({ env: { NAUTILUS_MIN_STAKE_MIST: "-1" } }), "MIST");
  assertStringIncludes(refusal({ env: { NAUTILUS_LEGACY_BEARER_TOKENS: "yes" } }), "true, false");
  assertStringIncludes(refusal({ env: { NAUTILUS_SUI_CHAIN_ID: "mainnet" } }), "base58 digest");
  assertStringIncludes(refusal({ env: { NAUTILUS_MAX_CHAIN_AGE_SECONDS: "0" } }), "seconds");
});

Deno.test("loadConfig() suggests the right name when a name is misspelt", () => {
  assertEquals(
    refusal({ env: { NAUTILUS_DATADIR: "/x" } }),
    "unknown environment variable NAUTILUS_DATADIR; did you mean NAUTILUS_DATA_DIR?",
  );
  const file = { path: "n.jsonc", text: '{"logLevle": "info"}' };
  assertEquals(refusal({ file }), "unknown field in n.jsonc: logLevle; did you mean logLevel?");
});

Deno.test("loadConfig() refuses a file that is not an object of known fields", () => {
  assertStringIncludes(refusal({ file: { path: "f", text: "[]" } }), "f: an object is wanted");
  assertStringIncludes(refusal({ file: { path: "f", text: "{" } }), "f: not JSONC");
  const twice = '{"teeMode": "auto", "teeMode": "simulation"}';
  assertStringIncludes(refusal({ file: { path: "f", text: twice } }), "stands twice");
  const overridden = {
    flags: { listen: "127.0.0.1:1" },
    file: { path: "f", text: '{"listen":1}' },
  };
  assertStringIncludes(refusal(overridden), "f: listen: 1: HOST:PORT");
  const grants = (text: string) => refusal({ file: { path: "f", text: `{"grants": ${text}}` } });
  assertStringIncludes(grants('[{"adress":"0x"}]'), 'unknown field "adress"');
  assertStringIncludes(grants("{}"), "a list of grants");
});

Deno.test("loadConfig() normalises listeners, hex and endpoints", () => {
  const id = "0x" + "AB".repeat(32);
  const config = loadConfig(sources({
    flags: { listen: "[::1]:0", tlsListen: "off" },
    env: {
      CONTRACT_ADDRESS: id,
      SUI_RPC_ENDPOINT: "http://a:1/, https://b,graphql+https://graphql.b/graphql/",
    },
  }));
  assertEquals(config.listen, { host: "::1", port: 0 });
  assertEquals(config.contractAddress, id.toLowerCase());
  assertEquals(config.suiEndpoints, [
    "http://a:1",
    "https://b",
    "graphql+https://graphql.b/graphql",
  ]);
  assertEquals(flagName("legacyBearerTokens"), "legacy-bearer-tokens");
});

Deno.test("loadConfig() takes etcd's compaction and quota settings as etcd means them", () => {
  const config = loadConfig(sources({
    env: {
      NAUTILUS_ETCD_AUTO_COMPACTION_RETENTION: "1h30m",
      NAUTILUS_ETCD_QUOTA_BACKEND_BYTES: "off",
    },
  }));
  assertEquals(config.etcdAutoCompactionRetention, { kind: "duration", ms: 5_400_000 });
  assertEquals(config.etcdQuotaBackendBytes, 0);
  assertEquals(loadConfig(sources()).etcdQuotaBackendBytes, 2_147_483_648);
  for (const wrong of ["-1", "1d", "h", "1h 2m", "0s", ""]) {
    const flags = { etcdAutoCompactionRetention: wrong };
    assertStringIncludes(refusal({ flags }), "72h or 1h30m is wanted");
  }
  assertStringIncludes(
    refusal({ flags: { etcdAutoCompactionMode: "revision", etcdAutoCompactionRetention: "5m" } }),
    "is a duration",
  );
  assertStringIncludes(refusal({ flags: { etcdQuotaBackendBytes: "0" } }), "whole number of bytes");
});

Deno.test("loadConfig() takes a plugin by tee_type, SHA-256 and absolute path, and nothing less", () => {
  const sha256 = "0F".repeat(32);
  const plugin = (teePlugin: string, more = {}) =>
    refusal({ flags: { teePlugin, teeMode: "production", ...more } });
  assertEquals(
    loadConfig(sources({ env: { NAUTILUS_TEE_PLUGIN: `SEV:${sha256}:/opt/a:b.so` } })).teePlugin,
    { kind: "SEV", sha256: sha256.toLowerCase(), path: "/opt/a:b.so" },
  );
  assertStringIncludes(plugin(`SIMULATION:${sha256}:/a.so`), "TEE_TYPE is one of SGX, SEV");
  assertStringIncludes(plugin("SEV:00:/a.so"), "64 hex digits");
  assertStringIncludes(plugin(`SEV:${sha256}:a.so`), "relative path");
  assertStringIncludes(plugin(`SEV:${sha256}:/a.so`, { teeMode: "simulation" }), "contradict");
  assertStringIncludes(refusal({ flags: { teePluginConfig: "x" } }), "--tee-plugin is not set");
  assertStringIncludes(refusal({ flags: { teeKey: "MFkw" } }), "a P-256 public key is wanted");
  const teeKey = `MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE${"A".repeat(86)}==`;
  assertEquals(loadConfig(sources({ env: { NAUTILUS_TEE_KEY: teeKey } })).teeKey, teeKey);
  const simulated = refusal({ flags: { teeKey, teeMode: "simulation" } });
  assertStringIncludes(simulated, "--tee-key is for TrustZone");
});
