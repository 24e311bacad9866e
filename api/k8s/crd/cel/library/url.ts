/** Kubernetes' URL library. */
import type { Arguments, Signatures } from "../functions.ts";
import { type Meter, PARSE_COST } from "../meter.ts";
import { EvaluationError, ListValue, MapValue } from "../values.ts";
import { Url } from "./url_value.ts";

function paid(args: Arguments, meter: Meter): string {
  const text = args.text(0);
  meter.spend(PARSE_COST);
  meter.spendBytes(text.length);
  return text;
}

export function urlFunctions(): Signatures {
  const url = (args: Arguments) => args.of(0, Url);
  return {
    "url(string): url": (args, meter) => {
      const text = paid(args, meter);
      const parsed = Url.parse(text);
      if (parsed !== undefined) return parsed;
      throw new EvaluationError(
        `URL parse error during conversion from string: parse "${
          text.slice(0, 128)
        }": invalid URI for request`,
      );
    },
    "isURL(string): bool": (args, meter) => Url.parse(paid(args, meter)) !== undefined,
    "url.getScheme(): string": (args) => url(args).scheme,
    "url.getHost(): string": (args) => url(args).host,
    "url.getHostname(): string": (args) => url(args).hostname,
    "url.getPort(): string": (args) => url(args).port,
    "url.getEscapedPath(): string": (args, meter) => {
      meter.spendBytes(url(args).path.length * 3);
      return url(args).escapedPath;
    },
    "url.getQuery(): map<string, list<string>>": (args, meter) => {
      const { query } = url(args);
      meter.spendBytes(query.length * 3);
      const parameters = [...url(args).parameters()];
      meter.spend(parameters.length);
      return new MapValue(
        new Map(parameters.map(([name, values]) => [name, new ListValue(values)])),
      );
    },
  };
}
