/** Kubernetes' format library: the names and labels of its objects, and a few formats of schemas. */
import { formatProblem } from "../../formats.ts";
import type { Signatures } from "../functions.ts";
import { FormatValue, ListValue, OptionalValue } from "../values.ts";
import { Url } from "./url_value.ts";

type Validate = (value: string) => readonly string[];

const LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const LABEL_TEXT =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";
const SUBDOMAIN = `${LABEL}(\\.${LABEL})*`;
const SUBDOMAIN_TEXT =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
const DNS1035 = "[a-z]([-a-z0-9]*[a-z0-9])?";
const DNS1035_TEXT =
  "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character";
const QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const QUALIFIED_TEXT =
  "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
const LABEL_VALUE = `(${QUALIFIED})?`;
const LABEL_VALUE_TEXT =
  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";

/** As apimachinery's RegexError. */
function patternText(text: string, pattern: string, ...examples: readonly string[]): string {
  const shown = examples.map((example) => `'${example}', `).join(" or ");
  return `${text} (e.g. ${shown}regex used for validation is '${pattern}')`;
}

/** Looks at no more than may be valid: these patterns are ours, and go back. */
function fits(value: string, pattern: string, most: number): boolean {
  return value.length <= most && new RegExp(`^(?:${pattern})$`).test(value);
}

function tooLong(value: string, most: number): readonly string[] {
  return value.length > most ? [`must be no more than ${most} bytes`] : [];
}

function named(pattern: string, text: string, most: number, ...examples: string[]): Validate {
  return (value) => [
    ...tooLong(value, most),
    ...(fits(value, pattern, most) ? [] : [patternText(text, pattern, ...examples)]),
  ];
}

/** Of a prefix, which may end in dashes, all but those counts. */
function prefix(validate: Validate): Validate {
  return (value) =>
    validate(value.length > 1 && value.endsWith("-") ? `${value.slice(0, -2)}a` : value);
}

function qualifiedName(value: string): readonly string[] {
  const parts = value.split("/");
  const errors: string[] = [];
  let [name = ""] = parts;
  if (parts.length === 2) {
    const [domain = ""] = parts;
    name = parts[1] ?? "";
    if (domain === "") errors.push("prefix part must be non-empty");
    else errors.push(...subdomain(domain).map((text) => `prefix part ${text}`));
  } else if (parts.length > 2) {
    return [
      `a qualified name ${
        patternText(QUALIFIED_TEXT, QUALIFIED, "MyName", "my.name", "123-abc")
      } with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`,
    ];
  }
  if (name === "") errors.push("name part must be non-empty");
  else errors.push(...tooLong(name, 63).map((text) => `name part ${text}`));
  if (!fits(name, QUALIFIED, 63)) {
    errors.push(
      `name part ${patternText(QUALIFIED_TEXT, QUALIFIED, "MyName", "my.name", "123-abc")}`,
    );
  }
  return errors;
}

const label = named(LABEL, LABEL_TEXT, 63, "my-name", "123-abc");
const subdomain = named(SUBDOMAIN, SUBDOMAIN_TEXT, 253, "example.com");
const dns1035 = named(DNS1035, DNS1035_TEXT, 63, "my-name", "abc-123");

function schemaFormat(format: string, text: string): Validate {
  return (value) => formatProblem(value, format) ? [text] : [];
}

const FORMATS: Readonly<Record<string, Validate>> = {
  dns1123Label: label,
  dns1123Subdomain: subdomain,
  dns1035Label: dns1035,
  qualifiedName,
  dns1123LabelPrefix: prefix(label),
  dns1123SubdomainPrefix: prefix(subdomain),
  dns1035LabelPrefix: prefix(dns1035),
  labelValue: named(LABEL_VALUE, LABEL_VALUE_TEXT, 63, "MyValue", "my_value", "12345"),
  uri: (value) =>
    Url.parse(value) === undefined
      ? [`parse ${JSON.stringify(value.slice(0, 128))}: invalid URI for request`]
      : [],
  uuid: schemaFormat("uuid", "does not match the UUID format"),
  byte: schemaFormat("byte", "invalid base64"),
  date: schemaFormat("date", "invalid date"),
  datetime: schemaFormat("datetime", "invalid datetime"),
};

export function formatFunctions(): Signatures {
  const constants = Object.entries(FORMATS).map(([name, validate]) =>
    [`format::${name}(): format`, () => new FormatValue(name, validate)] as const
  );
  return {
    ...Object.fromEntries(constants),
    "format::named(string): optional<format>": (args) => {
      const name = args.text(0);
      const validate = Object.hasOwn(FORMATS, name) ? FORMATS[name] : undefined;
      return new OptionalValue(validate && new FormatValue(name, validate));
    },
    "format.validate(string): optional<list<string>>": (args, meter) => {
      const text = args.text(1);
      meter.spend(Math.ceil(text.length / 10) * 16);
      const problems = args.format(0).validate(text);
      return new OptionalValue(problems.length === 0 ? undefined : new ListValue(problems));
    },
  };
}
