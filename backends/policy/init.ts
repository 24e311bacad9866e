/**
 * A commented policy to start from, out of evidence that is taken as the reference. What must not be
 * taken over from evidence without thought (debug mode and the like) is written the strict way, with
 * a comment where the evidence differs.
 */
import type { AttestationResult } from "../appraisal.ts";
import type { TeeType } from "../mod.ts";

type Claims = Readonly<Record<string, unknown>>;

const text = (value: unknown): string => typeof value === "string" ? value : "";
const isRecord = (value: unknown): value is Claims =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const record = (value: unknown): Claims => isRecord(value) ? value : {};
const list = (value: unknown): string => `[${JSON.stringify(text(value))}]`;

/** Lines of the section for one family. */
type Section = (claims: Claims) => readonly string[];

const SECTIONS: Readonly<Record<TeeType, { name: string; lines: Section }>> = {
  SEV: { name: "sevSnp", lines: sevSnp },
  NITRO: { name: "nitro", lines: nitro },
  TrustZone: { name: "trustzone", lines: trustzone },
  SGX: { name: "sgx", lines: sgx },
  TDX: { name: "tdx", lines: tdx },
  SIMULATION: { name: "simulation", lines: simulation },
};

/**
 * The policy's text (JSONC).
 * @param result an appraisal of the reference evidence under any policy: only its claims are used
 * @param problems what the reference evidence itself fails at, to be said at the top
 */
export function initialPolicy(
  result: Pick<AttestationResult, "teeType" | "claims" | "evidenceDigest">,
  problems: readonly string[],
): string {
  const { name, lines } = SECTIONS[result.teeType];
  const node = record(result.claims["node"]);
  const fromNode = Object.keys(node).length > 0;
  return [
    "// Appraisal policy of Nautilus TEE: see docs/VERIFYING.md for every field.",
    `// Made from ${result.teeType} evidence with SHA-256 ${result.evidenceDigest}.`,
    ...heading(result.teeType, node),
    ...problems.map((problem) =>
      `// ATTENTION, the evidence itself does not pass: ${oneLine(problem)}`
    ),
    "{",
    '  "version": 1,',
    `  "id": ${JSON.stringify(`from-${result.evidenceDigest.slice(0, 12)}`)},`,
    ...(fromNode ? nodeSection(node) : []),
    `  ${JSON.stringify(name)}: {`,
    ...lines(result.claims).map((line) => `    ${line}`),
    "  }",
    "}",
    "",
  ].join("\n");
}

/** What the policy will say to the very evidence it was made from. */
function heading(teeType: TeeType, node: Claims): string[] {
  const covers = text(node["covers"]);
  if (Object.keys(node).length === 0 || covers === "program" || covers === "image") {
    return ["// It accepts what that evidence shows: read it before you rely on it."];
  }
  return [
    `// It REFUSES that evidence as it stands: ${
      teeType === "SIMULATION"
        ? "a simulation protects nothing, and"
        : `its measurement covers "${oneLine(covers)}", not the running master;`
    } "covers" below`,
    "// lists what does. The rest is what that evidence shows: read it before you rely on it.",
  ];
}

function oneLine(value: string): string {
  return value.replace(/[^\x20-\x7e]/g, "?").slice(0, 300);
}

function nodeSection(node: Claims): string[] {
  const covers = text(node["covers"]);
  const strict = covers === "program" || covers === "image";
  return [
    '  "node": {',
    "    // What the measurement must stand for: program and image cover the running master.",
    `    "covers": ${strict ? list(covers) : '["program", "image"]'},${
      strict
        ? ""
        : ` // ATTENTION: the evidence covers "${covers}", refused until you write that here`
    }`,
    '    // SHA-256 of the node\'s sealed configuration; "any" does not look at it.',
    `    "configDigests": ${list(node["config_digest"])},`,
    `    "storeIds": ${list(node["store_id"])},`,
    "    // true accepts answers to nobody's nonce for maxAgeSeconds: replays.",
    '    "allowNonceless": false,',
    '    "maxAgeSeconds": 300',
    "  },",
  ];
}

function sevSnp(claims: Claims): string[] {
  const product = text(claims["product"]);
  const names = product === "Bergamo/Siena"
    ? ["Bergamo", "Siena"]
    : product === ""
    ? []
    : [product];
  const minimum = Object.fromEntries(names.map((name) => [name, claims["reported_tcb"]]));
  const vmpl = Number(claims["vmpl"]);
  const provisional =
    JSON.stringify(claims["current_tcb"]) !== JSON.stringify(claims["committed_tcb"]) ||
    claims["current_fw"] !== claims["committed_fw"];
  const guest = (name: string) => claims[name] === true;
  return [
    "// Launch measurements, SHA-384 hex. The image must itself be measured and locked.",
    `"measurements": ${list(claims["measurement"])},`,
    `"products": ${
      JSON.stringify(names.length === 0 ? ["Milan", "Genoa", "Bergamo", "Siena", "Turin"] : names)
    },`,
    "// Reported TCB at least this, by product; raise it when AMD publishes fixes.",
    names.length === 0
      ? '"minimumTcb": "any", // ATTENTION: the product is not known without the VCEK or VLEK'
      : `"minimumTcb": ${JSON.stringify(minimum)},`,
    `"signers": ${JSON.stringify(claims["signing_key"] === "VLEK" ? ["VLEK"] : ["VCEK"])},`,
    ...(claims["csp_id"] === undefined ? [] : [`"cspIds": ${list(claims["csp_id"])},`]),
    vmpl === 0
      ? '"vmpl": [0],'
      : `"vmpl": [0], // ATTENTION: the evidence is of VMPL ${vmpl}; list it if what runs below is trusted`,
    guest("policy_debug")
      ? '"allowDebug": false, // ATTENTION: the evidence allows debugging and will be refused'
      : '"allowDebug": false,',
    `"allowMigrationAgent": false,${
      guest("policy_migrate_ma") ? " // ATTENTION: the evidence allows one" : ""
    }`,
    `"allowSmt": ${guest("policy_smt")},`,
    `"allowCxl": ${guest("policy_cxl")},`,
    "// Firmware that runs but is not committed can be rolled back by the host, as far as minimumTcb.",
    `"allowProvisionalFirmware": ${provisional},${
      provisional ? " // ATTENTION: the evidence is of such firmware; write false to refuse it" : ""
    }`,
    `"hostData": ${/^0*$/.test(text(claims["host_data"])) ? '"any"' : list(claims["host_data"])},`,
    `"idKeyDigests": ${
      /^0*$/.test(text(claims["id_key_digest"])) ? '"any"' : list(claims["id_key_digest"])
    },`,
    '// AMD\'s revocation list: "require" refuses where none is given, "if_given" looks at one that is.',
    '"crl": "if_given",',
    '// "require": report data or a nonce must be given to compare with.',
    '"reportData": "require"',
  ];
}

function nitro(claims: Claims): string[] {
  const pcrs = record(claims["pcrs"]);
  const wanted = ["0", "1", "2", "3", "8"].filter((index) => /[1-9a-f]/.test(text(pcrs[index])));
  const debug = !wanted.includes("0");
  return [
    "// By number: 0 image, 1 kernel, 2 application, 3 IAM role, 8 signing certificate. 4 is the instance.",
    debug
      ? '"pcrs": "any", // ATTENTION: a debug enclave measures nothing; put the PCRs of a release build here'
      : `"pcrs": {${
        wanted.map((index) => `\n      "${index}": ${list(pcrs[index])}`).join(",")
      }\n    },`,
    `"allowDebug": false,${
      debug ? " // ATTENTION: the evidence is of a debug enclave and will be refused" : ""
    }`,
    '// Seconds by the document\'s own clock, or "any".',
    '"maxAgeSeconds": 300,',
    "// AWS's own procedure does not look at revocation lists.",
    '"crl": "if_given",',
    '"reportData": "require"',
  ];
}

/** Evidence of our own TA. */
function trustzoneTa(claims: Claims): string[] {
  const platform = claims["platform_attested"] === true;
  return [
    "// The TA's own key, as this evidence gives it: ATTENTION, compare it with the one read off the",
    "// device in a trusted place. There is no vendor's chain.",
    `"keys": [{ "id": "device-1", "spki": ${JSON.stringify(text(claims["attestation_key"]))} }],`,
    `"taMemoryDigests": ${platform ? list(claims["ta_memory_digest"]) : "[]"},`,
    '"ta": {',
    "  // What the TA says that it is.",
    `  "measurements": ${list(claims["measurement"])},`,
    `  "minimumCodeVersion": ${Number(claims["code_version"])},`,
    platform
      ? "  // The platform's RSA key must be pinned above, too."
      : "  // This platform has no attestation PTA: nobody but the TA says what the TA is.",
    `  "platform": ${platform ? '"require"' : '"if_given"'}`,
    "}",
  ];
}

function trustzone(claims: Claims): string[] {
  if (typeof claims["code_version"] === "number") return trustzoneTa(claims);
  const key = text(claims["offered_key"]);
  return [
    "// The device's own public key, read off it in a trusted place: there is no vendor's chain.",
    '// {"id": …, "spki": base64} or {"id": …, "modulus": hex, "exponent": hex}',
    key === ""
      ? '"keys": [], // ATTENTION: put the key here; an empty list is refused'
      : `"keys": [{ "id": "device-1", "spki": ${JSON.stringify(key)} }],`,
    "// Which list a digest belongs in, only you know: the evidence does not say what was hashed.",
    `"taHeaderDigests": ${list(claims["measurement"])},`,
    '"taMemoryDigests": [],',
    '"teeMemoryDigests": []',
  ];
}

function sgx(claims: Claims): string[] {
  return [
    '// The enclave itself; to follow a signer\'s updates instead, write "any" here and set minimumIsvSvn.',
    `"mrenclaves": ${list(claims["mr_enclave"])},`,
    `"mrsigners": ${list(claims["mr_signer"])},`,
    ...(typeof claims["isv_prod_id"] === "number"
      ? [`"isvProdIds": [${claims["isv_prod_id"]}],`]
      : []),
    ...(typeof claims["isv_svn"] === "number" ? [`"minimumIsvSvn": ${claims["isv_svn"]},`] : []),
    ...dcap(claims),
  ];
}

function tdx(claims: Claims): string[] {
  const rtmrs: readonly unknown[] = Array.isArray(claims["rtmr"]) ? claims["rtmr"] : [];
  return [
    "// Firmware (MRTD), then what it measured: RTMR0 configuration, 1 kernel, 2 initrd and command line.",
    `"mrtds": ${list(claims["mr_td"])},`,
    `"rtmrs": {${
      rtmrs.slice(0, 3).map((rtmr, index) => ` "${index}": ${list(rtmr)}`).join(",")
    } },`,
    `"requireSeptVeDisable": true,${
      claims["sept_ve_disable"] === false
        ? " // ATTENTION: not set here, and so refused; Azure's paravisor needs it off: false accepts that"
        : ""
    }`,
    ...serviceTd(claims["mr_service_td"]),
    ...dcap(claims),
  ];
}

/** A service TD is accepted only once somebody has thought about it. */
function serviceTd(claim: unknown): string[] {
  if (typeof claim !== "string" || /^0*$/.test(claim)) return [];
  return [
    "// ATTENTION: a service TD is bound to this TD and can act on it; refused until it is listed:",
    `// "mrServiceTds": ${list(claim)},`,
  ];
}

function dcap(claims: Claims): string[] {
  const status = text(record(claims["tcb"])["status"]);
  const differs = status !== "" && status !== "UpToDate";
  return [
    "// What the platform's patch state may be, by Intel's collateral.",
    `"tcbStatuses": ["UpToDate"],${
      differs
        ? ` // ATTENTION: the evidence's platform is ${oneLine(status)} and will be refused`
        : ""
    }`,
    '"collateral": "require",',
    '"crl": "require",',
    '"allowDebug": false,',
    '"reportData": "require"',
  ];
}

function simulation(claims: Claims): string[] {
  return [
    "// The simulation protects nothing. For development only.",
    '"allowSimulation": true,',
    "// SHA-256 of the installation's root key (SPKI).",
    `"trustedRoots": ${typeof claims["root"] === "string" ? list(claims["root"]) : "[]"},`,
    `"measurements": ${list(claims["measurement"])},`,
    '"reportData": "require",',
    '"maxAgeSeconds": 3600',
  ];
}
