import { z } from 'zod';
import { programText } from './input';
import { strict } from './strict';

/** What a host keeps builds in; see `activities/sandbox.ts`. */
export const sandboxKinds = ['user', 'bubblewrap', 'namespaces', 'none'] as const;
export type SandboxKind = (typeof sandboxKinds)[number];

const mostChars = 4_000;
/** As a host says it of itself. */
export const hostSandbox = strict({
  kind: z.enum(sandboxKinds, `allowed: ${sandboxKinds.join(', ')}`),
  said: programText(mostChars, 1),
});
export type HostSandbox = z.infer<typeof hostSandbox>;

/** What is said of it to others, without what it does. */
export const spoken = ({ kind, said }: HostSandbox): HostSandbox => ({
  kind,
  said: said.slice(0, mostChars),
});
