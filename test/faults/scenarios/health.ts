import type { Scenario } from '../scenario';
import { unhealthy, type Unhealthy } from '../unhealthy';

/** What a new release may answer when it is asked for its health; the release from before is well. */
export const health: Scenario[] = (Object.keys(unhealthy) as Unhealthy[]).map((how) => ({
  name: `besides/health-${how}`,
  async run({ stack, deploy, demand }) {
    const before = (await stack.withDb((db) => db('deployments').where({ status: 'succeeded' }).first()))
      .to_release as string;
    await stack.site.behave({ how, before });
    const end = await deploy('rolled-back');
    demand(stack.site.asked() > 0, 'the new release was never asked');
    demand(/Unhealthy/.test(end.outcome ?? ''), `it does not say why: ${end.outcome}`);
    await stack.site.behave(undefined);
  },
}));
