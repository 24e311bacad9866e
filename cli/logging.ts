/**
 * Logs: pretty on a terminal, JSON lines otherwise, to standard error. What looks like a token or a
 * key is redacted on the way out, by field name and by shape, whoever wrote the line.
 */
import { configure, dispose, getJsonLinesFormatter, getLogger } from "@logtape/logtape";
import type { Logger, LogRecord, Sink } from "@logtape/logtape";
import { getPrettyFormatter } from "@logtape/pretty";
import { redactByField, redactByPattern } from "@logtape/redaction";
import type { LogLevel } from "../config.ts";

const SECRET_FIELDS = [
  /token/i,
  /secret/i,
  /passw/i,
  /authorization/i,
  /cookie/i,
  /private[-_]?key/i,
  /seed/i,
  /^kek$/i,
  /^dek$/i,
];

/**
 * Shapes of secrets inside messages: bearer headers, Seal tokens, session and admin tokens.
 * `seal_token` and the codes of refusals (`seal_token_wrong_owner`) are words, and no tokens.
 */
const SECRET_PATTERNS = [
  { pattern: /\bBearer\s+[\w.~+/=-]+/gi, replacement: "Bearer [redacted]" },
  { pattern: /\bseal_(?!token(?:_[a-z]+)*(?![\w-]|\.\w))[\w.-]+/g, replacement: "seal_[redacted]" },
  { pattern: /\bnts_[\w-]+/g, replacement: "nts_[redacted]" },
  { pattern: /\beyJ[\w-]+\.[\w-]+\.[\w-]+/g, replacement: "[redacted session]" },
  { pattern: /\bsuiprivkey1[a-z0-9]+/g, replacement: "[redacted key]" },
  { pattern: /\bnautilus-(?:session|admin)\.[\w.-]+/g, replacement: "[redacted token]" },
  { pattern: /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?-----END/g, replacement: "[redacted key]" },
];

export interface Logging extends AsyncDisposable {
  readonly log: Logger;
}

/**
 * Configures logging for this process; called once, by a command.
 * @param fields stand on every record (node_id, tee_type).
 */
export async function startLogging(options: {
  readonly level: LogLevel;
  readonly terminal: boolean;
  readonly write: (text: string) => void;
  readonly fields: Readonly<Record<string, unknown>>;
}): Promise<Logging> {
  const format = redactByPattern(
    options.terminal
      ? getPrettyFormatter({ timestamp: "time", properties: true, wordWrap: false, icons: false })
      : getJsonLinesFormatter({ properties: "flatten" }),
    SECRET_PATTERNS,
  );
  const sink: Sink = (record: LogRecord) => options.write(format(record));
  await configure({
    sinks: {
      stderr: redactByField(sink, { fieldPatterns: SECRET_FIELDS, action: () => "[redacted]" }),
    },
    loggers: [
      {
        category: "nautilus",
        lowestLevel: options.level === "warn" ? "warning" : options.level,
        sinks: ["stderr"],
      },
      { category: ["logtape", "meta"], lowestLevel: "error", sinks: ["stderr"] },
    ],
    reset: true,
  });
  return {
    log: getLogger("nautilus").with(options.fields),
    [Symbol.asyncDispose]: () => dispose(),
  };
}
