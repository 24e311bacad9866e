/** Types of expressions, and whether one fits another (cel-spec, langdef.md, "Gradual Type Checking"). */

export type Type =
  | { readonly kind: "plain"; readonly name: string }
  | { readonly kind: "dyn" }
  | { readonly kind: "list"; readonly item: Type }
  | { readonly kind: "map"; readonly key: Type; readonly value: Type }
  | { readonly kind: "optional"; readonly item: Type }
  | { readonly kind: "type"; readonly of: Type }
  /** Of the API; two are the same where they come of the same place in a schema. */
  | { readonly kind: "object"; readonly field: (name: string) => Type | undefined }
  /** Stands for a type of a signature or of an empty literal, until it is known. */
  | { readonly kind: "variable"; readonly name: string };

const plain = (name: string): Type => ({ kind: "plain", name });

export const INT = plain("int");
export const DOUBLE = plain("double");
export const STRING = plain("string");
export const BOOL = plain("bool");
export const BYTES = plain("bytes");
export const NULL = plain("null");
export const DURATION = plain("duration");
export const TIMESTAMP = plain("timestamp");
export const DYN: Type = { kind: "dyn" };

/** Opaque types of Kubernetes' libraries. */
export const OPAQUE: Readonly<Record<string, Type>> = {
  url: plain("kubernetes.URL"),
  ip: plain("net.IP"),
  cidr: plain("net.CIDR"),
  quantity: plain("kubernetes.Quantity"),
  format: plain("kubernetes.NamedFormat"),
};

export const listOf = (item: Type): Type => ({ kind: "list", item });
export const mapOf = (key: Type, value: Type): Type => ({ kind: "map", key, value });
export const optionalOf = (item: Type): Type => ({ kind: "optional", item });

/** As cel-go writes it in an error. */
export function formatType(type: Type): string {
  switch (type.kind) {
    case "plain":
      return type.name === "duration" || type.name === "timestamp"
        ? `google.protobuf.${type.name === "duration" ? "Duration" : "Timestamp"}`
        : type.name;
    case "dyn":
    case "variable":
      return "dyn";
    case "list":
      return `list(${formatType(type.item)})`;
    case "map":
      return `map(${formatType(type.key)}, ${formatType(type.value)})`;
    case "optional":
      return `optional_type(${formatType(type.item)})`;
    case "type":
      return `type(${formatType(type.of)})`;
    case "object":
      return "object";
  }
}

/** What the variables stand for, as far as that is known. */
export class Bindings {
  readonly #known = new Map<string, Type>();
  /** In the order they became known. */
  readonly #learned: string[] = [];
  #fresh = 0;

  /** A variable that nothing is known of. */
  fresh(): Type {
    return { kind: "variable", name: `#${this.#fresh++}` };
  }

  /** A signature's type with variables of its own, which `fresh` names for the rest of the signature. */
  instantiate(type: Type, fresh: Map<string, Type>): Type {
    switch (type.kind) {
      case "variable": {
        const known = fresh.get(type.name) ?? this.fresh();
        fresh.set(type.name, known);
        return known;
      }
      case "list":
        return listOf(this.instantiate(type.item, fresh));
      case "optional":
        return optionalOf(this.instantiate(type.item, fresh));
      case "map":
        return mapOf(this.instantiate(type.key, fresh), this.instantiate(type.value, fresh));
      default:
        return type;
    }
  }

  /** Runs `attempt`; what it learned stays only if it holds. */
  try(attempt: () => boolean): boolean {
    const before = this.#learned.length;
    if (attempt()) return true;
    for (const name of this.#learned.splice(before)) this.#known.delete(name);
    return false;
  }

  /** With everything known put in; what is not known is dyn. */
  resolve(type: Type): Type {
    const known = this.#shallow(type);
    switch (known.kind) {
      case "list":
        return listOf(this.resolve(known.item));
      case "map":
        return mapOf(this.resolve(known.key), this.resolve(known.value));
      case "optional":
        return optionalOf(this.resolve(known.item));
      default:
        return known;
    }
  }

  #shallow(type: Type): Type {
    let known = type;
    while (known.kind === "variable") {
      const next = this.#known.get(known.name);
      if (next === undefined) return known;
      known = next;
    }
    return known;
  }

  #occurs(name: string, type: Type): boolean {
    const known = this.#shallow(type);
    switch (known.kind) {
      case "variable":
        return known.name === name;
      case "list":
      case "optional":
        return this.#occurs(name, known.item);
      case "map":
        return this.#occurs(name, known.key) || this.#occurs(name, known.value);
      default:
        return false;
    }
  }

  /** Whether `from` may stand where `to` is asked for; binds variables of both. */
  assign(to: Type, from: Type): boolean {
    const [target, source] = [this.#shallow(to), this.#shallow(from)];
    if (target === source) return true;
    if (target.kind === "variable" || source.kind === "variable") {
      const [variable, other] = target.kind === "variable" ? [target, source] : [source, target];
      if (variable.kind !== "variable") return false;
      if (other.kind === "variable" && other.name === variable.name) return true;
      if (this.#occurs(variable.name, other)) return false;
      this.#known.set(variable.name, other);
      this.#learned.push(variable.name);
      return true;
    }
    if (target.kind === "dyn" || source.kind === "dyn") return true;
    if (source === NULL || target === NULL) return isNullable(source === NULL ? target : source);
    if (target.kind === "list" && source.kind === "list") {
      return this.assign(target.item, source.item);
    }
    if (target.kind === "optional" && source.kind === "optional") {
      return this.assign(target.item, source.item);
    }
    if (target.kind === "map" && source.kind === "map") {
      return this.assign(target.key, source.key) && this.assign(target.value, source.value);
    }
    return target.kind === "type" && source.kind === "type";
  }
}

/** Types whose values cel-go lets be compared with null. */
function isNullable(type: Type): boolean {
  return type.kind === "object" || type === DURATION || type === TIMESTAMP ||
    Object.values(OPAQUE).includes(type) || type.kind === "optional";
}
