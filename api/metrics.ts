/** Counters and histograms in Prometheus' text format (version 0.0.4). One registry per process, passed in. */

type Labels = Readonly<Record<string, string>>;

export interface Counter {
  add(labels?: Labels, value?: number): void;
  /** Adds one to a series whose labels are worded once. */
  of(labels: Labels): () => void;
}

export interface Histogram {
  observe(value: number, labels?: Labels): void;
  /** As `observe` with these labels, which are worded once. */
  of(labels: Labels): (value: number) => void;
}

export interface MetricSample {
  readonly labels?: Labels;
  readonly value: number;
}

export interface Metrics {
  /** @throws {TypeError} for a name that is taken or is none. */
  counter(name: string, help: string): Counter;
  histogram(name: string, help: string, buckets: readonly number[]): Histogram;
  /** Read when somebody asks. */
  gauge(name: string, help: string, read: () => readonly MetricSample[] | number): void;
  /** As a gauge, for what only grows. */
  observedCounter(name: string, help: string, read: () => readonly MetricSample[] | number): void;
  /** The exposition text. */
  text(): string;
}

/** Label sets of one metric; more would be somebody's way to fill our memory. */
const MAX_SERIES = 1_000;

interface Family {
  readonly type: "counter" | "gauge" | "histogram";
  readonly help: string;
  lines(name: string): string[];
}

export function createMetrics(): Metrics {
  const families = new Map<string, Family>();
  const register = (name: string, family: Family) => {
    if (!/^[a-z_][a-z0-9_]*$/.test(name)) throw new TypeError(`metric "${name}": not a name`);
    if (families.has(name)) throw new TypeError(`metric "${name}" is registered twice`);
    families.set(name, family);
  };
  const observed = (type: "counter" | "gauge"): Metrics["gauge"] => (name, help, read) =>
    register(name, {
      type,
      help,
      lines: (full) => {
        const samples = read();
        return typeof samples === "number"
          ? [`${full} ${samples}`]
          : samples.map(({ labels, value }) => `${full}${labelText(labels ?? {})} ${value}`);
      },
    });
  return {
    counter(name, help) {
      const series = new Map<string, number>();
      register(name, {
        type: "counter",
        help,
        lines: (full) => Array.from(series, ([labels, value]) => `${full}${labels} ${value}`),
      });
      const addTo = (key: string, value: number) => {
        const before = series.get(key);
        if (before === undefined && series.size >= MAX_SERIES) return;
        series.set(key, (before ?? 0) + value);
      };
      return {
        add: (labels = {}, value = 1) => addTo(labelText(labels), value),
        of(labels) {
          const key = labelText(labels);
          return () => addTo(key, 1);
        },
      };
    },
    histogram(name, help, buckets) {
      const series = new Map<
        string,
        { labels: Labels; counts: number[]; sum: number; count: number }
      >();
      register(name, {
        type: "histogram",
        help,
        lines: (full) =>
          Array.from(series.values()).flatMap(({ labels, counts, sum, count }) => [
            ...buckets.map((le, i) =>
              `${full}_bucket${labelText({ ...labels, le: String(le) })} ${counts[i] ?? 0}`
            ),
            `${full}_bucket${labelText({ ...labels, le: "+Inf" })} ${count}`,
            `${full}_sum${labelText(labels)} ${sum}`,
            `${full}_count${labelText(labels)} ${count}`,
          ]),
      });
      const observeIn = (key: string, labels: Labels, value: number) => {
        let entry = series.get(key);
        if (entry === undefined) {
          if (series.size >= MAX_SERIES) return;
          entry = { labels, counts: buckets.map(() => 0), sum: 0, count: 0 };
          series.set(key, entry);
        }
        entry.count++;
        entry.sum += value;
        for (let i = 0; i < buckets.length; i++) {
          if (value <= (buckets[i] ?? 0)) entry.counts[i] = (entry.counts[i] ?? 0) + 1;
        }
      };
      return {
        observe: (value, labels = {}) => observeIn(labelText(labels), labels, value),
        of(labels) {
          const key = labelText(labels);
          return (value) => observeIn(key, labels, value);
        },
      };
    },
    gauge: observed("gauge"),
    observedCounter: observed("counter"),
    text() {
      const out: string[] = [];
      for (const [name, family] of families) {
        out.push(
          `# HELP ${name} ${family.help}`,
          `# TYPE ${name} ${family.type}`,
          ...family.lines(name),
        );
      }
      return `${out.join("\n")}\n`;
    },
  };
}

function labelText(labels: Labels): string {
  const parts = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`);
  return parts.length === 0 ? "" : `{${parts.join(",")}}`;
}

function escapeLabel(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
