import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import protobuf from 'protobufjs';

/** The part of OpenTelemetry's protocol that traces use (opentelemetry-proto 1.x), by its field numbers. */
const { root } = protobuf.parse(`
  syntax = "proto3";
  message Request { repeated ResourceSpans resource_spans = 1; }
  message ResourceSpans { Resource resource = 1; repeated ScopeSpans scope_spans = 2; }
  message Resource { repeated KeyValue attributes = 1; }
  message ScopeSpans { repeated Span spans = 2; }
  message Span {
    bytes trace_id = 1; bytes span_id = 2; bytes parent_span_id = 4; string name = 5; int32 kind = 6;
    fixed64 start_time_unix_nano = 7; fixed64 end_time_unix_nano = 8;
    repeated KeyValue attributes = 9; repeated Link links = 13; Status status = 15;
  }
  message Link { bytes trace_id = 1; bytes span_id = 2; }
  message Status { int32 code = 3; }
  message KeyValue { string key = 1; Value value = 2; }
  message Value { oneof value { string s = 1; bool b = 2; int64 i = 3; double d = 4; } }
`);
const request = root.lookupType('Request');
const kinds = ['', 'INTERNAL', 'SERVER', 'CLIENT', 'PRODUCER', 'CONSUMER'];

export type SeenSpan = {
  readonly traceId: string;
  readonly spanId: string;
  /** Empty if it has none. */
  readonly parentId: string;
  readonly name: string;
  readonly kind: string;
  /** Milliseconds. */
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
  /** Of the process. */
  readonly resource: Readonly<Record<string, string | number | boolean>>;
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly isError: boolean;
};

/** A collector that keeps every span that it is sent. */
export async function startCollector() {
  const spans: SeenSpan[] = [];
  let raw = '';
  const server = createServer((incoming, answer) => {
    const chunks: Buffer[] = [];
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
    incoming.on('end', () => {
      const sent = Buffer.concat(chunks);
      const body = incoming.headers['content-encoding'] === 'gzip' ? gunzipSync(sent) : sent;
      raw += body.toString('latin1');
      spans.push(...decode(body));
      answer.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    /** What a process needs to send its spans here, soon. */
    env: { OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_BSP_SCHEDULE_DELAY: '50' },
    spans: spans as readonly SeenSpan[],
    /** Everything that was sent, as it came. */
    raw: () => raw,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** A trace as lines: each span below its parent, in the order of their beginnings, with an error behind `!`. */
export function treeOf(spans: readonly SeenSpan[], traceId: string): string[] {
  const own = spans.filter((span) => span.traceId === traceId).sort((a, b) => a.startMs - b.startMs);
  const ids = new Set(own.map((span) => span.spanId));
  const below = (parent: string | null, depth: number): string[] =>
    own
      .filter((span) => (parent === null ? !ids.has(span.parentId) : span.parentId === parent))
      .flatMap((span) => [
        `${'  '.repeat(depth)}${span.name}${span.isError ? ` !${span.attributes['error.type']}` : ''}`,
        ...below(span.spanId, depth + 1),
      ]);
  return below(null, 0);
}

function decode(body: Buffer): SeenSpan[] {
  const { resourceSpans = [] } = request.toObject(request.decode(body), { longs: Number, arrays: true }) as any;
  return resourceSpans.flatMap(({ resource, scopeSpans }: any) =>
    scopeSpans.flatMap(({ spans }: any) =>
      spans.map((span: any) => ({
        traceId: hex(span.traceId),
        spanId: hex(span.spanId),
        parentId: hex(span.parentSpanId),
        name: span.name,
        kind: kinds[span.kind],
        startMs: span.startTimeUnixNano / 1e6,
        endMs: span.endTimeUnixNano / 1e6,
        attributes: record(span.attributes),
        resource: record(resource.attributes),
        links: span.links.map((link: any) => ({ traceId: hex(link.traceId), spanId: hex(link.spanId) })),
        isError: span.status?.code === 2,
      })),
    ),
  );
}

const hex = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString('hex');
const record = (pairs: readonly any[]) =>
  Object.fromEntries(pairs.map(({ key, value }) => [key, value?.s ?? value?.b ?? value?.i ?? value?.d]));
