import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { chromium, type Browser } from 'playwright-core';
import { cacheDir, cached, run } from '../cli/embedded/fetch-part';

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
  const { default: packed } = (await import('@sparticuz/chromium')) as unknown as {
    default: { args: string[] };
  };
  // In one process the whole browser would end with the first page that is closed; and a browser that lets every site
  // read every other would show nothing.
  const unwanted =
    /^--(single-process|no-zygote|disable-web-security|allow-running-insecure-content|disable-site-isolation-trials|ignore-certificate-errors)/;
  const args = [...packed.args.filter((arg) => !unwanted.test(arg)), ...quiet];
  const folder = await unpacked();
  const env = {
    ...process.env,
    FONTCONFIG_PATH: join(folder, 'fonts'),
    LD_LIBRARY_PATH: join(folder, 'al2023', 'lib'),
  };
  return chromium.launch({ executablePath: join(folder, 'chromium'), args, env });
}

/**
 * Unpacks the package's Chromium once for all runs; starts side by side do not meet a half unpacked one.
 * @returns the folder it is in.
 */
async function unpacked(): Promise<string> {
  const { version } = JSON.parse(
    readFileSync(join(dirname(require.resolve('@sparticuz/chromium')), '../../package.json'), 'utf8'),
  ) as { version: string };
  const folder = join(cacheDir(), `chromium-${version}`);
  return cached(folder, async (temporary) => {
    const unpack = "import('@sparticuz/chromium').then(({ default: packed }) => packed.executablePath())";
    await run(process.execPath, ['-e', unpack], {
      cwd: __dirname,
      // Makes the package unpack its shared libraries too, for systems that lack them.
      env: { ...process.env, TMPDIR: temporary, AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs20.x' },
    });
    // It names the folder that the package expects to be unpacked to.
    const fonts = join(temporary, 'fonts', 'fonts.conf');
    writeFileSync(fonts, readFileSync(fonts, 'utf8').replaceAll('>/tmp/', `>${folder}/`));
  });
}
