import { useSearchParams } from 'wouter';

/** The part of the address that asks something of a list. @param names of what it understands. */
export function useAsked(...names: string[]): URLSearchParams {
  const [search] = useSearchParams();
  return new URLSearchParams([...search].filter(([name, value]) => value !== '' && names.includes(name)));
}

/** What is looked for stands in the address. @returns it, and a function that changes some of it; empty takes away. */
export function useAddress(): [URLSearchParams, (change: Record<string, string>, replace?: boolean) => void] {
  const [search, setSearch] = useSearchParams();
  const set = (change: Record<string, string>, replace = false) =>
    setSearch(
      (before) => {
        const next = new URLSearchParams(before);
        for (const [name, value] of Object.entries(change))
          if (value) next.set(name, value);
          else next.delete(name);
        return next;
      },
      { replace },
    );
  return [search, set];
}
