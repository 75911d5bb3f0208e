/** What one commit brings over another, as git tells it. */
export interface Comparison {
  /** Newest first, at most `mostCommits`. */
  commits: { commit: string; subject: string; author: string; committedAt: string }[];
  /** The largest first. */
  files: { path: string; added: number; removed: number }[];
  /** Lines added and removed in all files. */
  lines: number;
}
export const mostCommits = 100;
/** So many of the files are kept with a change request. */
export const mostFiles = 500;
