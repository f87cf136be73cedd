import type { Clock, Timer } from '../../machine/clock.ts'
import type { InterruptLine } from '../../machine/interrupts.ts'
import type { PlainData, Stateful } from '../../machine/lifecycle.ts'
import { StateReader } from '../../machine/state-reader.ts'
import { ByteDevice } from '../bus/byte-device.ts'
import { RTC_RATE, SHORTEST_PERIOD } from '../ticks.ts'
import { TIME_FIELDS, decodeTime, encodeTime, secondsToAlarm } from './calendar.ts'
import type { TimeFormat } from './calendar.ts'

/**
 * Real-time clock and CMOS memory. Source: Motorola MC146818A data sheet; the index port: Intel ICH9 data sheet, §13.6 and §13.7.2.
 *
 *   port 0  index (write-only): bits 0 to 6 register, bit 7 NMI mask     port 1  the register
 *
 *   register 0 2 4 6 7 8 9  seconds, minutes, hours, day of the week, date, month, year;  1 3 5  alarm seconds, minutes, hours
 *            0x0a  A: UIP 7, DV 6:4, RS 3:0           0x0b  B: SET 7, PIE 6, AIE 5, UIE 4, SQWE 3, DM 2, 24/12 1, DSE 0
 *            0x0c  C (cleared by reading): IRQF 7, PF 6, AF 5, UF 4       0x0d  D: VRT 7
 *            0x0e to 0x7f  CMOS memory; 0x32 is the century
 *
 * The time is the host's at power-on and at each reset, and then runs with the virtual clock. Flags and time are computed when they
 * are looked at: no timer runs unless an interrupt is enabled.
 *
 * Left out on purpose: daylight saving, the square-wave output, other crystals than 32.768 kHz (any DV but 010 stops the clock).
 */
const A = { UIP: 0x80, DV: 0x70, DV_RUN: 0x20, RS: 0x0f } as const
const B = { SET: 0x80, PIE: 0x40, AIE: 0x20, UIE: 0x10, DM: 0x04, HOURS24: 0x02 } as const
const C = { IRQF: 0x80, PF: 0x40, AF: 0x20, UF: 0x10 } as const
const VRT = 0x80
const Register = { ALARM_SECONDS: 1, ALARM_MINUTES: 3, ALARM_HOURS: 5, A: 10, B: 11, C: 12, D: 13, CENTURY: 0x32 } as const
const SECOND = 1e9
/** UIP rises 244 us before an update, which takes 1,984 us (data sheet, "Update cycle"). */
const UPDATE_IN_PROGRESS = 244_000 + 1_984_000
/** The first update after the divider is released comes half a second later (data sheet, "Divider control"). */
const FIRST_UPDATE = 500_000_000
const MAXIMUM_SECONDS = 1e12

export type RtcState = {
  readonly index: number, readonly nmiMasked: boolean
  readonly A: number, readonly B: number, readonly C: number
  readonly cmos: Uint8Array
  /** While the clock runs: Unix seconds at the virtual time `reference`, at which a second begins. */
  readonly seconds: number, readonly reference: number
  /** While it is stopped: the time registers as software left them (order of calendar.ts). */
  readonly heldTime: Uint8Array
  /** Virtual time up to which register C's flags are accounted for. */
  readonly flagsUntil: number
}

export interface RtcOptions {
  /** Unix time in milliseconds; asked at power-on and reset only. */
  readonly wallClock: () => number
  /** 128 bytes; see cmos-contents.ts. The clock's registers in it are ignored. */
  readonly cmos: Uint8Array
}

export class RtcMc146818 extends ByteDevice implements Stateful<RtcState> {
  readonly schema = 'rtc-mc146818'
  readonly version = 1
  private readonly line: InterruptLine
  private readonly clock: Clock
  private readonly timer: Timer
  private readonly options: RtcOptions
  private readonly cmos = new Uint8Array(128)
  private index = 0
  private masked = false
  private a = 0
  private b = 0
  private c = 0
  private seconds = 0
  private reference = 0
  private heldTime: Uint8Array = new Uint8Array(TIME_FIELDS)
  private flagsUntil = 0

  constructor(line: InterruptLine, clock: Clock, options: RtcOptions) {
    super()
    this.line = line
    this.clock = clock
    this.options = options
    this.timer = clock.timer(() => this.update())
    this.powerOn()
  }

  /** Bit 7 of the index port: the chipset blocks NMI. */
  get nmiMasked(): boolean { return this.masked }

  readByte(offset: number): number { return offset === 1 ? this.readRegister(this.index) : 0 }

  writeByte(offset: number, value: number): void {
    if (offset === 0) {
      this.index = value & 0x7f
      this.masked = (value & 0x80) !== 0
    } else if (offset === 1) this.writeRegister(this.index, value)
  }

  reset(): void {
    this.powerOn()
    this.update()
  }

  save(): RtcState {
    return {
      index: this.index, nmiMasked: this.masked, A: this.a, B: this.b, C: this.c, cmos: this.cmos.slice(),
      seconds: this.seconds, reference: this.reference, heldTime: this.heldTime.slice(), flagsUntil: this.flagsUntil,
    }
  }

  restore(saved: PlainData): void {
    const state = new StateReader(this.schema, saved)
    this.index = state.integer('index', 0, 0x7f)
    this.masked = state.boolean('nmiMasked')
    this.a = state.integer('A', 0, 0x7f)
    this.b = state.u8('B')
    this.c = state.u8('C') & (C.PF | C.AF | C.UF)
    this.cmos.set(state.bytes('cmos', 128))
    this.seconds = state.integer('seconds', -MAXIMUM_SECONDS, MAXIMUM_SECONDS)
    this.reference = state.time('reference')
    this.heldTime = state.bytes('heldTime', TIME_FIELDS)
    this.flagsUntil = state.time('flagsUntil')
    this.drive()
  }

  private powerOn(): void {
    const now = this.clock.now()
    const wall = Math.floor(this.options.wallClock())
    this.seconds = Math.floor(wall / 1000) + 1
    this.reference = now + (this.seconds * 1000 - wall) * 1e6
    this.cmos.set(this.options.cmos)
    this.index = this.c = 0
    this.masked = false
    this.a = A.DV_RUN | 6
    this.b = B.HOURS24
    this.heldTime.fill(0)
    this.flagsUntil = now
  }

  private readRegister(register: number): number {
    const field = timeField(register)
    if (field >= 0) return this.timeRegisters()[field]
    switch (register) {
      case Register.A: return this.a | (this.updateInProgress() ? A.UIP : 0)
      case Register.B: return this.b
      case Register.C: return this.readFlags()
      case Register.D: return VRT
      default: return this.cmos[register]
    }
  }

  private writeRegister(register: number, value: number): void {
    const field = timeField(register)
    this.account()
    if (field >= 0) this.writeTime(field, value)
    else if (register === Register.A) this.writeControl(value & 0x7f, this.b)
    else if (register === Register.B) this.writeControl(this.a, value & B.SET ? value & ~B.UIE : value)
    else if (register !== Register.C && register !== Register.D) this.cmos[register] = value
    this.drive()
  }

  private readFlags(): number {
    this.account()
    const flags = this.c | (this.c & this.b ? C.IRQF : 0)
    this.c = 0
    this.drive()
    return flags
  }

  private writeTime(field: number, value: number): void {
    if (!this.running) {
      this.heldTime[field] = value
      return
    }
    const fields = this.timeRegisters()
    fields[field] = value
    this.setTime(decodeTime(fields, this.format))
  }

  /** SET and the divider stop the clock, which then holds its registers; running again it takes them as the time. */
  private writeControl(a: number, b: number): void {
    const wasRunning = this.running
    const dividerReleased = (this.a & A.DV) !== A.DV_RUN && (a & A.DV) === A.DV_RUN
    const held = this.timeRegisters()
    this.a = a
    this.b = b
    if (dividerReleased) this.reference = this.clock.now() + FIRST_UPDATE
    if (wasRunning && !this.running) this.heldTime = held
    else if (!wasRunning && this.running) {
      this.setTime(decodeTime(this.heldTime, this.format))
      this.heldTime.fill(0)
    }
  }

  /** The phase of the seconds stays; right after the divider's release `reference` is the first update, still to come. */
  private setTime(unixSeconds: number): void {
    this.seconds = unixSeconds - this.secondsSinceReference(this.clock.now())
  }

  private timeRegisters(): Uint8Array {
    return this.running ? encodeTime(this.secondsAt(this.clock.now()), this.format) : this.heldTime.slice()
  }

  private get running(): boolean { return (this.b & B.SET) === 0 && (this.a & A.DV) === A.DV_RUN }

  private get format(): TimeFormat { return { binary: (this.b & B.DM) !== 0, hours24: (this.b & B.HOURS24) !== 0 } }

  private secondsSinceReference(time: number): number { return Math.floor((time - this.reference) / SECOND) }

  private secondsAt(time: number): number { return this.seconds + this.secondsSinceReference(time) }

  private timeOfSecond(second: number): number { return this.reference + (second - this.seconds) * SECOND }

  private updateInProgress(): boolean {
    const now = this.clock.now()
    return this.running && this.timeOfSecond(this.secondsAt(now) + 1) - now <= UPDATE_IN_PROGRESS
  }

  /** Ticks of 32.768 kHz between periodic interrupts, 0 for none; rates 1 and 2 are those of 8 and 9 (data sheet, table 5). */
  private get periodicTicks(): number {
    const rate = this.a & A.RS
    if (rate === 0 || (this.a & A.DV) !== A.DV_RUN) return 0
    return 1 << (rate < 3 ? rate + 7 : rate) - 1
  }

  private alarmDelay(unixSeconds: number): number {
    const alarm = {
      seconds: this.cmos[Register.ALARM_SECONDS],
      minutes: this.cmos[Register.ALARM_MINUTES],
      hours: this.cmos[Register.ALARM_HOURS],
    }
    return secondsToAlarm(unixSeconds, alarm, this.format)
  }

  /** Sets the flags of all that has happened since the last time. */
  private account(): void {
    const now = this.clock.now()
    const from = this.flagsUntil
    this.flagsUntil = now
    const period = this.periodicTicks
    if (period > 0 && Math.floor(RTC_RATE.ticksAt(now) / period) > Math.floor(RTC_RATE.ticksAt(from) / period)) this.c |= C.PF
    if (!this.running) return
    const elapsed = this.secondsAt(now) - this.secondsAt(from)
    if (elapsed <= 0) return
    this.c |= C.UF
    if (this.alarmDelay(this.secondsAt(from)) <= elapsed) this.c |= C.AF
  }

  private update(): void {
    this.account()
    this.drive()
  }

  /** While the line is asserted nothing more can happen before software reads register C. */
  private drive(): void {
    const asserted = (this.c & this.b) !== 0
    this.line.setLevel(asserted)
    const next = asserted ? Infinity : Math.min(this.nextPeriodic(), this.nextUpdate())
    if (next === Infinity) this.timer.disarm()
    else this.timer.arm(next)
  }

  private nextPeriodic(): number {
    const period = this.periodicTicks
    if (period === 0 || (this.b & B.PIE) === 0) return Infinity
    const next = (Math.floor(RTC_RATE.ticksAt(this.flagsUntil) / period) + 1) * period
    return Math.max(RTC_RATE.timeOf(next), this.flagsUntil + SHORTEST_PERIOD)
  }

  private nextUpdate(): number {
    if (!this.running) return Infinity
    const second = this.secondsAt(this.flagsUntil)
    if (this.b & B.UIE) return this.timeOfSecond(second + 1)
    return this.b & B.AIE ? this.timeOfSecond(second + this.alarmDelay(second)) : Infinity
  }
}

/** Index into the calendar's fields, -1 for other registers. */
function timeField(register: number): number {
  switch (register) {
    case 0: return 0
    case 2: return 1
    case 4: return 2
    case 6: case 7: case 8: case 9: return register - 3
    case Register.CENTURY: return 7
    default: return -1
  }
}
