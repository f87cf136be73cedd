import { beforeEach, describe, expect, it } from 'vitest'
import { deviceContract } from '../testing/contract.ts'
import { FakeClock } from '../testing/fake-clock.ts'
import { Watchdog, WatchdogRegister } from './watchdog.ts'

const { CONTROL, STATUS, COUNTDOWN, COUNT, RELOAD, LENGTH } = WatchdogRegister
const SECOND = 1e9
let clock: FakeClock
let expired: number
let watchdog: Watchdog

beforeEach(() => {
  clock = new FakeClock()
  expired = 0
  watchdog = new Watchdog(clock, () => { expired++ })
})

describe('a watchdog', () => {
  it('expires once if nobody reloads it, and stops', () => {
    watchdog.writePort(COUNTDOWN, 2, 20)
    watchdog.writePort(CONTROL, 1, 1)
    clock.advance(1.9 * SECOND)
    expect([expired, watchdog.readPort(COUNT, 2), watchdog.readPort(CONTROL, 1)]).toEqual([0, 1, 1])
    clock.advance(0.2 * SECOND)
    expect([expired, watchdog.readPort(COUNT, 2), watchdog.readPort(CONTROL, 1)]).toEqual([1, 0, 0])
    clock.advance(1000 * SECOND)
    expect(expired).toBe(1)
  })

  it('begins again with each reload, with the latest countdown', () => {
    watchdog.writePort(CONTROL, 1, 1)
    expect(watchdog.readPort(COUNT, 2)).toBe(600)
    watchdog.writePort(COUNTDOWN, 2, 10)
    watchdog.writePort(CONTROL, 1, 1)
    expect(watchdog.readPort(COUNT, 2)).toBe(600)
    for (let n = 0; n < 5; n++) {
      watchdog.writePort(RELOAD, 1, 1)
      clock.advance(0.9 * SECOND)
    }
    expect([expired, watchdog.readPort(COUNTDOWN, 2)]).toEqual([0, 10])
    clock.advance(0.2 * SECOND)
    expect(expired).toBe(1)
  })

  it('does not expire when it is stopped, and cannot be reloaded then', () => {
    watchdog.writePort(CONTROL, 1, 1)
    watchdog.writePort(CONTROL, 1, 0)
    watchdog.writePort(RELOAD, 1, 1)
    clock.advance(1000 * SECOND)
    expect([expired, clock.nextDeadline()]).toEqual([0, Infinity])
  })

  it('has a tick at least', () => {
    watchdog.writePort(COUNTDOWN, 2, 0)
    watchdog.writePort(CONTROL, 1, 1)
    clock.advance(0.05 * SECOND)
    expect(expired).toBe(0)
    clock.advance(0.1 * SECOND)
    expect(expired).toBe(1)
  })

  it('gives a guest another chance whose time has leapt', () => {
    let onExpire = (): void => undefined
    const leaping = new Watchdog({
      now: () => clock.now(),
      timer: (expire) => {
        onExpire = expire
        return { deadline: Infinity, arm: () => undefined, disarm: () => undefined }
      },
    }, () => { expired++ })
    leaping.writePort(CONTROL, 1, 1)
    clock.advance(3600 * SECOND)
    onExpire()
    expect([expired, leaping.readPort(COUNT, 2)]).toEqual([0, 600])
    clock.advance(60.5 * SECOND)
    onExpire()
    expect(expired).toBe(1)
  })

  it('tells the guest that it had expired', () => {
    watchdog.noteExpiry()
    expect(watchdog.readPort(STATUS, 1)).toBe(1)
    watchdog.writePort(STATUS, 1, 0)
    expect(watchdog.readPort(STATUS, 1)).toBe(1)
    watchdog.writePort(STATUS, 1, 1)
    expect(watchdog.readPort(STATUS, 1)).toBe(0)
  })
})

deviceContract('watchdog', (world) => {
  const device = new Watchdog(world.clock, world.event('expired'))
  return { device, ports: [{ device, length: LENGTH }], actions: [() => device.noteExpiry(), () => device.writePort(COUNTDOWN, 2, 3)] }
})
