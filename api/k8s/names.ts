/** Names as Kubernetes validates them (RFC 1123 labels and subdomains, path segments). Pure. */

const LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const RFC1035_LABEL = /^[a-z]([-a-z0-9]*[a-z0-9])?$/;

/** At most 63 characters. */
export function isDns1123Label(name: string): boolean {
  return name.length <= 63 && LABEL.test(name);
}

/** At most 253 characters. */
export function isDns1123Subdomain(name: string): boolean {
  return name.length <= 253 && SUBDOMAIN.test(name);
}

/** At most 63 characters, starting with a letter: names of services. */
export function isDns1035Label(name: string): boolean {
  return name.length <= 63 && RFC1035_LABEL.test(name);
}

/** Anything that can be one segment of a path; rbac names may hold `:`. */
export function isPathSegment(name: string): boolean {
  // deno-lint-ignore no-control-regex
  return name.length > 0 && name.length <= 253 && !/[/%\u0000-\u001f\u007f]/.test(name) &&
    name !== "." && name !== "..";
}

/** Which rule the names of a resource follow. */
export type NameRule = "label" | "subdomain" | "dns1035" | "path";

const RULES: Readonly<Record<NameRule, { check: (name: string) => boolean; text: string }>> = {
  label: {
    check: isDns1123Label,
    text:
      "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', start and end with an alphanumeric character, and be 63 characters at most",
  },
  subdomain: {
    check: isDns1123Subdomain,
    text:
      "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', start and end with an alphanumeric character, and be 253 characters at most",
  },
  dns1035: {
    check: isDns1035Label,
    text:
      "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, end with an alphanumeric character, and be 63 characters at most",
  },
  path: { check: isPathSegment, text: "may not contain '/' or '%', nor be '.' or '..'" },
};

/** Why a name is refused; undefined where it is fine. */
export function nameProblem(name: string, rule: NameRule): string | undefined {
  const { check, text } = RULES[rule];
  return check(name) ? undefined : text;
}

const LABEL_NAME = /^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;

/** A label or annotation key: an optional DNS prefix, `/`, then 63 characters of a qualified name. */
export function isQualifiedName(key: string): boolean {
  const slash = key.indexOf("/");
  if (slash === -1) return LABEL_NAME.test(key);
  const prefix = key.slice(0, slash);
  return isDns1123Subdomain(prefix) && LABEL_NAME.test(key.slice(slash + 1));
}

/** A label's value: empty, or 63 characters of letters, digits, `-`, `_`, `.`. */
export function isLabelValue(value: string): boolean {
  return value === "" || LABEL_NAME.test(value);
}
