/** When a step on a target that met a fault is tried again. */
const firstMs = 500;
const growth = 2;
const longestMs = 10_000;

/** As Temporal takes it. */
export const stepRetry = {
  initialInterval: firstMs,
  backoffCoefficient: growth,
  maximumInterval: longestMs,
};
/** @param attempt number of the try that met the fault, from 1. @returns milliseconds until the next one. */
export const retryDelayMs = (attempt: number): number =>
  Math.min(firstMs * growth ** Math.min(attempt - 1, 30), longestMs);
