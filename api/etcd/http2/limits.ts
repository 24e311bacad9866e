/** What one HTTP/2 connection may cost. */
export interface ConnectionLimits {
  /** Streams open at once; more are refused with REFUSED_STREAM. */
  readonly maxConcurrentStreams: number;
  /** What a client may send on a stream before it is told to go on. */
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
  /** Names, values and 32 a field, of one request. */
  readonly maxHeaderListBytes: number;
  /** How many streams more a client may reset than it lets finish, before it is sent away. */
  readonly maxResets: number;
  /** The preface and the settings must be there by then. */
  readonly prefaceTimeoutMs: number;
}

export const DEFAULT_LIMITS: ConnectionLimits = {
  maxConcurrentStreams: 10_000,
  streamWindowBytes: 262_144,
  connectionWindowBytes: 4_194_304,
  maxHeaderListBytes: 16_384,
  maxResets: 2_000,
  prefaceTimeoutMs: 10_000,
};
