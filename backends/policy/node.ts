/** The policy section of a Nautilus node: what its own bundle must say. */
import * as v from "valibot";
import { anyOrList, hex, PositiveSeconds } from "./schema.ts";

export const Covers = v.picklist(["program", "image", "helper", "none"]);

export const NodeSection = v.strictObject({
  /** What the measurement must stand for. `helper` and `none` leave the running master uncovered. */
  covers: v.optional(v.pipe(v.array(Covers), v.minLength(1)), ["program", "image"]),
  /** SHA-256 of the node's sealed configuration. */
  configDigests: v.optional(anyOrList(hex(32)), "any"),
  storeIds: v.optional(anyOrList(hex(16)), "any"),
  incarnations: v.optional(anyOrList(hex(16)), "any"),
  /** `enclave_id` of the nodes that will do: the first 16 bytes of SHA-256 of their identity key. */
  enclaveIds: v.optional(anyOrList(hex(16)), "any"),
  /** Measurements that an admin may have authorised to open the store after an upgrade. */
  successors: v.optional(
    v.union([v.literal("any"), v.array(v.pipe(v.string(), v.regex(/^(?:[0-9a-f]{2}){16,64}$/)))]),
    [],
  ),
  /** Evidence that answers no nonce can be a replay: its age is all there is. */
  allowNonceless: v.optional(v.boolean(), false),
  /** Age of the signed statement. */
  maxAgeSeconds: v.optional(PositiveSeconds, 300),
  /** Node and verifier clocks may differ by so much. */
  clockSkewSeconds: v.optional(
    v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(3600)),
    60,
  ),
});
export type NodeSection = v.InferOutput<typeof NodeSection>;
