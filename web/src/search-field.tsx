import { useAddress } from './address';

/** What is looked for in a list stands in its address; what is being typed makes one entry of the history. */
export function SearchField({ placeholder }: { placeholder: string }) {
  const [search, set] = useAddress();
  const q = search.get('q') ?? '';
  return (
    <label>
      Search
      <input
        type="search"
        value={q}
        maxLength={200}
        placeholder={placeholder}
        onChange={({ target }) => set({ q: target.value }, q !== '')}
      />
    </label>
  );
}
