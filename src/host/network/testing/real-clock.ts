import type { Clock, Timer } from '../../../machine/clock.ts'

/** The host's time as a machine's clock. */
export class RealClock implements Clock {
  now(): number { return performance.now() * 1e6 }

  timer(onExpire: () => void): Timer {
    let handle: NodeJS.Timeout | undefined
    const timer = {
      deadline: Infinity,
      arm: (deadline: number) => {
        clearTimeout(handle)
        timer.deadline = deadline
        handle = setTimeout(expire, Math.ceil(Math.max(0, deadline - this.now()) / 1e6))
      },
      disarm: () => {
        clearTimeout(handle)
        timer.deadline = Infinity
      },
    }
    const expire = (): void => {
      timer.deadline = Infinity
      onExpire()
    }
    return timer
  }
}
