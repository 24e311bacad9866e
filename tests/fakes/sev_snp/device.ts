/** `/dev/sev-guest` as a FUSE file: the driver's part over a fake firmware, faults included. */
import { type CallerMemory, EINVAL, EIO, ENOTTY, Errno, type FakeFile } from "../fuse/server.ts";
import type { FakeFirmware } from "./firmware.ts";

/** What goes wrong in one call; nothing: undefined. */
export interface DeviceFault {
  /** The call waits for it, as for a slow security processor. */
  readonly until?: Promise<void>;
  readonly errno?: number;
  readonly fwError?: number;
  readonly vmmError?: number;
  /** Instead of what the firmware answered; may be shorter. */
  readonly response?: (response: Uint8Array) => Uint8Array;
}

export interface FakeSevGuest {
  readonly file: FakeFile;
  /** Asked at every call. */
  fault: (command: number) => DeviceFault | undefined;
  /** Calls that reached the device, by ioctl number. */
  readonly calls: number[];
}

const GET_REPORT = 0xc0205300, GET_DERIVED_KEY = 0xc0205301, GET_EXT_REPORT = 0xc0205302;
const PAGE = 4096;

export function makeSevGuest(firmware: FakeFirmware): FakeSevGuest {
  async function ioctl(
    command: number,
    argument: Uint8Array,
    memory: CallerMemory,
  ): Promise<number> {
    device.calls.push(command);
    if (![GET_REPORT, GET_DERIVED_KEY, GET_EXT_REPORT].includes(command)) throw new Errno(ENOTTY);
    const view = new DataView(argument.buffer, argument.byteOffset, argument.byteLength);
    if (argument.length !== 32 || argument[0] === 0) throw new Errno(EINVAL);
    const requestAt = view.getBigUint64(8, true);
    const responseAt = view.getBigUint64(16, true);
    const fault = device.fault(command);
    await fault?.until;
    if (fault?.fwError !== undefined) view.setUint32(24, fault.fwError, true);
    if (fault?.vmmError !== undefined) view.setUint32(28, fault.vmmError, true);
    if (fault?.errno !== undefined) throw new Errno(fault.errno);
    const answer = async (response: Uint8Array): Promise<void> =>
      await memory.write(responseAt, fault?.response?.(response) ?? response);

    if (command === GET_DERIVED_KEY) {
      const { status, key } = firmware.derivedKey(await memory.read(requestAt, 32));
      const response = new Uint8Array(64);
      new DataView(response.buffer).setUint32(0, status, true);
      response.set(key, 32);
      await answer(response);
      return 0;
    }
    const extended = command === GET_EXT_REPORT;
    const request = await memory.read(requestAt, extended ? 112 : 96);
    const requestView = new DataView(request.buffer);
    if (request.subarray(68, 96).some(Boolean)) throw new Errno(EINVAL);
    if (extended) {
      const certsAt = requestView.getBigUint64(96, true);
      const certsLength = requestView.getUint32(104, true);
      if (certsLength > 16384 || certsLength % PAGE !== 0) throw new Errno(EINVAL);
      const table = firmware.certificateTable;
      if (certsLength < table.length) {
        const needed = new Uint8Array(4);
        new DataView(needed.buffer).setUint32(0, Math.ceil(table.length / PAGE) * PAGE, true);
        await memory.write(requestAt + 104n, needed);
        view.setUint32(28, 1, true);
        throw new Errno(EIO);
      }
      await memory.write(certsAt, table);
    }
    const { status, report } = await firmware.report(
      request.slice(0, 64),
      requestView.getUint32(64, true),
    );
    const response = new Uint8Array(4000);
    new DataView(response.buffer).setUint32(0, status, true);
    new DataView(response.buffer).setUint32(4, report.length, true);
    response.set(report, 32);
    await answer(response);
    return 0;
  }

  const device: FakeSevGuest = {
    file: { type: "file", mode: 0o600, open: () => ({ ioctl }) },
    fault: () => undefined,
    calls: [],
  };
  return device;
}
