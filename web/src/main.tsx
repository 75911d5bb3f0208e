import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { createRoot } from 'react-dom/client';
import { again } from './api';
import { App } from './app';
import { start } from './session';
import './style.css';

const queries = new QueryClient({
  defaultOptions: {
    // Asked whatever the browser thinks of the network: loopback is there without one, and what is away is said at once.
    queries: {
      retry: false,
      refetchOnWindowFocus: true,
      networkMode: 'always',
      refetchInterval: again(false),
    },
    // Never kept until the network is back: what was pressed then is not what somebody wants by then.
    mutations: { retry: false, networkMode: 'always' },
  },
});
const root = createRoot(document.getElementById('root')!);

void start()
  // Without an answer the page still opens and says so, and shows what it can when there is one.
  .catch(() => ({
    session: undefined,
    way: 'token' as const,
    problem: 'Signalbox does not answer; reload when it is back.',
  }))
  .then((begun) =>
    root.render(
      <QueryClientProvider client={queries}>
        <App {...begun} />
      </QueryClientProvider>,
    ),
  );
