import type { Scenario } from '../scenario';
import { backups } from './backups';
import { builds } from './builds';
import { clocks } from './clocks';
import { disks } from './disks';
import { frozen } from './frozen';
import { health } from './health';
import { hung } from './hung';
import { lives } from './live';
import { lost } from './lost';
import { many } from './many';
import { mistaken } from './mistaken';
import { neighbours } from './neighbours';
import { races } from './races';
import { restored } from './restored';
import { rules } from './rules';
import { undos } from './undo';
import { upgrades } from './upgrade';
import { said } from './words';

/** Everything besides the matrix. */
export const scenarios: Scenario[] = [
  ...builds,
  ...disks,
  ...backups,
  ...health,
  ...undos,
  ...races,
  ...hung,
  ...lives,
  ...lost,
  ...restored,
  ...rules,
  ...said,
  ...frozen,
  ...clocks,
  ...mistaken,
  ...neighbours,
  ...many,
  ...upgrades,
];
