/** Of this program, as it is released. */
export const version = '0.1.0';
