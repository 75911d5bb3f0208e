import { setTimeout as sleep } from 'node:timers/promises';
import { temporal as proto } from '@temporalio/proto';
import type { Temporal } from './connection';
import { attributes } from './names';

const retentionDays = 7;
const keyword = proto.api.enums.v1.IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD;
const notFound = 5;
const alreadyExists = 6;

/** Makes sure the namespace and the search attributes exist. Safe to repeat and to run side by side. */
export async function setUpTemporal({ connection, namespace }: Temporal): Promise<void> {
  const { workflowService, operatorService } = connection;
  try {
    await workflowService.describeNamespace({ namespace });
  } catch (thrown) {
    if (codeOf(thrown) !== notFound) throw thrown;
    await workflowService
      .registerNamespace({
        namespace,
        workflowExecutionRetentionPeriod: { seconds: (retentionDays * 86_400) as never },
      })
      .catch(unless(alreadyExists));
  }
  const wanted = Object.values(attributes).map(({ name }) => name);
  const missing = async () => {
    // A namespace that was just made is known to every part of the server a moment later.
    const { customAttributes } = await operatorService
      .listSearchAttributes({ namespace })
      .catch((thrown: unknown) => {
        if (codeOf(thrown) === notFound) return { customAttributes: {} };
        throw thrown;
      });
    return wanted.filter((name) => !(name in (customAttributes ?? {})));
  };
  for (let tries = 0; ; tries++) {
    const names = await missing();
    if (names.length === 0) return;
    if (tries === 100) throw new Error(`The search attributes ${names.join(', ')} could not be registered.`);
    await operatorService
      .addSearchAttributes({
        namespace,
        searchAttributes: Object.fromEntries(names.map((n) => [n, keyword])),
      })
      .catch((thrown: unknown) => {
        if (![notFound, alreadyExists].includes(codeOf(thrown) ?? -1)) throw thrown;
      });
    await sleep(100);
  }
}

const codeOf = (thrown: unknown) => (thrown as { code?: number }).code;
const unless = (code: number) => (thrown: unknown) => {
  if (codeOf(thrown) !== code) throw thrown;
};
