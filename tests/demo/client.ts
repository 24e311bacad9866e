/** The demo's HTTP clients: JSON in, JSON out, nothing believed about the shape. */

export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

export type Call = (
  method: string,
  path: string,
  options?: { readonly body?: unknown; readonly headers?: Readonly<Record<string, string>> },
) => Promise<Answer>;

/** A client of one server. A body that is no JSON comes back as text. */
export function client(baseUrl: string): Call {
  return async (method, path, options = {}) => {
    const response = await fetch(`${baseUrl}${path}`, {
      method,
      headers: { "content-type": "application/json", ...options.headers },
      ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
      signal: AbortSignal.timeout(15_000),
    });
    const text = await response.text();
    let body: unknown = text;
    try {
      body = JSON.parse(text);
    } catch {
      // Text it is; the check that looks at it will say so.
    }
    return { status: response.status, body };
  };
}

/** The value at a path of field names, or undefined. */
export function at(value: unknown, ...path: readonly (string | number)[]): unknown {
  let current = value;
  for (const name of path) {
    if (typeof current !== "object" || current === null) return undefined;
    current = Reflect.get(current, name);
  }
  return current;
}

/** @throws {TypeError} naming the path, where there is no string. */
export function textAt(value: unknown, ...path: readonly (string | number)[]): string {
  const found = at(value, ...path);
  if (typeof found !== "string") {
    throw new TypeError(`${path.join(".")}: a string is wanted, found ${JSON.stringify(found)}`);
  }
  return found;
}

/** Asks until `accept` takes the answer; the deadline is the demo's patience, not a pause. */
export async function until(
  ask: () => Promise<Answer>,
  accept: (answer: Answer) => boolean,
  deadlineMs: number,
): Promise<Answer> {
  const end = performance.now() + deadlineMs;
  while (true) {
    const answer = await ask();
    if (accept(answer) || performance.now() > end) return answer;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
