import { statfs } from 'node:fs/promises';

/** Room on disks. One that is full is a fault, which heals once there is room: it says what is needed and what there is. */
export async function freeIn(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}
export const isFull = (thrown: unknown) =>
  ['ENOSPC', 'EDQUOT'].includes((thrown as NodeJS.ErrnoException).code ?? '');

/** @param places each folder with what is free there. */
export const noRoom = (what: string, needed: string, places: [folder: string, free: number][]) =>
  Object.assign(
    new Error(
      `there is no room for ${what}: ${needed} needed, ${places.map(([folder, free]) => `${free} bytes are free in ${folder}`).join(', ')}. Make room; it goes on then`,
    ),
    { code: 'ENOSPC' },
  );
