import { beforeEach, describe, expect, it } from 'vitest'
import { deviceContract } from '../testing/contract.ts'
import { FakeClock } from '../testing/fake-clock.ts'
import { RecordedLine } from '../testing/recorded-line.ts'
import { cmosContents } from './cmos-contents.ts'
import { RtcMc146818 } from './rtc-mc146818.ts'

/** 2024-02-28 23:59:58.25 UTC, a Wednesday. */
const START = Date.UTC(2024, 1, 28, 23, 59, 58, 250)
const [SECONDS, MINUTES, HOURS, DATE, MONTH, YEAR, A, B, C, D, CENTURY] = [0, 2, 4, 7, 8, 9, 10, 11, 12, 13, 0x32]

let clock: FakeClock
let line: RecordedLine
let rtc: RtcMc146818

beforeEach(() => {
  clock = new FakeClock()
  line = new RecordedLine()
  rtc = new RtcMc146818(line, clock, { wallClock: () => START + clock.now() / 1e6, cmos: cmosContents(2 ** 29, 0) })
})

const read = (register: number): number => { rtc.writeByte(0, register); return rtc.readByte(1) }
const write = (register: number, value: number): void => { rtc.writeByte(0, register); rtc.writeByte(1, value) }
const time = (): number[] => [CENTURY, YEAR, MONTH, DATE, HOURS, MINUTES, SECONDS].map(read)
const seconds = (count: number): void => clock.advance(count * 1e9)

describe('time', () => {
  it('is the wall clock\'s, in BCD and 24 hours', () => {
    expect(time()).toEqual([0x20, 0x24, 2, 0x28, 0x23, 0x59, 0x58])
    expect(read(6)).toBe(4)
  })

  it('runs with the virtual clock, over midnight and leap day', () => {
    clock.advance(749_999_999)
    expect(read(SECONDS)).toBe(0x58)
    clock.advance(1)
    expect(read(SECONDS)).toBe(0x59)
    seconds(1)
    expect(time()).toEqual([0x20, 0x24, 2, 0x29, 0, 0, 0])
  })

  it('is shown in binary and 12 hours if register B says so', () => {
    write(B, 0x06)
    expect([read(HOURS), read(MINUTES)]).toEqual([23, 59])
    write(B, 0x04)
    expect(read(HOURS)).toBe(0x80 | 11)
    write(B, 0x00)
    expect(read(HOURS)).toBe(0x91)
    seconds(2)
    expect(read(HOURS)).toBe(0x12)
  })

  it('is set as Linux sets it: SET, divider reset, half a second to the first update', () => {
    write(B, 0x82)
    write(A, 0x76)
    for (const [register, value] of [[YEAR, 0x99], [CENTURY, 0x19], [MONTH, 0x12], [DATE, 0x31], [HOURS, 0x23], [MINUTES, 0x59],
      [SECONDS, 0x59]]) write(register, value)
    seconds(100)
    expect(read(SECONDS)).toBe(0x59)
    write(B, 0x02)
    write(A, 0x26)
    clock.advance(499_000_000)
    expect(time()).toEqual([0x19, 0x99, 0x12, 0x31, 0x23, 0x59, 0x59])
    clock.advance(1_000_000)
    expect(time()).toEqual([0x20, 0, 1, 1, 0, 0, 0])
  })

  it('keeps the phase of the seconds if only SET stopped it', () => {
    write(B, 0x82)
    write(SECONDS, 0x10)
    write(B, 0x02)
    clock.advance(750_000_000)
    expect(read(SECONDS)).toBe(0x11)
  })

  it('shows an update in progress in the last 2.228 ms of a second, and none while stopped', () => {
    clock.advance(750_000_000 - 2_229_000)
    expect(read(A)).toBe(0x26)
    clock.advance(1_000)
    expect(read(A)).toBe(0xa6)
    write(B, 0x82)
    expect(read(A)).toBe(0x26)
    write(B, 0x02)
    clock.advance(2_228_000)
    expect(read(A)).toBe(0x26)
  })
})

describe('interrupts', () => {
  it('update-ended: once a second, until register C is read', () => {
    write(B, 0x12)
    clock.advance(750_000_000)
    expect(line.asserted).toBe(true)
    seconds(3)
    expect(line.rises).toBe(1)
    expect(read(C) & 0x90).toBe(0x90)
    expect([line.asserted, read(C)]).toEqual([false, 0])
    seconds(1)
    expect(line.rises).toBe(2)
  })

  it('periodic: 1024 Hz at rate 6', () => {
    write(B, 0x42)
    let count = 0
    for (let i = 0; i < 4000; i++) {
      clock.advance(250_000)
      if (line.asserted) { count++; expect(read(C) & 0xc0).toBe(0xc0) }
    }
    expect(count).toBe(1024)
  })

  it('alarm: at its time, with "any" bytes, and never at an impossible one', () => {
    write(5, 0xff); write(3, 0x01); write(1, 0x30)
    write(B, 0x22)
    seconds(91)
    expect(line.asserted).toBe(false)
    clock.advance(750_000_000)
    expect(line.asserted).toBe(true)
    expect(read(C)).toBe(0xa0 | 0x10 | 0x40)
    seconds(3600)
    expect(line.rises).toBe(2)
    read(C)
    write(3, 0x77)
    expect(clock.nextDeadline()).toBe(Infinity)
  })

  it('sets flags without enables, and needs no timer for that', () => {
    seconds(1)
    expect(clock.nextDeadline()).toBe(Infinity)
    expect([read(C), read(C)]).toEqual([0x50, 0])
  })
})

describe('CMOS', () => {
  it('keeps what is written, and the memory size', () => {
    expect([read(0x15), read(0x16), read(0x34), read(0x35)]).toEqual([0x80, 0x02, 0x00, 0x1f])
    write(0x40, 0xa5)
    expect([read(0x40), read(D), rtc.readByte(0)]).toEqual([0xa5, 0x80, 0])
  })

  it('masks NMI with the index port\'s bit 7', () => {
    rtc.writeByte(0, 0x8d)
    expect([rtc.nmiMasked, rtc.readByte(1)]).toEqual([true, 0x80])
  })

  it('tells memory above 4 GiB in 64 KiB units', () => {
    expect([...cmosContents(3 * 2 ** 30, 2 ** 32).subarray(0x5b, 0x5e)]).toEqual([0, 0, 1])
  })
})

deviceContract('MC146818', (world) => {
  const device = new RtcMc146818(world.line(), world.clock, {
    wallClock: () => START + world.clock.now() / 1e6, cmos: cmosContents(2 ** 29, 2 ** 32),
  })
  const register = (index: number): void => device.writeByte(0, index)
  return {
    device,
    ports: [{ device, length: 3 }],
    actions: [() => register(C), () => register(B), () => register(A), () => device.nmiMasked, () => world.clock.advance(3e8)],
  }
})
