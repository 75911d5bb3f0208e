import { chromium, type Browser } from 'playwright-core';

/** A real Chromium: the one at CHROMIUM_PATH, or the one that comes inside an npm package. */
export async function launchChromium(): Promise<Browser> {
  const executablePath = process.env.CHROMIUM_PATH;
  const quiet = [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-background-networking',
    '--disable-component-update',
  ];
  if (executablePath) return chromium.launch({ executablePath, args: quiet });
  // Makes the package unpack its shared libraries too, for systems that lack them.
  process.env.AWS_EXECUTION_ENV ??= 'AWS_Lambda_nodejs20.x';
  const { default: packed } = (await import('@sparticuz/chromium')) as unknown as {
    default: { executablePath(): Promise<string>; args: string[] };
  };
  // In one process the whole browser would end with the first page that is closed; and a browser that lets every site
  // read every other would show nothing.
  const unwanted =
    /^--(single-process|no-zygote|disable-web-security|allow-running-insecure-content|disable-site-isolation-trials|ignore-certificate-errors)/;
  const args = [...packed.args.filter((arg) => !unwanted.test(arg)), ...quiet];
  return chromium.launch({ executablePath: await packed.executablePath(), args });
}
