declare module 'fs-native-extensions' {
  /** Takes an exclusive lock that ends with the process. @returns false when another process has it. */
  export function tryLock(fd: number): boolean;
}
