import picocolors from 'picocolors';
import { coloured, uncoloured } from '../domain/ansi';

/** A line as this terminal can show it: with the colours that programs gave it, where it shows any. */
export const forTerminal = picocolors.isColorSupported ? coloured : uncoloured;
