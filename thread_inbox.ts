/**
 * What is sent to a Worker while its modules still load. The runtime hands messages out from the
 * beginning, and one that nobody hears is lost: with cold caches that was the first one.
 */

/**
 * Keeps messages back until the returned function is called, which gives them to whoever listens
 * then, in their order.
 *
 * @param scope the Worker's global
 */
export function holdMessages(scope: EventTarget): () => void {
  const early: MessageEvent[] = [];
  const hold: EventListener = (event) => {
    if (!(event instanceof MessageEvent)) return;
    event.stopImmediatePropagation();
    early.push(event);
  };
  scope.addEventListener("message", hold);
  return () => {
    scope.removeEventListener("message", hold);
    for (const { data, ports } of early) {
      scope.dispatchEvent(new MessageEvent("message", { data, ports: [...ports] }));
    }
  };
}
