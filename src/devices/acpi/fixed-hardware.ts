import type { Clock, Timer } from '../../machine/clock.ts'
import type { InterruptLine } from '../../machine/interrupts.ts'
import type { PortDevice, PortSize } from '../../machine/io.ts'
import type { PlainData, Stateful } from '../../machine/lifecycle.ts'
import { StateReader } from '../../machine/state-reader.ts'
import { RegisterMap } from '../registers/register-map.ts'
import { PM_TIMER_RATE } from '../ticks.ts'

/**
 * ACPI fixed hardware. Source: ACPI Specification 6.5, §4.8 "ACPI Register Model".
 *
 *   0x00  PM1_STS (write 1 to clear): TMR 0, GBL 5, PWRBTN 8, WAK 15        0x02  PM1_EN: TMR 0, GBL 5, PWRBTN 8, RTC 10
 *   0x04  PM1_CNT: SCI_EN 0 (always 1), BM_RLD 1, GBL_RLS 2, SLP_TYP 12:10, SLP_EN 13 (write-only)
 *   0x08  PM_TMR, 32 bits (read-only)
 *   0x20  GPE0_STS, 32 events (write 1 to clear)                            0x24  GPE0_EN
 *
 * The machine is always in ACPI mode: the FADT's SMI_CMD is 0. The offsets of the blocks are in AcpiBlock. SCI is a level.
 *
 * Left out on purpose: sleep states other than S5 (SLEEP_TYPE_S5 in \_S5), the sleep button, PM2 and GPE1 blocks, C-states by port.
 * RTC_EN can be set, as systems expect, but RTC_STS never is: there is no sleep to wake from.
 */
export const AcpiBlock = { PM1A_EVT: 0x00, PM1A_CNT: 0x04, PM_TMR: 0x08, GPE0: 0x20, GPE0_LENGTH: 8, LENGTH: 0x28 } as const

/** SLP_TYPa of the S5 package. */
export const SLEEP_TYPE_S5 = 5

const Pm1 = { TMR: 0x0001, GBL: 0x0020, PWRBTN: 0x0100, RTC: 0x0400, WAK: 0x8000 } as const
const Control = { SCI_EN: 1, BM_RLD: 2, SLP_TYP: 0x1c00, SLP_EN: 0x2000 } as const
/** TMR_STS is set whenever bit 31 changes (§4.8.2.1). */
const TOGGLE_TICKS = 2 ** 31

export type AcpiFixedHardwareState = {
  readonly PM1_STS: number, readonly PM1_EN: number, readonly PM1_CNT: number
  readonly GPE0_STS: number, readonly GPE0_EN: number
  /** Virtual time up to which TMR_STS is accounted for. */
  readonly timerUntil: number
}

export interface AcpiFixedHardwareOptions {
  readonly sci: InterruptLine
  readonly clock: Clock
  /** The guest entered S5: soft off. Called during a port write. */
  readonly powerOff: () => void
}

export class AcpiFixedHardware implements PortDevice, Stateful<AcpiFixedHardwareState> {
  readonly schema = 'acpi-fixed-hardware'
  readonly version = 1
  private readonly options: AcpiFixedHardwareOptions
  private readonly timer: Timer
  private readonly registers: RegisterMap
  private timerUntil: number

  constructor(options: AcpiFixedHardwareOptions) {
    this.options = options
    this.timer = options.clock.timer(() => this.update())
    this.timerUntil = options.clock.now()
    const events = Pm1.TMR | Pm1.GBL | Pm1.PWRBTN | Pm1.RTC
    this.registers = new RegisterMap([
      { name: 'PM1_STS', offset: 0x00, width: 2, writeOneToClear: events | Pm1.WAK },
      { name: 'PM1_EN', offset: 0x02, width: 2, writable: events },
      {
        name: 'PM1_CNT', offset: 0x04, width: 2, reset: Control.SCI_EN, writable: Control.BM_RLD | Control.SLP_TYP,
        written: (_stored, raw) => this.writeControl(raw),
      },
      { name: 'PM_TMR', offset: 0x08, width: 4, read: () => PM_TIMER_RATE.ticksAt(options.clock.now()) % 2 ** 32 },
      { name: 'GPE0_STS', offset: 0x20, width: 4, writeOneToClear: 0xffffffff },
      { name: 'GPE0_EN', offset: 0x24, width: 4, writable: 0xffffffff },
    ], AcpiBlock.LENGTH)
  }

  readPort(offset: number, size: PortSize): number {
    if (offset < AcpiBlock.PM_TMR) this.account()
    return this.registers.read(offset, size)
  }

  writePort(offset: number, size: PortSize, value: number): void {
    this.account()
    this.registers.write(offset, size, value)
    this.drive()
  }

  /** The user presses the power button. */
  pressPowerButton(): void {
    this.registers.set('PM1_STS', this.registers.get('PM1_STS') | Pm1.PWRBTN)
    this.update()
  }

  /** A general-purpose event, 0 to 31. */
  raiseEvent(event: number): void {
    this.registers.set('GPE0_STS', this.registers.get('GPE0_STS') | 1 << event)
    this.update()
  }

  reset(): void {
    this.registers.reset()
    this.timerUntil = this.options.clock.now()
    this.drive()
  }

  save(): AcpiFixedHardwareState {
    const { PM1_STS, PM1_EN, PM1_CNT, GPE0_STS, GPE0_EN } = this.registers.save()
    return { PM1_STS, PM1_EN, PM1_CNT, GPE0_STS, GPE0_EN, timerUntil: this.timerUntil }
  }

  restore(saved: PlainData): void {
    const state = new StateReader(this.schema, saved)
    this.registers.restore((name) => state.u32(name))
    this.timerUntil = state.time('timerUntil')
    this.drive()
  }

  /** SLP_EN always reads as 0: writing it is the command. */
  private writeControl(raw: number): void {
    if ((raw & Control.SLP_EN) !== 0 && (raw & Control.SLP_TYP) >> 10 === SLEEP_TYPE_S5) this.options.powerOff()
  }

  private toggles(time: number): number { return Math.floor(PM_TIMER_RATE.ticksAt(time) / TOGGLE_TICKS) }

  private account(): void {
    const now = this.options.clock.now()
    if (this.toggles(now) > this.toggles(this.timerUntil)) this.registers.set('PM1_STS', this.registers.get('PM1_STS') | Pm1.TMR)
    this.timerUntil = now
  }

  private update(): void {
    this.account()
    this.drive()
  }

  private drive(): void {
    const { registers } = this
    const enabled = registers.get('PM1_EN')
    const waiting = (registers.get('PM1_STS') & enabled) !== 0 || (registers.get('GPE0_STS') & registers.get('GPE0_EN')) !== 0
    this.options.sci.setLevel(waiting)
    if (enabled & Pm1.TMR) this.timer.arm(PM_TIMER_RATE.timeOf((this.toggles(this.timerUntil) + 1) * TOGGLE_TICKS))
    else this.timer.disarm()
  }
}
