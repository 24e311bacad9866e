/** A header block that is not HPACK: the connection's compression state is lost (RFC 9113, 4.3). */
export class HpackError extends Error {
  override readonly name = "HpackError";
  readonly code = "COMPRESSION_ERROR";
}
