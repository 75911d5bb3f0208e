import { get } from 'node:http';

/** Connects so many clients to the event stream and notes when each version of a target reached each of them. */
const [api, token, count] = process.argv.slice(2) as [string, string, string];
const seen: [version: number, at: number][] = [];

const connect = () =>
  new Promise<void>((connected, failed) => {
    const request = get(`${api}/events`, { headers: { authorization: `Bearer ${token}` } }, (response) => {
      response.setEncoding('utf8');
      let rest = '';
      response.on('data', (chunk: string) => {
        const at = Number(process.hrtime.bigint()) / 1e6;
        const parts = (rest + chunk).split('\n\n');
        rest = parts.pop()!;
        for (const part of parts) {
          if (/^event: ?reset$/m.test(part)) connected();
          const data = /^data: ?(.*)$/m.exec(part)?.[1];
          const change = data ? (JSON.parse(data) as { entity?: string; version: number }) : undefined;
          if (change?.entity === 'target') seen.push([change.version, at]);
        }
      });
    });
    request.on('error', failed);
  });

process.on('message', () => process.send!(seen));
void Promise.all(Array.from({ length: Number(count) }, connect)).then(() => process.send!('connected'));
