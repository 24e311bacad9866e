/** URLs as Go's net/url.ParseRequestURI takes them: absolute, or an absolute path. */

export class Url {
  readonly celType = "kubernetes.URL";

  constructor(
    readonly text: string,
    readonly scheme: string,
    readonly host: string,
    readonly path: string,
    readonly query: string,
  ) {}

  equals(other: unknown): boolean {
    return other instanceof Url && other.text === this.text;
  }

  get hostname(): string {
    const bracketed = /^\[(.*)\]/.exec(this.host)?.[1];
    return bracketed ?? this.host.replace(/:\d*$/, "");
  }

  get port(): string {
    return /:(\d*)$/.exec(this.host.replace(/^\[.*\]/, ""))?.[1] ?? "";
  }

  /** Values by name, both unescaped, in the order they stand. */
  parameters(): ReadonlyMap<string, readonly string[]> {
    const all = new Map<string, string[]>();
    for (const part of this.query.split("&")) {
      if (part === "" || part.includes(";")) continue;
      const at = part.indexOf("=");
      const name = unescaped((at < 0 ? part : part.slice(0, at)).replaceAll("+", " "));
      const value = unescaped((at < 0 ? "" : part.slice(at + 1)).replaceAll("+", " "));
      // As there: a parameter that cannot be unescaped is left out.
      if (name === undefined || value === undefined) continue;
      all.set(name, [...all.get(name) ?? [], value]);
    }
    return all;
  }

  /** Undefined: no such URL. */
  static parse(text: string): Url | undefined {
    // deno-lint-ignore no-control-regex
    if (text === "" || /[\x00-\x1f\x7f]/.test(text)) return undefined;
    const match = /^(?:([A-Za-z][A-Za-z0-9+.-]*):)?(.*)$/s.exec(text);
    const scheme = (match?.[1] ?? "").toLowerCase();
    const [rest = ""] = (match?.[2] ?? "").split("#", 1);
    const at = rest.indexOf("?");
    const [before, query] = at < 0 ? [rest, ""] : [rest.slice(0, at), rest.slice(at + 1)];
    if (!before.startsWith("/")) {
      // Opaque: mailto:someone.
      return scheme === "" ? undefined : new Url(text, scheme, "", "", query);
    }
    const isNet = before.startsWith("//") && (scheme !== "" || before.startsWith("///") === false);
    const [, authority = "", path = ""] = isNet
      ? /^\/\/([^/]*)(.*)$/s.exec(before) ?? []
      : ["", "", before];
    // Without a scheme, a request URI is a path, slashes and all.
    if (scheme === "") return isEscaped(before) ? new Url(text, "", "", before, query) : undefined;
    const host = hostOf(authority);
    if (host === undefined || !isEscaped(path)) return undefined;
    return new Url(text, scheme, host, path, query);
  }

  /** The path as it is sent. */
  get escapedPath(): string {
    return [...this.path].map((character) =>
      /[A-Za-z0-9\-_.~$&+,/:;=@!'()*%[\]]/.test(character)
        ? character
        : encodeURIComponent(character.toWellFormed())
    ).join("");
  }
}

function unescaped(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

/** Every % begins two hexadecimal digits. */
function isEscaped(text: string): boolean {
  return !/%(?![0-9A-Fa-f]{2})/.test(text);
}

function hostOf(authority: string): string | undefined {
  const at = authority.lastIndexOf("@");
  const user = at < 0 ? "" : authority.slice(0, at);
  const host = authority.slice(at + 1);
  if (!/^[A-Za-z0-9\-._:~!$&'()*+,;=%@]*$/.test(user) || !isEscaped(user)) return undefined;
  const match = /^(\[[0-9A-Za-z:.%\-_~]*\]|[^[\]:]*)(:\d*)?$/.exec(host);
  if (match === null) return undefined;
  const [, name = ""] = match;
  // Of characters in a host, Go refuses those that are never one.
  if (/[\s#<>\\^`{|}]/.test(name) || /%(?!25)/.test(name)) return undefined;
  return host;
}
