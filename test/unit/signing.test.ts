import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { dropKey, openKeyring, readKeys, rotateKeys } from '../../temporal-config/keys-file';
import { createKeyring, newKey } from '../../temporal-config/signing';

/** What the API signs is known again after its journey through Temporal; anything else is not. */
const keys = { keys: [newKey(new Date())] };
const ring = createKeyring(() => keys);
const message = fc.record({
  by: fc.string(),
  reason: fc.option(fc.string(), { nil: undefined }),
  n: fc.integer(),
});

it('what was signed is verified, in any order of its fields', () => {
  fc.assert(
    fc.property(message, fc.string(), (said, id) => {
      const travelled = JSON.parse(JSON.stringify(ring.sign('cancel', id, said))) as object;
      const turned = Object.fromEntries(Object.entries(travelled).reverse());
      expect(ring.whyForged('cancel', id, turned)).toBeUndefined();
    }),
  );
});

it('another purpose, workflow, field or value is not', () => {
  fc.assert(
    fc.property(message, message, (said, other) => {
      const signed = ring.sign('cancel', 'deploy/CP-1/1', said);
      expect(ring.whyForged('resolve', 'deploy/CP-1/1', signed)).toMatch(/does not fit/);
      expect(ring.whyForged('cancel', 'deploy/CP-1/2', signed)).toMatch(/does not fit/);
      expect(ring.whyForged('cancel', 'deploy/CP-1/1', { ...signed, more: 1 })).toMatch(/does not fit/);
      const same = JSON.stringify(said) === JSON.stringify(other);
      const swapped = ring.whyForged('cancel', 'deploy/CP-1/1', { ...other, signature: signed.signature });
      expect(swapped === undefined).toBe(same);
    }),
  );
});

it.each([
  undefined,
  null,
  7,
  'text',
  [],
  {},
  { signature: null },
  { signature: {} },
  { signature: { key: 1, mac: 2 } },
])('%j is not', (said) => expect(ring.whyForged('start', 'x', said)).toMatch(/no signature/));

describe('the keys file', () => {
  let folder: string;
  let file: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'signalbox-keys-'));
    file = join(folder, 'signing-keys.json');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('is made once, for its owner alone', () => {
    openKeyring(file, true);
    const made = readFileSync(file, 'utf8');
    expect(statSync(file).mode & 0o777).toBe(0o600);
    openKeyring(file, true);
    expect(readFileSync(file, 'utf8')).toBe(made);
  });

  it('rotates under a running process: the old key verifies until it is dropped', () => {
    const running = openKeyring(file, true);
    const before = running.sign('start', 'w', { a: 1 });
    const id = rotateKeys(file);
    const after = running.sign('start', 'w', { a: 1 });
    expect(after.signature.key).toBe(id);
    expect(before.signature.key).not.toBe(id);
    expect([before, after].map((said) => running.whyForged('start', 'w', said))).toEqual([
      undefined,
      undefined,
    ]);
    expect(() => dropKey(file, id)).toThrow(/rotate first/);
    expect(() => dropKey(file, 'none')).toThrow(/no key none/);
    dropKey(file, before.signature.key);
    expect(running.whyForged('start', 'w', before)).toMatch(/not known/);
    expect(running.whyForged('start', 'w', after)).toBeUndefined();
    expect(readKeys(file).keys).toHaveLength(1);
  });

  it('that is missing, or is none, is said so at the start', () => {
    expect(() => openKeyring(file, false)).toThrow(/API and workers need the same file/);
    writeFileSync(file, '{"keys":[]}');
    expect(() => openKeyring(file, false)).toThrow(/could not be read/);
  });
});

it("a key's id can be typed as an argument", () => {
  const ids = Array.from({ length: 500 }, () => newKey(new Date()).id);
  expect(ids.filter((id) => !/^[0-9a-f]{12}$/.test(id))).toEqual([]);
  expect(new Set(ids).size).toBe(500);
});
