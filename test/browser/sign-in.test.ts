import { createServer } from 'node:http';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { generate } from 'selfsigned';
import { launchChromium } from '../../bench/chromium';
import { freePort } from '../../cli/embedded/ports';
import { startProvider, type Provider } from '../helpers/oidc';
import { patienceMs } from '../helpers/until';
import { cleanUp, newFolder, runProgram, startUp, type Up } from '../helpers/up';

/** People sign in by OpenID Connect: a real provider, real HTTPS, a real browser; ship, approve, sign out. */
let up: Up;
let browser: Browser;
let provider: Provider;
let publicUrl: string;
let certificate: string;
beforeAll(async () => {
  const folder = newFolder();
  const port = await freePort();
  publicUrl = `https://localhost:${port}`;
  const made = await generate([{ name: 'commonName', value: 'localhost' }], {
    extensions: [{ name: 'subjectAltName', altNames: [{ type: 2, value: 'localhost' }] }],
  });
  certificate = join(folder, 'cert.pem');
  writeFileSync(certificate, made.cert);
  writeFileSync(join(folder, 'key.pem'), made.private);
  provider = await startProvider(`${publicUrl}/api/sign-in/callback`);
  await provider.account('u1', 'rosa.m', ['managers', 'developers']);
  await provider.account('u2', 'amir.k', ['approvers']);
  await provider.account('u3', 'gast', ['visitors']);
  writeFileSync(
    join(folder, 'signalbox.config.yaml'),
    `api: { publicUrl: "${publicUrl}", tls: { cert: cert.pem, key: key.pem } }
identity:
  oidc:
    issuer: ${provider.issuer}
    clientId: signalbox
    clientSecret: { env: TEST_OIDC_SECRET }
    roles: { managers: [release-manager], developers: [contributor], approvers: [approver] }
targets: {}
`,
  );
  [up, browser] = await Promise.all([
    startUp({
      args: ['--no-sample', '--port', String(port), '--config', join(folder, 'signalbox.config.yaml')],
      env: { TEST_OIDC_SECRET: 'a-secret-of-the-test-client' },
    }),
    launchChromium(),
  ]);
});
afterAll(async () => {
  await browser?.close();
  await provider?.stop();
  await cleanUp();
});

/** The test's certificate is its own; the browser is told to take it. */
const someone = (): Promise<BrowserContext> => browser.newContext({ ignoreHTTPSErrors: true });
async function signIn(context: BrowserContext, subject: string): Promise<Page> {
  const page = await context.newPage();
  page.setDefaultTimeout(patienceMs);
  await page.goto(publicUrl);
  await page.getByRole('link', { name: 'Sign in with your organisation' }).click();
  await page.getByPlaceholder('Enter any login').fill(subject);
  await page.getByPlaceholder('and password').fill('x');
  await page.getByRole('button', { name: 'Sign-in' }).click();
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.waitForURL(`${publicUrl}/**`);
  return page;
}

it('two people sign in, one ships, the other approves; nobody can be somebody else', async () => {
  const [hers, his] = [await someone(), await someone()];
  const rosa = await signIn(hers, 'u1');
  await rosa.getByText('You are rosa.m (release-manager, contributor)').waitFor();
  await rosa.getByRole('link', { name: 'Promotions' }).click();
  await rosa.getByRole('button', { name: 'Ship a revision …' }).click();
  await rosa.getByLabel('Revision').fill('v2');
  await rosa.getByLabel('Title').fill('Timetables');
  await rosa.getByRole('button', { name: 'Ship and submit', exact: true }).click();
  await rosa.getByRole('heading', { name: 'CP-1 · Timetables' }).waitFor();
  expect(await rosa.getByRole('button', { name: 'Approve' }).isDisabled()).toBe(true);
  await rosa.getByText('This needs approver; you are rosa.m').waitFor();

  const amir = await signIn(his, 'u2');
  await amir.getByText('You are amir.k (approver)').waitFor();
  await amir.getByRole('listitem').filter({ hasText: 'Timetables waits for your decision' }).waitFor();
  await amir.getByRole('link', { name: 'Promotions' }).click();
  expect(await amir.getByRole('button', { name: 'Ship a revision …' }).isDisabled()).toBe(true);
  await amir.getByRole('button', { name: 'Approve' }).click();
  await rosa.getByText('approved by amir.k').waitFor();
  await rosa.getByRole('button', { name: 'Deploy Now' }).click();
  const dialog = rosa.getByRole('dialog');
  await dialog.getByText('You do this as rosa.m.').waitFor();
  await dialog.getByRole('button', { name: 'Deploy Now' }).click();
  await rosa.getByText('v2 is deployed to shop and healthy.').waitFor();

  // No script can read the session, and nothing of it is kept where one could.
  expect(
    await rosa.evaluate('document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage)'),
  ).toBe('{}{}');
  const [cookie] = (await hers.cookies()).filter(({ name }) => name === '__Host-signalbox');
  expect(cookie).toMatchObject({
    secure: true,
    httpOnly: true,
    sameSite: 'Strict',
    path: '/',
    domain: 'localhost',
  });

  await rosa.reload();
  await rosa.getByText('You are rosa.m').waitFor();
  await rosa.getByRole('button', { name: 'Sign out' }).click();
  await rosa.getByRole('link', { name: 'Sign in with your organisation' }).waitFor();
  await rosa.reload();
  await rosa.getByRole('link', { name: 'Sign in with your organisation' }).waitFor();
  // The cookie alone is nothing any more.
  const after = await hers.request.get(`${publicUrl}/api/me`);
  expect(after.status()).toBe(401);
  await Promise.all([hers.close(), his.close()]);
});

it("another site's page can not act by the session", async () => {
  const context = await someone();
  const page = await signIn(context, 'u2');
  await page.getByText('You are amir.k').waitFor();
  const evil = createServer((_request, response) =>
    response.setHeader('content-type', 'text/html').end('<h1>evil</h1>'),
  );
  await new Promise<void>((done) => evil.listen(0, '127.0.0.1', done));
  try {
    const other = await context.newPage();
    await other.goto(`http://127.0.0.1:${(evil.address() as { port: number }).port}`);
    const url = `${publicUrl}/api/change-requests/RFC-1/decisions`;
    const outcome = await other.evaluate(
      `fetch(${JSON.stringify(url)}, { method: 'POST', credentials: 'include', mode: 'no-cors', body: '{"decision":"reject","comment":"x"}' })
         .then((r) => 'sent ' + r.type, () => 'stopped')
         .then(async (sent) => sent + ' ' + await fetch(${JSON.stringify(`${publicUrl}/api/me`)}, { credentials: 'include' }).then(() => 'read', () => 'not read'))`,
    );
    expect(outcome).toMatch(/not read$/);
    const { items } = (await (await page.request.get(`${publicUrl}/api/audit?subject=RFC-1`)).json()) as {
      items: { action: string }[];
    };
    expect(items.map(({ action }) => action)).not.toContain('change-request.rejected');
  } finally {
    await new Promise((done) => evil.close(done));
    await context.close();
  }
});

it('somebody in no group that counts is told so on the page', async () => {
  const context = await someone();
  const page = await signIn(context, 'u3');
  await page
    .getByRole('alert')
    .getByText('gast is signed in there, but in no group that has a role here')
    .waitFor();
  expect(page.url()).not.toContain('problem');
  await context.close();
});

it('programs still come by token, over the same HTTPS', async () => {
  const { endpoints, state } = up;
  const env = { NODE_EXTRA_CA_CERTS: certificate };
  const listed = await runProgram(['audit', 'list', '--action', 'session.', '--state', state], { env });
  expect([listed.code, listed.out]).toEqual([0, expect.stringContaining('amir.k  session.signed-in')]);
  expect(endpoints().signIn).toBe(`${publicUrl}/`);
  const tokens = JSON.stringify(endpoints().tokens);
  expect(up.output()).not.toContain(tokens);
});
