import { defaultPayloadConverter, type Payload, type PayloadConverter } from '@temporalio/common';

/**
 * Decodes without ever throwing. A payload that nobody can read (sent by hand, or by a client with an encoding of its
 * own) would otherwise fail the workflow's task before any handler runs, again and again; this way it reaches the
 * handler as what it is, and is refused like anything else that does not make sense.
 */
class Tolerant implements PayloadConverter {
  toPayload<T>(value: T): Payload {
    return defaultPayloadConverter.toPayload(value);
  }
  fromPayload<T>(payload: Payload): T {
    try {
      return defaultPayloadConverter.fromPayload(payload);
    } catch (thrown) {
      return { undecodable: thrown instanceof Error ? thrown.message : String(thrown) } as T;
    }
  }
}
export const payloadConverter = new Tolerant();
