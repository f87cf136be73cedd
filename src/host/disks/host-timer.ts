import type { Timer } from '../../storage/format.ts'

/** Node's monotonic clock and timers. */
export const hostTimer: Timer = {
  now: () => performance.now(),
  after: (milliseconds, callback) => {
    const timer = setTimeout(callback, milliseconds)
    return () => clearTimeout(timer)
  },
}
