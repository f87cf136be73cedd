import { beforeEach, describe, expect, it } from 'vitest'
import { deviceContract } from '../testing/contract.ts'
import { FakeClock } from '../testing/fake-clock.ts'
import { RecordedLine } from '../testing/recorded-line.ts'
import { AcpiBlock, AcpiFixedHardware, SLEEP_TYPE_S5 } from './fixed-hardware.ts'
import { RESET_VALUE, ResetControl } from './reset-control.ts'

const [STATUS, ENABLE, CONTROL, TIMER, GPE_STATUS, GPE_ENABLE] = [0, 2, 4, 8, 0x20, 0x24]
let clock: FakeClock
let sci: RecordedLine
let off: number
let acpi: AcpiFixedHardware

beforeEach(() => {
  clock = new FakeClock()
  sci = new RecordedLine()
  off = 0
  acpi = new AcpiFixedHardware({ sci, clock, powerOff: () => { off++ } })
})

describe('fixed hardware', () => {
  it('powers off on SLP_EN with the type of S5 only', () => {
    acpi.writePort(CONTROL, 2, 0x2000 | 1 << 10)
    acpi.writePort(CONTROL, 2, SLEEP_TYPE_S5 << 10)
    expect([off, acpi.readPort(CONTROL, 2)]).toEqual([0, 0x1401])
    acpi.writePort(CONTROL, 2, 0x2000 | SLEEP_TYPE_S5 << 10)
    expect([off, acpi.readPort(CONTROL, 2)]).toEqual([1, 0x1401])
  })

  it('accepts SLP_EN in a write of the high byte', () => {
    acpi.writePort(CONTROL + 1, 1, 0x20 | SLEEP_TYPE_S5 << 2)
    expect(off).toBe(1)
  })

  it('reports the power button as SCI until it is cleared', () => {
    acpi.writePort(ENABLE, 2, 0xffff)
    expect(acpi.readPort(ENABLE, 2)).toBe(0x0521)
    acpi.pressPowerButton()
    expect([sci.asserted, acpi.readPort(STATUS, 2)]).toEqual([true, 0x0100])
    acpi.writePort(STATUS, 2, 0x0001)
    expect(sci.asserted).toBe(true)
    acpi.writePort(STATUS, 2, 0x0100)
    expect([sci.asserted, acpi.readPort(STATUS, 4)]).toEqual([false, 0x05210000])
  })

  it('keeps an event that is not enabled for later', () => {
    acpi.pressPowerButton()
    acpi.raiseEvent(31)
    expect(sci.asserted).toBe(false)
    acpi.writePort(GPE_ENABLE, 4, 0x80000000)
    expect([sci.asserted, acpi.readPort(GPE_STATUS + 3, 1)]).toEqual([true, 0x80])
    acpi.writePort(GPE_STATUS, 4, 0x80000000)
    expect(sci.asserted).toBe(false)
  })

  it('counts at 3.579545 MHz in 32 bits', () => {
    clock.advanceTo(1e9)
    expect([acpi.readPort(TIMER, 4), acpi.readPort(TIMER + 1, 1)]).toEqual([3_579_545, 3_579_545 >> 8 & 0xff])
    clock.advanceTo(1200e9)
    expect(acpi.readPort(TIMER, 4)).toBe(Math.floor(1200e9 * 63 / 17600) - 2 ** 32)
  })

  it('sets TMR_STS when bit 31 changes, with and without a timer', () => {
    clock.advanceTo(599e9)
    expect([acpi.readPort(STATUS, 2), clock.nextDeadline()]).toEqual([0, Infinity])
    clock.advanceTo(600e9)
    expect(acpi.readPort(STATUS, 2)).toBe(1)
    acpi.writePort(STATUS, 2, 1)
    acpi.writePort(ENABLE, 2, 1)
    clock.advanceTo(1199e9)
    expect(sci.asserted).toBe(false)
    clock.advanceTo(1200e9)
    expect(sci.asserted).toBe(true)
  })
})

it('the reset control register resets at the rise of bit 2', () => {
  let resets = 0
  const control = new ResetControl(() => { resets++ })
  control.writeByte(0, 0x02)
  expect([resets, control.readByte(0)]).toEqual([0, 2])
  control.writeByte(0, RESET_VALUE)
  control.writeByte(0, 0x0e)
  expect([resets, control.readByte(0)]).toEqual([1, 0x0e])
})

deviceContract('ACPI fixed hardware', (world) => {
  const device = new AcpiFixedHardware({ sci: world.line(), clock: world.clock, powerOff: world.event('off') })
  return {
    device,
    ports: [{ device, length: AcpiBlock.LENGTH + 2 }],
    actions: [
      () => device.pressPowerButton(), (random) => device.raiseEvent(random.below(32)),
      (random) => { if (random.below(20) === 0) world.clock.advance(300e9) },
    ],
  }
})

deviceContract('reset control register', (world) => {
  const device = new ResetControl(world.event('reset'))
  return { device, ports: [{ device, length: 2 }] }
})
