/** Pinned vendor certificates; see types.ts. */
export * from "./types.ts";
export * from "./amd.ts";
export * from "./aws.ts";
export * from "./intel.ts";
