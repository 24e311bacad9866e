/** Style and script of the status page. They stand in the page itself; the policy names their hashes. */

export const STYLE = `
:root{color-scheme:light dark;--bg:#f5f6f8;--card:#fff;--ink:#16202c;--soft:#5a6776;--line:#dfe3e8;
--accent:#0b6e8a;--good:#157347;--warn:#8a5a00;--bad:#b02a37;--warnbg:#fff3d6;--badbg:#fde3e5;--goodbg:#dff3e7}
@media(prefers-color-scheme:dark){:root{--bg:#0f151c;--card:#18212b;--ink:#e6ebf0;--soft:#9aa8b6;
--line:#2b3743;--accent:#5cc3e0;--good:#6fd39b;--warn:#f2c14e;--bad:#ff8b93;--warnbg:#3a2e10;--badbg:#431c21;--goodbg:#12351f}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
.banner{background:var(--warnbg);color:var(--warn);border-bottom:2px solid;padding:.75rem 1.25rem;text-align:center;font-weight:600}
main,header{max-width:62rem;margin:0 auto;padding:0 1.25rem}
header{display:flex;flex-wrap:wrap;align-items:center;gap:.4rem 1rem;padding-top:1.75rem}
h1{font-size:1.5rem;margin:0;letter-spacing:-.01em}
h2{font-size:1rem;margin:0 0 .75rem}
.version,.soft{color:var(--soft)}
.pill{border-radius:99px;padding:.1rem .75rem;font-size:.9rem;font-weight:600}
.healthy{background:var(--goodbg);color:var(--good)}
.degraded{background:var(--warnbg);color:var(--warn)}
.failed{background:var(--badbg);color:var(--bad)}
.problems{color:var(--bad);margin:.5rem 0 0}
.problems:empty{display:none}
.grid{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:1rem;margin:1.25rem 0}
section{background:var(--card);border:1px solid var(--line);border-radius:.75rem;padding:1.1rem 1.25rem;min-width:0}
.wide{grid-column:1/-1}
dl{display:grid;grid-template-columns:minmax(7rem,auto) minmax(0,1fr);gap:.35rem 1rem;margin:0}
dt{color:var(--soft)}
dd{margin:0;overflow-wrap:anywhere}
code{font:.85rem/1.5 ui-monospace,monospace;overflow-wrap:anywhere}
p{margin:.75rem 0 0}
.command{display:flex;gap:.75rem;align-items:flex-start;background:var(--bg);border:1px solid var(--line);border-radius:.5rem;padding:.65rem .75rem}
.command code{flex:1;user-select:all}
button{font:inherit;font-size:.85rem;color:var(--accent);background:none;border:1px solid;border-radius:.4rem;padding:.1rem .7rem;cursor:pointer}
a{color:var(--accent)}
.counts{display:grid;grid-template-columns:repeat(4,minmax(0,1fr));gap:.5rem;margin:0;text-align:center}
.counts div{display:flex;flex-direction:column-reverse}
.counts dd{font-size:1.6rem;font-weight:600;line-height:1.3}
footer{color:var(--soft);font-size:.9rem;margin:0 0 2rem}
@media(max-width:44rem){.grid{grid-template-columns:minmax(0,1fr)}.command{flex-direction:column}
dl:not(.counts){grid-template-columns:minmax(0,1fr);gap:0}dl:not(.counts) dd{margin-bottom:.5rem}}
`;

export const SCRIPT = `
"use strict";
const live = new Map();
for (const element of document.querySelectorAll("[data-live]")) live.set(element.dataset.live, element);
const connection = document.getElementById("connection");
const events = new EventSource("/status/events");
events.onmessage = (event) => {
  const values = JSON.parse(event.data);
  for (const [name, element] of live) {
    if (typeof values[name] === "string") element.textContent = values[name];
  }
  live.get("status").className = "pill " + values.status;
  connection.textContent = "live";
};
events.onerror = () => { connection.textContent = "not connected; these values are old"; };
const button = document.querySelector("button");
button.hidden = !navigator.clipboard;
button.onclick = () => {
  navigator.clipboard.writeText(document.getElementById("command").textContent).then(
    () => { button.textContent = "Copied"; },
    () => { button.textContent = "Select it"; },
  );
};
`;

/** The policy of the page: its own style and script by hash, its own events, nothing else. */
export async function pagePolicy(): Promise<string> {
  const hash = async (text: string) => {
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
    return `'sha256-${new Uint8Array(digest).toBase64()}'`;
  };
  return [
    "default-src 'none'",
    `style-src ${await hash(STYLE)}`,
    `script-src ${await hash(SCRIPT)}`,
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; ");
}
