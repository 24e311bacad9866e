/**
 * The security processor's side of SEV-SNP for one chip and one guest: signs real reports with a
 * VCEK of a test hierarchy, derives keys from a chip secret under the firmware's rules, and fails
 * as it is told to.
 */
import { createHmac } from "node:crypto";
import type { Bytes } from "../../../backends/mod.ts";
import { FIELD } from "../../../backends/sev_snp/ioctl_abi.ts";
import type { AmdTestPki } from "./pki.ts";

export interface GuestSpec {
  /** 48 bytes. */
  readonly measurement: Bytes;
  readonly vmpl: number;
  readonly guestSvn: number;
  readonly policy: bigint;
  /** 16 bytes each. */
  readonly familyId: Bytes;
  readonly imageId: Bytes;
  /** 48 bytes; zeros: launched without an ID block. */
  readonly idKeyDigest: Bytes;
}

export interface Tcb {
  readonly bootloader: number;
  readonly tee: number;
  readonly snp: number;
  readonly microcode: number;
}

export const PLAIN_GUEST: GuestSpec = {
  measurement: new Uint8Array(48).fill(0x4d),
  vmpl: 0,
  guestSvn: 3,
  policy: 0x30000n,
  familyId: new Uint8Array(16).fill(0xfa),
  imageId: new Uint8Array(16).fill(0x1a),
  idKeyDigest: new Uint8Array(48),
};
export const TCB: Tcb = { bootloader: 4, tee: 0, snp: 23, microcode: 210 };

const STATUS = { success: 0, invalidParam: 0x16 } as const;

/** 8 bytes as they stand in a report of family 19h. */
export function tcbBytes(tcb: Tcb): Bytes {
  return Uint8Array.of(tcb.bootloader, tcb.tee, 0, 0, 0, 0, tcb.snp, tcb.microcode);
}

export interface FakeFirmware {
  readonly guest: GuestSpec;
  /** 1184 bytes, signed; or a status. */
  report(userData: Bytes, vmpl: number): Promise<{ status: number; report: Bytes }>;
  derivedKey(request: Bytes): { status: number; key: Bytes };
  /** VCEK, ASK and ARK as an extended report's table. */
  readonly certificateTable: Bytes;
}

/** GUIDs of the table's entries, as they stand in it. */
const GUID = {
  vcek: "63da758de6644564adc5f4b93be8accd",
  ask: "4ab7b379bbac4fe4a02f05aef327c782",
  ark: "c0b406a4a803495297433fb6014cd0ae",
} as const;

export function certificateTable(entries: readonly (readonly [guid: string, der: Bytes])[]): Bytes {
  const start = (entries.length + 1) * 24;
  const out = new Uint8Array(entries.reduce((sum, [, der]) => sum + der.length, start));
  const view = new DataView(out.buffer);
  let offset = start;
  for (const [index, [guid, der]] of entries.entries()) {
    out.set(Uint8Array.fromHex(guid), index * 24);
    view.setUint32(index * 24 + 16, offset, true);
    view.setUint32(index * 24 + 20, der.length, true);
    out.set(der, offset);
    offset += der.length;
  }
  return out;
}

export async function makeFirmware(options: {
  readonly pki: AmdTestPki;
  /** 64 bytes; also what the chip's secret comes from. */
  readonly chipId: Bytes;
  readonly guest?: GuestSpec;
  readonly tcb?: Tcb;
}): Promise<FakeFirmware> {
  const { pki, chipId, guest = PLAIN_GUEST, tcb = TCB } = options;
  const vcek = await pki.vcek({ chipId, ...tcb });
  const chipSecret = createHmac("sha256", "a fake chip").update(chipId).digest();

  async function report(userData: Bytes, vmpl: number): Promise<{ status: number; report: Bytes }> {
    if (vmpl < guest.vmpl || vmpl > 3) {
      return { status: STATUS.invalidParam, report: new Uint8Array(0) };
    }
    const out = new Uint8Array(1184);
    const view = new DataView(out.buffer);
    view.setUint32(0x00, 3, true);
    view.setUint32(0x04, guest.guestSvn, true);
    view.setBigUint64(0x08, guest.policy, true);
    out.set(guest.familyId, 0x10);
    out.set(guest.imageId, 0x20);
    view.setUint32(0x30, vmpl, true);
    view.setUint32(0x34, 1, true);
    for (const at of [0x38, 0x180, 0x1e0, 0x1f0]) out.set(tcbBytes(tcb), at);
    view.setBigUint64(0x40, 1n, true);
    out.set(userData, 0x50);
    out.set(guest.measurement, 0x90);
    out.set(guest.idKeyDigest, 0xe0);
    out.fill(0x1d, 0x140, 0x160);
    out.fill(0xff, 0x160, 0x180);
    out.set([0x19, 0x01, 0x01], 0x188);
    out.set(chipId, 0x1a0);
    for (const at of [0x1e8, 0x1ec]) out.set([9, 55, 1], at);
    const signature = new Uint8Array(
      await crypto.subtle.sign(
        { name: "ECDSA", hash: "SHA-384" },
        vcek.key,
        out.subarray(0, 0x2a0),
      ),
    );
    out.set(signature.subarray(0, 48).toReversed(), 0x2a0);
    out.set(signature.subarray(48).toReversed(), 0x2e8);
    return { status: STATUS.success, report: out };
  }

  function derivedKey(request: Bytes): { status: number; key: Bytes } {
    const view = new DataView(request.buffer, request.byteOffset, request.byteLength);
    const fields = view.getBigUint64(8, true);
    const wantedTcb = request.subarray(24, 32);
    const committed = tcbBytes(tcb);
    const svn = view.getUint32(20, true);
    const none = new Uint8Array(32);
    if (
      view.getUint32(4, true) !== 0 || fields >> 6n !== 0n ||
      view.getUint32(16, true) < guest.vmpl || svn > guest.guestSvn ||
      wantedTcb.some((byte, index) => byte > (committed[index] ?? 0))
    ) return { status: STATUS.invalidParam, key: none };
    const mac = createHmac("sha256", chipSecret).update(request.subarray(0, 20));
    const mix = (field: bigint, data: Uint8Array): void => {
      if ((fields & field) !== 0n) mac.update(data);
    };
    const policy = new Uint8Array(8);
    new DataView(policy.buffer).setBigUint64(0, guest.policy, true);
    mix(FIELD.policy, policy);
    mix(FIELD.imageId, guest.imageId);
    mix(FIELD.familyId, guest.familyId);
    mix(FIELD.measurement, guest.measurement);
    mix(FIELD.guestSvn, request.subarray(20, 24));
    mix(FIELD.tcbVersion, wantedTcb);
    return { status: STATUS.success, key: new Uint8Array(mac.digest()) };
  }

  return {
    guest,
    report,
    derivedKey,
    certificateTable: certificateTable([
      [GUID.vcek, vcek.certificate],
      [GUID.ask, pki.ask],
      [GUID.ark, pki.ark],
    ]),
  };
}
