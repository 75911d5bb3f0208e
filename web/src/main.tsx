import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { createRoot } from 'react-dom/client';
import { App } from './app';
import { signIn } from './session';
import './style.css';

const queries = new QueryClient({
  defaultOptions: { queries: { retry: false, refetchOnWindowFocus: true } },
});

void signIn().then((tokens) => {
  createRoot(document.getElementById('root')!).render(
    <QueryClientProvider client={queries}>
      <App tokens={tokens} />
    </QueryClientProvider>,
  );
});
