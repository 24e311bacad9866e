import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { compileAndRun, compilerUnavailable } from "../../tests/fakes/c_program.ts";
import { BackendError } from "../errors.ts";
import type { Bytes } from "../mod.ts";
import {
  decodeCertificatesLength,
  decodeDerivedKeyResponse,
  decodeGuestRequest,
  decodeReportResponse,
  DERIVED_KEY_REQUEST,
  DERIVED_KEY_RESPONSE_LENGTH,
  encodeDerivedKeyRequest,
  encodeExtReportRequest,
  encodeGuestRequest,
  encodeReportRequest,
  EXT_REPORT_REQUEST,
  firmwareStatusName,
  GUEST_REQUEST,
  REPORT_REQUEST,
  REPORT_RESPONSE_LENGTH,
  SNP_GET_DERIVED_KEY,
  SNP_GET_EXT_REPORT,
  SNP_GET_REPORT,
} from "./ioctl_abi.ts";

const runs = Deno.env.get("NAUTILUS_NIGHTLY") === "1" ? 1_000_000 : 5_000;
const why = await compilerUnavailable(["linux/sev-guest.h"]);

Deno.test({
  name: "the layout is that of linux/sev-guest.h" +
    (why === undefined ? "" : ` (skipped: ${why})`),
  ignore: why !== undefined,
  fn: async () => {
    const expected = {
      SNP_GET_REPORT: SNP_GET_REPORT,
      SNP_GET_DERIVED_KEY: SNP_GET_DERIVED_KEY,
      SNP_GET_EXT_REPORT: SNP_GET_EXT_REPORT,
      "sizeof(struct snp_guest_request_ioctl)": GUEST_REQUEST.length,
      "offsetof(struct snp_guest_request_ioctl, req_data)": GUEST_REQUEST.requestAt,
      "offsetof(struct snp_guest_request_ioctl, resp_data)": GUEST_REQUEST.responseAt,
      "offsetof(struct snp_guest_request_ioctl, exitinfo2)": GUEST_REQUEST.errorAt,
      "offsetof(struct snp_guest_request_ioctl, fw_error)": GUEST_REQUEST.errorAt,
      "offsetof(struct snp_guest_request_ioctl, vmm_error)": GUEST_REQUEST.errorAt + 4,
      "sizeof(struct snp_report_req)": REPORT_REQUEST.length,
      "sizeof(((struct snp_report_req *)0)->user_data)": REPORT_REQUEST.userDataLength,
      "offsetof(struct snp_report_req, vmpl)": REPORT_REQUEST.vmplAt,
      "sizeof(struct snp_report_resp)": REPORT_RESPONSE_LENGTH,
      "sizeof(struct snp_ext_report_req)": EXT_REPORT_REQUEST.length,
      "offsetof(struct snp_ext_report_req, certs_address)": EXT_REPORT_REQUEST.certsAt,
      "offsetof(struct snp_ext_report_req, certs_len)": EXT_REPORT_REQUEST.certsLengthAt,
      "sizeof(struct snp_derived_key_req)": DERIVED_KEY_REQUEST.length,
      "offsetof(struct snp_derived_key_req, root_key_select)": DERIVED_KEY_REQUEST.rootKeyAt,
      "offsetof(struct snp_derived_key_req, guest_field_select)": DERIVED_KEY_REQUEST.fieldsAt,
      "offsetof(struct snp_derived_key_req, vmpl)": DERIVED_KEY_REQUEST.vmplAt,
      "offsetof(struct snp_derived_key_req, guest_svn)": DERIVED_KEY_REQUEST.guestSvnAt,
      "offsetof(struct snp_derived_key_req, tcb_version)": DERIVED_KEY_REQUEST.tcbAt,
      "sizeof(struct snp_derived_key_resp)": DERIVED_KEY_RESPONSE_LENGTH,
    };
    const names = Object.keys(expected);
    const output = await compileAndRun(`
      #include <stddef.h>
      #include <stdio.h>
      #include <sys/ioctl.h>
      #include <linux/sev-guest.h>
      int main(void) {
        ${names.map((name) => `printf("%lu\\n", (unsigned long)(${name}));`).join("\n")}
        return 0;
      }`);
    const actual = output.trim().split("\n").map(Number);
    assertEquals(Object.fromEntries(names.map((name, i) => [name, actual[i]])), expected);
  },
});

Deno.test("the encoders put fields where they belong and nothing elsewhere", () => {
  const userData = new Uint8Array(64).fill(7);
  assertEquals(encodeGuestRequest().toHex(), "01" + "00".repeat(31));
  assertEquals(encodeReportRequest(userData, 2).toHex(), "07".repeat(64) + "02" + "00".repeat(31));
  const ext = encodeExtReportRequest(userData, 1, 16384);
  assertEquals(ext.toHex().slice(128), "01" + "00".repeat(39) + "00400000" + "00".repeat(4));
  assertEquals(decodeCertificatesLength(ext), 16384);
  const key = encodeDerivedKeyRequest({
    fields: 0x29n,
    vmpl: 1,
    guestSvn: 0x0203,
    tcbVersion: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8),
  });
  assertEquals(
    key.toHex(),
    "0000000000000000" + "2900000000000000" + "01000000" + "03020000" + "0102030405060708",
  );
  assertThrows(() => encodeReportRequest(new Uint8Array(63), 0), RangeError);
});

Deno.test("the decoders answer any bytes with a value or a typed refusal", () => {
  const decoders: ((bytes: Bytes) => unknown)[] = [
    decodeGuestRequest,
    decodeCertificatesLength,
    decodeReportResponse,
    decodeDerivedKeyResponse,
  ];
  const lengths = fc.constantFrom(0, 31, 32, 63, 64, 65, 112, 3999, 4000, 4001);
  fc.assert(
    fc.property(lengths, fc.uint8Array({ maxLength: 64 }), (length, head) => {
      const bytes = new Uint8Array(length);
      bytes.set(head.subarray(0, length));
      for (const decode of decoders) {
        try {
          decode(bytes);
        } catch (error) {
          assert(error instanceof BackendError && error.code === "malformed", String(error));
        }
      }
    }),
    { numRuns: runs },
  );
});

Deno.test("firmwareStatusName() names the documented statuses and numbers the rest", () => {
  assertEquals(firmwareStatusName(0x16), "INVALID_PARAM");
  assertEquals(firmwareStatusName(0x27), "INVALID_KEY");
  assertEquals(firmwareStatusName(0x99), "status 0x99");
});
