import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { onPath } from '../../cli/embedded/fetch-part';
import { cleanUp, cli, elsewhere, newFolder, runAlone, startUp, stopUp, until, type Up } from '../helpers/up';

/** What operators see: figures, traces and logs of a real deployment. */
interface Span {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
}
let up: Up;
let collector: Server;
const spans: Span[] = [];
/** Takes traces as a collector does: OTLP over HTTP, in JSON. */
const collect = () =>
  createServer((request, answer) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      const sent = JSON.parse(body) as { resourceSpans: { scopeSpans: { spans: Span[] }[] }[] };
      for (const { scopeSpans } of sent.resourceSpans)
        for (const scope of scopeSpans) spans.push(...scope.spans);
      answer.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    });
  });

beforeAll(async () => {
  collector = collect();
  // Node's server closes a connection that was idle for 5 s, which is when the next spans come: those would be lost.
  collector.keepAliveTimeout = 0;
  await new Promise<void>((done) => collector.listen(0, '127.0.0.1', done));
  const endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`;
  // What does not reach its collector in ten seconds is dropped; a busy machine may take longer.
  const patience = { OTEL_EXPORTER_OTLP_TIMEOUT: '120000', OTEL_BSP_EXPORT_TIMEOUT: '120000' };
  up = await startUp({ env: { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, ...patience } });
  await up.says('Running. Ctrl-C');
});
afterAll(async () => {
  await cleanUp();
  await new Promise((done) => collector.close(done));
});

const figures = async (address: string, token?: string) =>
  fetch(`${address}metrics`, token ? { headers: { authorization: `Bearer ${token}` } } : {});

it('shows figures of the record, of its own work and of the SDK to whoever has a token', async () => {
  const { page, tokens } = up.endpoints();
  expect((await figures(page)).status).toBe(401);
  const answer = await figures(page, tokens.contributor);
  expect(answer.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
  // Its workflow completes a task later than its row.
  const text = await until('the workflow to complete', async () => {
    const shown = await (await figures(page, tokens.contributor)).text();
    return /^temporal_workflow_completed_total\{/m.test(shown) && shown;
  });
  for (const line of [
    'signalbox_deployments_total{target="shop",outcome="succeeded"} 1',
    'signalbox_approvals_waiting 0',
    'signalbox_step_duration_seconds_count{target="shop",step="swap",result="done"} 1',
    'signalbox_event_stream_clients 0',
  ])
    expect(text.split('\n')).toContain(line);
  expect(text).toMatch(
    /^signalbox_http_request_duration_seconds_count\{method="POST",route="\/api\/promotions\/:key\/deploy",status="202"\} 1$/m,
  );
  expect(text).toMatch(/^signalbox_log_lines_total [1-9]/m);
  expect(text).toMatch(/^process_resident_memory_bytes \d/m);
  const promtool = onPath('promtool');
  if (promtool) {
    const own = text
      .split('\n')
      .filter((line) => /^(# (HELP|TYPE) )?signalbox_/.test(line))
      .join('\n');
    const checked = spawnSync(promtool, ['check', 'metrics'], { input: `${own}\n`, encoding: 'utf8' });
    expect([checked.status, checked.stdout + checked.stderr]).toEqual([0, '']);
  } else console.log('skipped: figures with promtool: it is not installed here');
});

it('leads from a log line to its request and to its deployment', async () => {
  const lines = readFileSync(join(up.state, 'logs', 'signalbox.log'), 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  const click = lines.find(({ route }) => route === '/api/promotions/:key/deploy')!;
  expect(click).toMatchObject({
    person: 'rosa',
    status: 202,
    request: expect.stringMatching(/^[0-9a-f-]{36}$/),
  });
  expect(lines).toContainEqual(
    expect.objectContaining({
      deployment: 'CP-1.1',
      request: click.request,
      msg: expect.stringContaining('admitted'),
    }),
  );
  for (const step of ['build', 'backup', 'swap', 'health-check'])
    expect(lines).toContainEqual(
      expect.objectContaining({
        deployment: 'CP-1.1',
        target: 'shop',
        step,
        result: 'done',
        workflow: 'deploy/CP-1/1',
      }),
    );
});

it('has a worker that runs alone answer probes and show its figures', async () => {
  const env = await elsewhere(up, 'alone');
  const worker = runAlone(
    env,
    ...['worker', '--config', join(up.state, 'sample', 'signalbox.config.yaml')],
    ...['--state', newFolder(), '--health-port', '0'],
  );
  const port = /port (\d+)/.exec(await worker.says(/health and figures on port \d+/))![1];
  const address = `http://127.0.0.1:${port}/`;
  expect((await fetch(`${address}health/live`)).status).toBe(200);
  const ready = await fetch(`${address}health/ready`);
  expect([ready.status, await ready.json()]).toEqual([
    200,
    { worker: 'ready', database: 'ready', temporal: 'ready' },
  ]);
  await until('the SDK to count', async () =>
    (await (await figures(address)).text()).includes('temporal_num_pollers'),
  );
  worker.child.kill('SIGTERM');
  expect(await worker.ended).toBe(0);
});

it('traces a click through the workflow into each activity', async () => {
  expect((await cli(up, 'ship', 'shop', 'v2')).code).toBe(0);
  await stopUp(up);
  const [click] = spans.filter(({ name }) => name === 'POST /api/promotions/:key/deploy');
  const mine = spans.filter(({ traceId }) => traceId === click!.traceId);
  const parentOf = (span: Span) => mine.find(({ spanId }) => spanId === span.parentSpanId);
  const path = (span: Span | undefined): string[] => (span ? [...path(parentOf(span)), span.name] : []);
  for (const activity of ['build', 'backup', 'swap', 'healthCheck'])
    expect(path(mine.find(({ name }) => name === `RunActivity:${activity}`))).toEqual([
      'POST /api/promotions/:key/deploy',
      'StartWorkflow:deployPromotion',
      'RunWorkflow:deployPromotion',
      `StartActivity:${activity}`,
      `RunActivity:${activity}`,
    ]);
});
