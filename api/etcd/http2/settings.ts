/** SETTINGS (RFC 9113, 6.5): ours, and those of a client that mean anything to a server. */
import {
  ConnectionError,
  DEFAULT_FRAME_BYTES,
  ERROR,
  MAX_WINDOW_BYTES,
  readU32,
  SETTING,
  writeU32,
} from "./frames.ts";
import type { ConnectionLimits } from "./limits.ts";

/** The payload of the server's own SETTINGS. */
export function encodeSettings(limits: ConnectionLimits): Uint8Array {
  const settings = [
    [SETTING.maxConcurrentStreams, limits.maxConcurrentStreams],
    [SETTING.initialWindowSize, limits.streamWindowBytes],
    [SETTING.maxHeaderListSize, limits.maxHeaderListBytes],
  ] as const;
  const payload = new Uint8Array(settings.length * 6);
  settings.forEach(([name, value], i) => {
    payload[i * 6 + 1] = name;
    writeU32(payload, i * 6 + 2, value);
  });
  return payload;
}

/** A client's setting that this server follows. */
export type PeerSetting =
  | { readonly name: "initialWindowSize"; readonly value: number }
  | { readonly name: "maxFrameSize"; readonly value: number };

/** Those of a client's SETTINGS, in order. @throws {ConnectionError} for a value out of range */
export function decodeSettings(payload: Uint8Array): PeerSetting[] {
  if (payload.length % 6 !== 0) throw new ConnectionError(ERROR.frameSize, "SETTINGS length");
  const settings: PeerSetting[] = [];
  for (let at = 0; at < payload.length; at += 6) {
    const value = readU32(payload, at + 2);
    switch ((payload[at]! << 8) | payload[at + 1]!) {
      case SETTING.initialWindowSize:
        if (value > MAX_WINDOW_BYTES) {
          throw new ConnectionError(ERROR.flowControl, "initial window above 2^31 - 1");
        }
        settings.push({ name: "initialWindowSize", value });
        break;
      case SETTING.maxFrameSize:
        if (value < DEFAULT_FRAME_BYTES || value > 0xff_ffff) {
          throw new ConnectionError(ERROR.protocol, `maximum frame size ${value}`);
        }
        settings.push({ name: "maxFrameSize", value });
        break;
      case SETTING.enablePush:
        if (value > 1) throw new ConnectionError(ERROR.protocol, `ENABLE_PUSH ${value}`);
        break;
    }
  }
  return settings;
}
