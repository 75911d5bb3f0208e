import { addressOf, addressText, isSameRepository, liesBelow } from '../../domain/git-address';

const below = (url: string, place: string) => liesBelow(addressOf(url)!, addressOf(place)!);

it.each([
  ['https://git.example.org/acme/lib.git', 'https://git.example.org/', true],
  ['https://git.example.org/acme/lib.git', 'https://git.example.org', true],
  ['https://GIT.example.org:443/acme/lib', 'https://git.example.org/acme', true],
  ['https://carla@git.example.org/acme/lib', 'https://git.example.org/acme/', true],
  ['https://git.example.org/acme-other/lib', 'https://git.example.org/acme', false],
  ['https://git.example.org:8443/acme/lib', 'https://git.example.org/', false],
  ['http://git.example.org/acme/lib', 'https://git.example.org/', false],
  ['https://git.example.org.evil.example/lib', 'https://git.example.org/', false],
  ['https://git.example.org@evil.example/lib', 'https://git.example.org/', false],
  ['git@git.example.org:acme/lib', 'ssh://git@git.example.org/', true],
  ['git@git.example.org:acme/lib', 'ssh://git@git.example.org/~/acme', true],
  ['git@git.example.org:/acme/lib', 'ssh://git.example.org/acme', true],
  ['git@git.example.org:acme/lib', 'ssh://git@git.example.org/acme', false],
  ['ssh://git@git.example.org:22/lib', 'git+ssh://git.example.org', true],
  ['ssh://git@[::1]:2222/lib', 'ssh://[::1]:2222/', true],
  ['/srv/git/lib', 'file:///srv/git', true],
  ['file:///srv/g%69t/lib', '/srv/git/', true],
  ['/srv/github/lib', '/srv/git', false],
])('%s below %s: %s', (url, place, is) => expect(below(url, place)).toBe(is));

it.each([
  ...['', 'vault', '../lib', '-oProxyCommand=x', 'ext::sh -c x', 'http::http://a/b', 'codecommit::eu://x'],
  ...['ssh://-oProxyCommand=x/lib', 'git@-host:lib', 'https://a b/c', 'https://a\\@b/c', 'https://a/b\u0000'],
  ...['https://a/../b', 'https://a/%2e%2E/b', 'https://a/x%2f..%2fb', 'https://a/b?c', 'https://a/b#c'],
  ...[
    'HTTPS://a/b',
    'ftp://a/b',
    'file://host/srv',
    'file://srv',
    'https://a:1:2/b',
    'file:///%zz',
    'a:b\nc',
  ],
])('is no address that everybody reads alike: %j', (url) => expect(addressOf(url)).toBeUndefined());

it('is the same repository however one logs in', () => {
  const same = [
    ...['https://bob@a.example/x/lib.git', 'git@A.example:x/lib', 'ssh://a.example:2222//x/Lib/'],
    ...['https://a.example/x/l%69b', 'http://a.example/x/lib/.git', 'https://a.example/x/lib.git/info/lfs'],
  ];
  for (const one of same)
    for (const other of same) expect(isSameRepository(addressOf(one)!, addressOf(other)!)).toBe(true);
  expect(isSameRepository(addressOf(same[0]!)!, addressOf('https://a.example/x/library')!)).toBe(false);
});

it('is written without its password, so that it can be read again', () => {
  expect(addressText(addressOf('https://bob:sesame@a.example:444/x')!)).toBe('https://bob@a.example:444/x');
  expect(addressText(addressOf('git@a.example:x/lib')!)).toBe('ssh://git@a.example/~/x/lib');
  expect(addressText(addressOf('/srv/x y')!)).toBe('/srv/x y');
});
