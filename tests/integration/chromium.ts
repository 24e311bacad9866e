/** Headless Chromium over its debugging protocol: open a page, ask it, take its picture. */

export interface Page extends AsyncDisposable {
  /** Messages of the page's console and what its policy refused. */
  readonly complaints: string[];
  open(url: string, width: number, height: number): Promise<void>;
  /** The value of an expression in the page. */
  evaluate(expression: string): Promise<unknown>;
  /** PNG of the whole page. */
  picture(): Promise<Uint8Array>;
}

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: Record<string, unknown>;
  readonly result?: Record<string, unknown>;
  readonly error?: { readonly message: string };
}

/** Undefined where Chromium is not installed. */
export async function startChromium(): Promise<Page | undefined> {
  const profile = await Deno.makeTempDir();
  let child: Deno.ChildProcess;
  try {
    child = new Deno.Command("chromium", {
      args: [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--ignore-certificate-errors",
        `--user-data-dir=${profile}`,
        "--remote-debugging-port=0",
        "about:blank",
      ],
      stdout: "null",
      stderr: "piped",
    }).spawn();
  } catch (error) {
    await Deno.remove(profile, { recursive: true });
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  const browser = await debuggingUrl(child);
  const address = new URL(browser.url);
  const targets: unknown = await (await fetch(`http://${address.host}/json/list`)).json();
  const socket = new WebSocket(pageSocket(targets));
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = reject;
  });
  const waiting = new Map<number, PromiseWithResolvers<Record<string, unknown>>>();
  const complaints: string[] = [];
  let loaded = Promise.withResolvers<void>();
  let next = 0;
  socket.onmessage = ({ data }) => {
    const message: Message = JSON.parse(String(data));
    if (message.method === "Page.loadEventFired") loaded.resolve();
    if (message.method === "Log.entryAdded" || message.method === "Runtime.exceptionThrown") {
      complaints.push(JSON.stringify(message.params));
    }
    const call = waiting.get(message.id ?? -1);
    if (message.error !== undefined) call?.reject(new Error(message.error.message));
    else call?.resolve(message.result ?? {});
  };
  const call = async (method: string, params: Record<string, unknown> = {}) => {
    const id = ++next;
    const answer = Promise.withResolvers<Record<string, unknown>>();
    waiting.set(id, answer);
    socket.send(JSON.stringify({ id, method, params }));
    return await answer.promise;
  };
  for (const domain of ["Page", "Runtime", "Log"]) await call(`${domain}.enable`);
  return {
    complaints,
    async open(url, width, height) {
      loaded = Promise.withResolvers<void>();
      await call("Emulation.setDeviceMetricsOverride", {
        width,
        height,
        deviceScaleFactor: 1,
        mobile: width < 600,
      });
      await call("Page.navigate", { url });
      await loaded.promise;
    },
    async evaluate(expression) {
      const { result } = await call("Runtime.evaluate", {
        expression,
        returnByValue: true,
        awaitPromise: true,
      });
      return typeof result === "object" && result !== null && "value" in result
        ? result.value
        : undefined;
    },
    async picture() {
      const { data } = await call("Page.captureScreenshot", { captureBeyondViewport: true });
      return Uint8Array.fromBase64(String(data));
    },
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => socket.onclose = resolve);
      socket.close();
      await closed;
      child.kill("SIGKILL");
      await browser.drained;
      await child.status;
      // Its helpers may still be writing there for a moment.
      await Deno.remove(profile, { recursive: true }).catch(() => {});
    },
  };
}

function pageSocket(targets: unknown): string {
  if (Array.isArray(targets)) {
    for (const target of targets) {
      if (target?.type === "page") return String(target.webSocketDebuggerUrl);
    }
  }
  throw new Error("Chromium has no page");
}

/** Chromium says on standard error where it listens; the rest of what it says is dropped. */
async function debuggingUrl(
  child: Deno.ChildProcess,
): Promise<{ readonly url: string; readonly drained: Promise<void> }> {
  const found = Promise.withResolvers<string>();
  const drained = (async () => {
    let text = "";
    for await (const chunk of child.stderr.pipeThrough(new TextDecoderStream())) {
      text = (text + chunk).slice(-10_000);
      const url = /DevTools listening on (ws:\S+)/.exec(text)?.[1];
      if (url !== undefined) found.resolve(url);
    }
    found.reject(new Error(`Chromium ended: ${text}`));
  })();
  return { url: await found.promise, drained };
}
