import { spawn, type ChildProcess } from 'node:child_process';
import { resolve } from 'node:path';
import { freePort } from '../../cli/embedded/ports';

export interface Provider {
  issuer: string;
  /** Writes an account into the provider's directory. */
  account(subject: string, name: string, groups: string[]): Promise<void>;
  stop(): Promise<void>;
}

/** Starts a real OpenID provider as a process of its own. */
export async function startProvider(redirectUri: string): Promise<Provider> {
  const port = await freePort();
  const args = [resolve('test/helpers/oidc-provider.mjs'), String(port), redirectUri];
  const child: ChildProcess = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = new Promise<void>((done) => child.once('exit', () => done()));
  let said = '';
  await new Promise<void>((ready, fail) => {
    for (const stream of [child.stdout!, child.stderr!])
      stream.on('data', (chunk: Buffer) => {
        said += chunk.toString();
        if (said.includes('provider at')) ready();
      });
    child.once('exit', () => fail(new Error(`the provider ended: ${said}`)));
  });
  const issuer = `http://127.0.0.1:${port}`;
  return {
    issuer,
    async account(subject, name, groups) {
      const body = JSON.stringify({ preferred_username: name, groups });
      await fetch(`${issuer}/directory/${subject}`, { method: 'PUT', body });
    },
    async stop() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** A browser without a screen: keeps cookies, follows redirects one by one. */
export function cookieJar() {
  const cookies = new Map<string, string>();
  return {
    cookies,
    async ask(url: string, form?: Record<string, string>): Promise<Response> {
      const response = await fetch(url, {
        method: form ? 'POST' : 'GET',
        redirect: 'manual',
        headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
        ...(form ? { body: new URLSearchParams(form) } : {}),
      });
      for (const line of response.headers.getSetCookie()) {
        const [pair] = line.split(';');
        const [name, ...value] = pair!.split('=');
        cookies.set(name!, value.join('='));
      }
      return response;
    },
  };
}

/** Signs in at the provider, from its authorization address. @returns the address it sends one back to. */
export async function signInAt(jar: ReturnType<typeof cookieJar>, authorization: string, subject: string) {
  const provider = new URL(authorization).origin;
  let next = authorization;
  for (let n = 0; n < 10 && next.startsWith(provider); n++) {
    let response = await jar.ask(next);
    if (response.status === 200) {
      const page = await response.text();
      const form = /name="prompt" value="(\w+)"/.exec(page)?.[1];
      if (!form) throw new Error(`no form at ${next}: ${page.slice(0, 400)}`);
      response = await jar.ask(next, { prompt: form, login: subject, password: 'x' });
    }
    const location = response.headers.get('location');
    if (!location)
      throw new Error(
        `${response.status} at ${next}: ${(await response.text()).replace(/<style>[^]*<\/style>|<[^>]*>|\s+/g, ' ').slice(0, 600)}`,
      );
    next = new URL(location, next).href;
  }
  return next;
}
