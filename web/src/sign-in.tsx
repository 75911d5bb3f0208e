import { useState } from 'react';
import type { Way } from './session';

/** Signed out: by which way one gets in here. */
export function SignIn({
  way,
  problem,
  onToken,
}: {
  way: Way;
  problem: string | undefined;
  onToken: (token: string) => void;
}) {
  const [token, setToken] = useState('');
  return (
    <main className="sign-in">
      <h1>
        <img src="/signal.svg" alt="" width="32" height="32" /> Signalbox
      </h1>
      {problem && (
        <p role="alert" className="refusal">
          {problem}
        </p>
      )}
      {way === 'oidc' && (
        <a className="button primary" href="/api/sign-in/oidc">
          Sign in with your organisation
        </a>
      )}
      <p>
        {way === 'local' ? (
          <>
            Open the link that <code>signalbox up</code> printed. Each link is good once; the next one comes
            from <code>npx signalbox sign-in</code>. Or paste an API token.
          </>
        ) : (
          'Or paste an API token.'
        )}
      </p>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (token.trim()) onToken(token.trim());
        }}
      >
        <label>
          API token{' '}
          <input
            type="password"
            value={token}
            onChange={(event) => setToken(event.target.value)}
            autoComplete="off"
          />
        </label>
        <button type="submit" className="primary">
          Sign in
        </button>
      </form>
    </main>
  );
}
