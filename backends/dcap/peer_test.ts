/**
 * A second opinion: `@phala/dcap-qvl` on every input, good or mutated. Both say the same, or the
 * difference has one of the reasons listed here. The policy used is as lenient as the peer: every
 * status but Revoked.
 */
import { assert, assertEquals } from "@std/assert";
import {
  appraiseIntel,
  findings,
  type IntelAppraisal,
  nightly,
} from "../../tests/pki/intel_appraise.ts";
import { peerCollateral, type PeerVerdict, peerVerify } from "../../tests/pki/intel_peer.ts";
import {
  makePlatform,
  moduleIdentity,
  type PlatformOptions,
  tcbLevel,
  TEST_NOW,
} from "../../tests/pki/intel_platform.ts";
import { intelVectorsOrSkip } from "../../tests/vectors/intel.ts";
import type { AttestationResult } from "../appraisal.ts";
import type { Bytes } from "../mod.ts";
import { DcapCache } from "./cache.ts";
import { parseChain } from "./collateral.ts";
import { decodeQuote } from "./quote.ts";

const LENIENT = {
  tcbStatuses: [
    "UpToDate",
    "SWHardeningNeeded",
    "ConfigurationNeeded",
    "ConfigurationAndSWHardeningNeeded",
    "OutOfDate",
    "OutOfDateConfigurationNeeded",
    "TDRelaunchAdvised",
    "TDRelaunchAdvisedConfigurationNeeded",
  ],
};

/** Findings for which we refuse and the peer does not: what it leaves out. */
const PEER_LEAVES_OUT: Readonly<Record<string, string>> = {
  "pck_crl/crl_missing": "it looks serials up on whatever lists there are",
  "root_crl/crl_missing": "it looks serials up on whatever lists there are",
  "pck_crl/crl_expired": "it does not look at the dates of lists",
  "root_crl/crl_expired": "it does not look at the dates of lists",
  "pck_crl/crl_not_yet_valid": "it does not look at the dates of lists",
  "root_crl/crl_not_yet_valid": "it does not look at the dates of lists",
  "pck_crl/crl_bad_signature": "it does not verify the signatures of lists",
  "root_crl/crl_bad_signature": "it does not verify the signatures of lists",
  "collateral/malformed": "it lets lists be that it cannot read",
  "platform/pceid_mismatch": "it does not compare PCE ids",
  "tdx_module/module_mismatch": "it does not look at the TDX module's identity",
  "tdx_module/module_unmatched": "it does not look at the TDX module's identity",
  "tdx_module/module_revoked": "it does not look at the TDX module's identity",
  "tcb_status/tcb_no_match": "without module identities it matches where Intel's library does not",
  "tcb_status/tcb_revoked": "it does not see a revoked TDX module",
  "attributes/reserved_not_zero": "it does not look at reserved bits of enclaves",
  "pck_chain/wrong_root": "what stands in the root's place only has to be signed by the root",
  "pck_chain/unexpected_certificate": "it accepts the root twice",
  "pck_chain/unexpected_name": "it does not look at names",
  "pck_chain/chain_incomplete": "it does not count",
  "pck_chain/malformed": "its PEM reader skips what it cannot read",
  "tcb_info/expired": "to it nextUpdate itself is still in time",
  "qe_identity/expired": "to it nextUpdate itself is still in time",
  "format/malformed": "bytes left over inside the signature data do not trouble it",
};

/** What follows when there is no chain to go by. */
const CONSEQUENCES: readonly string[] = [
  "qe_report_signature/no_chain",
  "tcb_status/tcb_not_judged",
];

/** Refusals of the peer where we affirm, by the start of its message. */
const PEER_IS_STRICTER: readonly (readonly [start: string, why: string])[] = [
  [
    "No matching TCB level found",
    "it compares TDX components 0 and 1, which Intel's library skips",
  ],
  ["Certificate chain is too short", "it wants the root in the chain, though the root is pinned"],
  ["SGX TEE quote must have version 3", "SGX quotes of versions 4 and 5 exist"],
];

/** Where the certificates are the same, byte for byte, and only their PEM differs. */
const PEM_ONLY = "its PEM reader knows no white space but line ends";

/** Statuses that differ, ours then the peer's. */
const STATUS_DIFFERS: readonly (readonly [ours: string, peers: string, why: string])[] = [
  ["TDRelaunchAdvised", "OutOfDate", "it does not know relaunch"],
  ["TDRelaunchAdvised", "UpToDate", "it does not know relaunch or modules"],
  ["OutOfDate", "UpToDate", "it does not see that the TDX module is out of date"],
  [
    "OutOfDateConfigurationNeeded",
    "OutOfDate",
    "it takes the worse of two, Intel's library merges",
  ],
  ["OutOfDateConfigurationNeeded", "ConfigurationNeeded", "it does not see the TDX module's state"],
];

function statusOf({ claims }: AttestationResult): string | undefined {
  const tcb = claims["tcb"];
  return typeof tcb === "object" && tcb !== null && "status" in tcb &&
      typeof tcb.status === "string"
    ? tcb.status
    : undefined;
}

/** @returns why they differ; undefined when they agree; throws when nothing explains it. */
function difference(
  ours: AttestationResult,
  peers: PeerVerdict,
  what: string,
  pemOnly: boolean,
): string | undefined {
  const weAffirm = ours.tier === "affirming";
  if (weAffirm && peers.accepted) {
    const status = statusOf(ours);
    if (status === peers.status) return undefined;
    const known = STATUS_DIFFERS.find(([one, other]) => one === status && other === peers.status);
    assert(known !== undefined, `${what}: we say ${status}, the peer ${peers.status}`);
    return known[2];
  }
  if (!weAffirm && !peers.accepted) return undefined;
  if (peers.accepted) {
    const found = findings(ours);
    const unexplained = found.filter((finding) =>
      PEER_LEAVES_OUT[finding] === undefined && !CONSEQUENCES.includes(finding)
    );
    assertEquals(unexplained, [], `${what}: the peer accepts (${peers.status})`);
    return PEER_LEAVES_OUT[found[0] ?? ""];
  }
  if (pemOnly) return PEM_ONLY;
  const { reason } = peers;
  const known = PEER_IS_STRICTER.find(([start]) => reason.startsWith(start));
  assert(known !== undefined, `${what}: we affirm, the peer says: ${reason}`);
  return known[1];
}

interface Input {
  readonly name: string;
  readonly appraisal: IntelAppraisal;
}

function certificatesOf(quote: Bytes): string {
  return parseChain(decodeQuote(quote).certificationData.data).map(({ fingerprint }) => fingerprint)
    .join();
}

/** Both opinions on one input. @param original the quote that this one was mutated from. */
async function compare(
  { name, appraisal }: Input,
  original: Bytes = appraisal.quote,
  cache?: DcapCache,
): Promise<string | undefined> {
  const { quote, endorsements, root, now } = appraisal;
  const collateral = peerCollateral(endorsements);
  assert(collateral !== undefined, name);
  const ours = await appraiseIntel({
    ...appraisal,
    policy: LENIENT,
    ...(cache === undefined ? {} : { cache }),
  });
  const pemOnly = quote !== original && ours.tier === "affirming" &&
    certificatesOf(quote) === certificatesOf(original);
  return difference(ours, peerVerify(quote, collateral, root, now), name, pemOnly);
}

const vectors = intelVectorsOrSkip("second opinion on real evidence").flatMap((vector): Input[] => {
  const { name, tee, quote, endorsements, now } = vector;
  if (quote === undefined || peerCollateral(endorsements) === undefined) return [];
  const root = vector.files.get("trustedRootCaCert.pem");
  if (root !== undefined) return [];
  return [{ name, appraisal: { tee, quote, endorsements, now } }];
});

for (const input of vectors) {
  Deno.test(`appraise() and the peer agree: ${input.name}`, async () => {
    const why = await compare(input);
    // Here the PCK list and the QE identity were issued minutes after the clock of the manifest.
    assertEquals(why, undefined);
  });
}

const TDX: PlatformOptions = { tee: "TDX", quoteVersion: 5, bodyType: 3 };
const SGX: PlatformOptions = { tee: "SGX", quoteVersion: 3, bodyType: 1 };
const zeros = Array<number>(16).fill(0);

function withStatus(base: PlatformOptions, status: string, qeIsvSvn = 6): PlatformOptions {
  const level = tcbLevel({ ...base, components: zeros, pceSvn: 0 }, status);
  return { ...base, qeIsvSvn, tcbInfo: (info) => ({ ...info, tcbLevels: [level] }) };
}

/** Platforms of the test hierarchy; `why` is the difference, if there is one. */
const PLATFORMS: readonly (readonly [name: string, options: PlatformOptions, why?: string])[] = [
  ["SGX version 3", SGX],
  ["SGX version 4", { ...SGX, quoteVersion: 4 }, "SGX quotes of versions 4 and 5 exist"],
  ["TDX version 4", { tee: "TDX", quoteVersion: 4, bodyType: 2 }],
  ["TDX version 5, body 2", { tee: "TDX", quoteVersion: 5, bodyType: 2 }],
  ["TDX version 5, body 3", TDX],
  ...[...LENIENT.tcbStatuses.slice(0, 6), "Revoked"].flatMap((status) => [
    [`SGX ${status}`, withStatus(SGX, status)] as const,
    [`TDX ${status}`, withStatus(TDX, status)] as const,
  ]),
  ["QE out of date", { ...SGX, qeIsvSvn: 5 }],
  [
    "configuration needed and QE out of date",
    withStatus(SGX, "ConfigurationNeeded", 5),
    "it takes the worse of two, Intel's library merges",
  ],
  ["QE below every level", { ...SGX, qeIsvSvn: 4 }],
  ["PCK revoked", { ...SGX, revokedByAuthority: ["pck"] }],
  ["PCK CA revoked", { ...TDX, revokedByRoot: ["platform"] }],
  ["TCB signing revoked", { ...TDX, revokedByRoot: ["tcbSigning"] }],
  ["debug enclave", { ...SGX, body: { 48: "07" } }],
  ["debug TD", { ...TDX, body: { 120: "01" } }],
  ["SEPT_VE_DISABLE off", { ...TDX, body: { 123: "00" } }],
  ["migratable", { ...TDX, body: { 123: "30" } }],
  ["reserved TD attribute", { ...TDX, body: { 122: "02" } }],
  ["PKS, KL, PERFMON", { ...TDX, body: { 123: "d0", 127: "80" } }],
  ["service TD", { ...TDX, body: { 600: "01" } }],
  ["QE debug", { ...SGX, qeBody: { 48: "17" } }],
  ["other FMSPC", { ...SGX, tcbInfo: (info) => ({ ...info, fmspc: "000000000000" }) }],
  [
    "other PCE id",
    { ...SGX, tcbInfo: (info) => ({ ...info, pceId: "0100" }) },
    "it does not compare PCE ids",
  ],
  ["TCB info past", {
    ...TDX,
    tcbInfo: (info) => ({ ...info, nextUpdate: "2026-06-15T11:59:59Z" }),
  }],
  ["TCB info to come", {
    ...TDX,
    tcbInfo: (info) => ({ ...info, issueDate: "2026-06-15T12:00:01Z" }),
  }],
  ["PCK past", { ...SGX, pckDates: { notAfter: TEST_NOW - 86_400_000 } }],
  [
    "lists past",
    { ...SGX, crlDates: { thisUpdate: TEST_NOW - 2000, nextUpdate: TEST_NOW - 1000 } },
    "it does not look at the dates of lists",
  ],
  [
    "enclave with a reserved flag",
    { ...SGX, body: { 48: "0d" } },
    "it does not look at reserved bits of enclaves",
  ],
  [
    "TDX module of another signer",
    { ...TDX, body: { 64: "01" } },
    "it does not look at the TDX module's identity",
  ],
  [
    "TDX module revoked",
    {
      ...TDX,
      tcbInfo: (info) => ({
        ...info,
        tdxModuleIdentities: [moduleIdentity("TDX_01", [[3, "Revoked"]])],
      }),
    },
    "it does not look at the TDX module's identity",
  ],
  [
    "TDX module SVN below the level's, module up to date",
    {
      ...TDX,
      body: { 0: "02" },
      tcbInfo: (info) => ({
        ...info,
        tcbLevels: [tcbLevel({ ...TDX, components: zeros, pceSvn: 0 }, "UpToDate")],
        tdxModuleIdentities: [moduleIdentity("TDX_01", [[2, "UpToDate"]])],
      }),
    },
    "it compares TDX components 0 and 1, which Intel's library skips",
  ],
];

for (const [name, options, why] of PLATFORMS) {
  Deno.test(`appraise() and the peer agree, or differ for the reason given: ${name}`, async () => {
    const { quote, endorsements, pki } = await makePlatform(options);
    const appraisal = { tee: options.tee, quote, endorsements, now: TEST_NOW, root: pki.root };
    assertEquals(await compare({ name, appraisal }), why);
  });
}

/** A small generator with a seed, so that a failure can be repeated. */
function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function mutated(bytes: Bytes, next: () => number): Bytes {
  const at = Math.floor(next() * bytes.length);
  switch (Math.floor(next() * 6)) {
    case 0:
      return bytes.slice(0, at);
    case 1: {
      const out = new Uint8Array(bytes.length + 1);
      out.set(bytes.subarray(0, at));
      out.set(bytes.subarray(at), at + 1);
      out[at] = Math.floor(next() * 256);
      return out;
    }
    default: {
      const out = bytes.slice();
      out[at] = (out[at] ?? 0) ^ (1 << Math.floor(next() * 8));
      return out;
    }
  }
}

Deno.test("appraise() and the peer agree on mutated quotes and collateral", async () => {
  const inputs: Input[] = [...vectors];
  for (const options of [SGX, TDX]) {
    const { quote, endorsements, pki } = await makePlatform(options);
    const appraisal = { tee: options.tee, quote, endorsements, now: TEST_NOW, root: pki.root };
    inputs.push({ name: `test ${options.tee}`, appraisal });
  }
  const next = random(20261122);
  const cache = new DcapCache();
  const rounds = nightly() ? 20_000 : 150;
  const reasons = new Map<string, number>();
  for (let round = 0; round < rounds; round++) {
    const input = inputs[round % inputs.length];
    if (input === undefined) break;
    const { appraisal } = input;
    const which = Math.floor(next() * 3);
    const endorsements = [...appraisal.endorsements];
    const index = Math.floor(next() * endorsements.length);
    const item = endorsements[index];
    if (which === 0 && item !== undefined) {
      endorsements[index] = { ...item, data: mutated(item.data, next) };
      // Without an item the peer has nothing to say.
      if (peerCollateral(endorsements) === undefined) continue;
    }
    const quote = which === 0 ? appraisal.quote : mutated(appraisal.quote, next);
    const name = `${input.name}, round ${round}`;
    const changed = { name, appraisal: { ...appraisal, quote, endorsements } };
    const why = await compare(changed, appraisal.quote, cache);
    if (why !== undefined) reasons.set(why, (reasons.get(why) ?? 0) + 1);
  }
  assert([...reasons.values()].reduce((sum, count) => sum + count, 0) < rounds / 2);
});
