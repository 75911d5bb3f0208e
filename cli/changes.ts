import { changeOf, type ChangeOptions } from './change-options';
import { heard, table, rfcOf, type Context } from './commands';
import { exitCodes } from './exit-codes';

/** The commands of a change request besides its decision: change it, revise it, take back an approval, review it. */
export async function editChange(
  { client, show, as }: Context,
  key: string,
  options: ChangeOptions & { revision?: string },
): Promise<number> {
  await as('contributor');
  const { title, revision } = options;
  const changed = await client.edit(rfcOf(key), {
    ...(title ? { title } : {}),
    ...(revision ? { revision } : {}),
    ...changeOf(options),
  });
  const voided = changed.voided.length > 0 ? ` This voids the approval of ${changed.voided.join(', ')}.` : '';
  show(changed, `${changed.key} is ${changed.status}, revision ${changed.revision}.${voided}`);
  return exitCodes.done;
}

export async function reviseChange(
  { client, show, as }: Context,
  key: string,
  options: { reason?: string },
): Promise<number> {
  await as('contributor');
  const request = await client.revise(rfcOf(key), options.reason ? { reason: options.reason } : {});
  show(
    request,
    `${request.key} is a draft again. Change it with "npx signalbox edit ${request.key} ...", then submit it.`,
  );
  return exitCodes.done;
}

export async function withdrawApproval(
  { client, show, as }: Context,
  key: string,
  options: { reason?: string },
): Promise<number> {
  await as('approver');
  const request = await heard(
    client,
    await client.withdrawDecision(rfcOf(key), options.reason ? { reason: options.reason } : {}),
  );
  show(request, request.accepted ?? `Your approval is withdrawn; ${request.key} is ${request.status}.`);
  return exitCodes.done;
}

export async function review(
  { client, show, as }: Context,
  key: string,
  options: { comment: string },
): Promise<number> {
  await as('approver');
  const request = await client.review(rfcOf(key), { comment: options.comment });
  show(request, request.accepted ?? `${request.key} is ${request.status}.`);
  return exitCodes.done;
}

export async function listNotifications(
  { client, json, say }: Context,
  options: { status: string },
): Promise<number> {
  const { items } = await client.notifications(options.status);
  if (json) console.log(JSON.stringify({ items }));
  else
    say(
      table(
        ['number', 'webhook', 'event', 'subject', 'status', 'tries', 'why'],
        items.map((n) => [
          String(n.id),
          n.webhook,
          n.event,
          n.subject,
          n.status,
          String(n.attempts),
          n.lastError ?? '',
        ]),
      ),
    );
  return exitCodes.done;
}

export async function resendNotification({ client, show, as }: Context, id: string): Promise<number> {
  await as('sre');
  const sent = await client.resend(id);
  show(sent, `Notification ${sent.id} (${sent.event} of ${sent.subject}) is sent to ${sent.webhook} again.`);
  return exitCodes.done;
}
