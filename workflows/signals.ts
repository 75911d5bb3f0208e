import { setDefaultSignalHandler } from '@temporalio/workflow';

/** A signal that nobody here listens to is dropped: kept, it would pile up in the workflow for ever. */
export const ignoreUnknownSignals = (): void => setDefaultSignalHandler(() => undefined);
