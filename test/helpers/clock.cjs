// Puts this process's clock off: everything that asks what time it is. The database and Temporal's server are other
// processes, workflows have Temporal's time, and what is measured with performance.now() goes on as it was. Preloaded
// into a process, it does so by SIGNALBOX_TEST_CLOCK_OFF_MS.
'use strict';
const Real = Date;

/** @param {number} offMs @returns {() => void} what sets it right. */
function putClockOff(offMs) {
  class Off extends Real {
    constructor(...args) {
      if (args.length > 0) super(...args);
      else super(Off.now());
    }
    static now() {
      return Real.now() + offMs;
    }
    static [Symbol.hasInstance](value) {
      return value instanceof Real;
    }
  }
  globalThis.Date = Off;
  return () => void (globalThis.Date = Real);
}

const off = Number(process.env.SIGNALBOX_TEST_CLOCK_OFF_MS ?? 0);
if (off !== 0) putClockOff(off);
module.exports = { putClockOff };
