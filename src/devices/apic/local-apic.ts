import type { Clock } from '../../machine/clock.ts'
import type { ApicMsrs, InterruptController, InterruptLine, ProcessorPins } from '../../machine/interrupts.ts'
import type { MmioDevice, PortSize } from '../../machine/io.ts'
import type { PlainData, Stateful } from '../../machine/lifecycle.ts'
import { StateReader } from '../../machine/state-reader.ts'
import type { ApicBus, BusAgent } from './apic-bus.ts'
import { InterruptRequests } from './interrupt-requests.ts'
import type { InterruptRequestsState } from './interrupt-requests.ts'
import { ApicTimer } from './apic-timer.ts'
import type { ApicTimerState } from './apic-timer.ts'
import { DEFAULT_BASE, MODES, apicBaseMsr, nextMode } from './apic-base.ts'
import type { ApicMode } from './apic-base.ts'
import { decodeIcr } from './ipi.ts'
import {
  ApicError, DeliveryMode, ICR_WRITABLE, LVT_COUNT, LVT_LEVEL, LVT_MASKED, LVT_REMOTE_IRR, LVT_RESET, LVT_WRITABLE, Msr, Register,
  SVR_ENABLE, SVR_SUPPRESS_EOI, SVR_WRITABLE, VERSION,
} from './registers.ts'
import type { VectorSet } from './vector-set.ts'
import { isReadable, isWritable, logicalId } from './x2apic.ts'

/**
 * Local APIC: xAPIC registers in memory, x2APIC registers as MSRs, and the switch between them. Source: SDM Vol. 3A chapter 11
 * (September 2023). The registers are in registers.ts, the timer in apic-timer.ts.
 *
 * Left out on purpose: CMCI, SMM (SMI messages are ignored), the arbitration and remote read registers of the serial APIC bus (they
 * read as 0), extended LVT entries. Delivery is instantaneous: delivery status is always idle.
 */
const APR = 0x09
const RRD = 0x0c
const [TIMER, LINT0, LINT1, ERROR] = [0, 3, 4, 5]

export interface LocalApicOptions {
  /** Initial APIC ID, 0 to 2^32 - 1 (0 to 254 in xAPIC mode). */
  readonly id: number
  readonly bootProcessor: boolean
  /** MAXPHYADDR, for the reserved bits of IA32_APIC_BASE. */
  readonly physicalAddressBits: number
  readonly clock: Clock
  readonly bus: ApicBus
  readonly pins: ProcessorPins
  /** INTA to the external controller on LINT0: the vector, or -1. */
  readonly acknowledgeExternal: () => number
  /** The virtual time at which the guest's TSC has a value. */
  readonly timeOfTsc: (tsc: bigint) => number
  /** The registers moved (`base`), or became visible or invisible. Called when that changes, at a reset and at a restore. */
  readonly relocated: (base: number, visible: boolean) => void
}

export type LocalApicState = {
  readonly mode: ApicMode, readonly base: number
  readonly requests: InterruptRequestsState
  readonly LDR: number, readonly DFR: number, readonly SVR: number
  readonly ESR: number, readonly pendingErrors: number
  readonly ICR: number, readonly ICR_HIGH: number
  readonly LVT: readonly number[]
  readonly timer: ApicTimerState
  /** Levels of LINT0 and LINT1, and whether an ExtINT message waits. */
  readonly lint0: boolean, readonly lint1: boolean, readonly externalMessage: boolean
}

export class LocalApic implements InterruptController, MmioDevice, ApicMsrs, BusAgent, Stateful<LocalApicState> {
  readonly schema = 'local-apic'
  readonly version = 1
  /** The processor's interrupt pins: INTR and NMI while the APIC is disabled. */
  readonly lint0: InterruptLine = { setLevel: (asserted) => this.setLint0(asserted) }
  readonly lint1: InterruptLine = { setLevel: (asserted) => this.setLint1(asserted) }
  private readonly options: LocalApicOptions
  private readonly timer: ApicTimer
  private readonly requests = new InterruptRequests()
  private readonly lvt = new Uint32Array(LVT_COUNT).fill(LVT_RESET)
  private currentMode: ApicMode = 'xapic'
  private base = DEFAULT_BASE
  private ldr = 0
  private dfr = 0xffffffff
  private svr = 0xff
  private esr = 0
  private pendingErrors = 0
  private icr = 0
  private icrHigh = 0
  private lint0Level = false
  private lint1Level = false
  private externalMessage = false
  /** What the processor was told last. */
  private interruptPending = false

  constructor(options: LocalApicOptions) {
    this.options = options
    this.timer = new ApicTimer(options.clock, options.timeOfTsc, () => this.deliverLocal(TIMER))
    options.bus.attach(this)
  }

  get mode(): ApicMode { return this.currentMode }

  // The processor's side.

  hasPending(): boolean { return this.interruptPending }

  /** ExtINT is not subject to priorities and goes first. */
  acknowledge(): number {
    if (this.externalPending) {
      this.externalMessage = false
      const external = this.options.acknowledgeExternal()
      this.refresh()
      if (external >= 0) return external
    }
    const vector = this.requests.take()
    this.refresh()
    return vector
  }

  /** CR8: bits 7:4 of TPR, 0 to 15. §11.8.6. */
  get cr8(): number { return this.requests.tpr >> 4 }
  set cr8(value: number) { this.setTpr((value & 15) << 4) }

  /** The relation between the guest's TSC and virtual time has changed. */
  tscChanged(): void { this.timer.tscChanged() }

  /** What PC firmware leaves behind on the boot processor: enabled, LINT0 as ExtINT, LINT1 as NMI ("virtual wire mode"). */
  enterVirtualWireMode(): void {
    this.svr = SVR_ENABLE | 0xff
    this.lvt[LINT0] = DeliveryMode.EXT_INT << 8
    this.lvt[LINT1] = DeliveryMode.NMI << 8
    this.refresh()
  }

  readMsr(index: number): bigint | null {
    if (index === Msr.IA32_APIC_BASE) return apicBaseMsr(this.currentMode, this.base, this.options.bootProcessor)
    if (index === Msr.IA32_TSC_DEADLINE) return this.timer.tscDeadline
    const register = this.x2apicRegister(index)
    if (register < 0 || !isReadable(register)) return null
    if (register === Register.ICR) return BigInt(this.icrHigh) << 32n | BigInt(this.icr)
    return BigInt(this.readRegister(register))
  }

  writeMsr(index: number, value: bigint): boolean {
    if (index === Msr.IA32_APIC_BASE) return this.writeApicBase(value)
    if (index === Msr.IA32_TSC_DEADLINE) {
      this.timer.setTscDeadline(value)
      return true
    }
    const register = this.x2apicRegister(index)
    if (register < 0 || !isWritable(register, value)) return false
    if (register === Register.ICR) this.icrHigh = Number(value >> 32n)
    this.writeRegister(register, Number(value & 0xffffffffn))
    return true
  }

  // The memory bus's side. Registers are 16 bytes apart; only their first 4 bytes exist.

  readMmio(offset: number, size: PortSize): number {
    if (this.currentMode !== 'xapic') return 0xffffffff >>> 32 - 8 * size
    if ((offset & 15) >= 4) return 0
    return (this.readRegister(offset >> 4) >>> 8 * (offset & 3) & 0xffffffff >>> 32 - 8 * size) >>> 0
  }

  /** Narrow or misplaced writes are undefined (§11.4.1) and ignored. */
  writeMmio(offset: number, size: PortSize, value: number): void {
    if (this.currentMode === 'xapic' && size === 4 && (offset & 15) === 0) this.writeRegister(offset >> 4, value)
  }

  // The APIC bus's side.

  matches(destination: number, logical: boolean): boolean {
    if (!logical) return destination === this.id
    const { ldr } = this
    if (this.currentMode === 'x2apic') {
      const own = logicalId(this.options.id)
      return destination >>> 16 === own >>> 16 && (destination & own & 0xffff) !== 0
    }
    if (this.dfr >>> 28 === 15) return (ldr >>> 24 & destination) !== 0
    const cluster = destination >> 4
    return (cluster === 15 || cluster === ldr >>> 28) && (ldr >>> 24 & destination & 15) !== 0
  }

  get arbitrationPriority(): number { return this.svr & SVR_ENABLE && this.currentMode !== 'disabled' ? this.requests.ppr : 0x100 }

  accept(mode: number, vector: number, levelTriggered: boolean): boolean {
    if (this.currentMode === 'disabled') return false
    switch (mode) {
      case DeliveryMode.FIXED: case DeliveryMode.LOWEST_PRIORITY: return this.acceptFixed(vector, levelTriggered)
      case DeliveryMode.NMI: this.options.pins.nonMaskableInterrupt(); return true
      case DeliveryMode.INIT: this.acceptInit(); return true
      case DeliveryMode.START_UP: this.options.pins.startUp(vector); return true
      case DeliveryMode.EXT_INT: this.externalMessage = true; this.refresh(); return true
      default: return false
    }
  }

  reset(): void {
    this.currentMode = 'xapic'
    this.base = DEFAULT_BASE
    this.lint0Level = this.lint1Level = false
    this.clear()
    this.options.relocated(this.base, true)
  }

  save(): LocalApicState {
    return {
      mode: this.currentMode, base: this.base, requests: this.requests.save(), LDR: this.ldr, DFR: this.dfr, SVR: this.svr,
      ESR: this.esr, pendingErrors: this.pendingErrors, ICR: this.icr, ICR_HIGH: this.icrHigh, LVT: Array.from(this.lvt),
      timer: this.timer.save(), lint0: this.lint0Level, lint1: this.lint1Level, externalMessage: this.externalMessage,
    }
  }

  restore(saved: PlainData): void {
    const state = new StateReader(this.schema, saved)
    this.currentMode = state.choice('mode', MODES)
    this.base = state.integer('base', 0, 2 ** this.options.physicalAddressBits - 4096)
    if (this.base % 4096 !== 0) throw state.invalid('base', 'is not page-aligned')
    this.requests.restore(state.child('requests'))
    this.ldr = state.u32('LDR')
    this.dfr = state.u32('DFR')
    this.svr = state.u32('SVR') & SVR_WRITABLE
    this.esr = state.u8('ESR')
    this.pendingErrors = state.u8('pendingErrors')
    this.icr = state.u32('ICR') & ICR_WRITABLE
    this.icrHigh = state.u32('ICR_HIGH')
    this.lvt.set(state.integers('LVT', LVT_COUNT, 0, 0xffffffff).map((entry, i) => entry & (LVT_WRITABLE[i] | LVT_REMOTE_IRR)))
    this.timer.restore(state.child('timer'))
    this.lint0Level = state.boolean('lint0')
    this.lint1Level = state.boolean('lint1')
    this.externalMessage = state.boolean('externalMessage')
    this.options.relocated(this.base, this.currentMode === 'xapic')
    this.refresh()
  }

  /** The state after power-on, INIT (§11.4.7.3) or while disabled; the base, the mode and the pins stay. */
  private clear(): void {
    this.requests.clear()
    this.lvt.fill(LVT_RESET)
    this.ldr = this.esr = this.pendingErrors = this.icr = this.icrHigh = 0
    this.dfr = 0xffffffff
    this.svr = 0xff
    this.externalMessage = false
    this.timer.reset()
    this.refresh()
  }

  private get id(): number { return this.currentMode === 'x2apic' ? this.options.id : this.options.id & 0xff }

  private x2apicRegister(msr: number): number {
    return this.currentMode === 'x2apic' && msr >= Msr.X2APIC_FIRST && msr <= Msr.X2APIC_LAST ? msr - Msr.X2APIC_FIRST : -1
  }

  private readRegister(register: number): number {
    if (register >= Register.ISR && register < Register.ESR) return this.vectors(register).words[register & 7]
    if (register >= Register.LVT_TIMER && register < Register.LVT_TIMER + LVT_COUNT) return this.lvt[register - Register.LVT_TIMER]
    switch (register) {
      case Register.ID: return this.currentMode === 'x2apic' ? this.id : this.id << 24 >>> 0
      case Register.VERSION: return VERSION
      case Register.TPR: return this.requests.tpr
      case Register.PPR: return this.requests.ppr
      case Register.LDR: return this.currentMode === 'x2apic' ? logicalId(this.id) : this.ldr
      case Register.DFR: return this.dfr
      case Register.SVR: return this.svr
      case Register.ESR: return this.esr
      case Register.ICR: return this.icr
      case Register.ICR_HIGH: return this.icrHigh
      case Register.INITIAL_COUNT: return this.timer.initialCount
      case Register.CURRENT_COUNT: return this.timer.currentCount
      case Register.DIVIDE: return this.timer.divideConfiguration
      case Register.EOI: case APR: case RRD: return 0
      default: this.raiseError(ApicError.ILLEGAL_REGISTER); return 0
    }
  }

  private writeRegister(register: number, value: number): void {
    if (register >= Register.LVT_TIMER && register < Register.LVT_TIMER + LVT_COUNT) {
      this.writeLvt(register - Register.LVT_TIMER, value)
      return
    }
    switch (register) {
      case Register.TPR: this.setTpr(value & 0xff); break
      case Register.EOI: this.endOfInterrupt(); break
      case Register.LDR: this.ldr = (value & 0xff000000) >>> 0; break
      case Register.DFR: this.dfr = (value | 0x0fffffff) >>> 0; break
      case Register.SVR: this.writeSvr(value & SVR_WRITABLE); break
      case Register.ESR: this.latchErrors(); break
      case Register.ICR: this.sendIpi(value & ICR_WRITABLE); break
      case Register.ICR_HIGH: this.icrHigh = (value & 0xff000000) >>> 0; break
      case Register.INITIAL_COUNT: this.timer.setInitialCount(value); break
      case Register.DIVIDE: this.timer.setDivide(value); break
      case Register.SELF_IPI: this.selfIpi(value); break
      default: this.writeOther(register)
    }
  }

  private writeOther(register: number): void {
    const readOnly = register === Register.ID || register === APR || register === RRD || isReadable(register)
    if (!readOnly) this.raiseError(ApicError.ILLEGAL_REGISTER)
  }

  private vectors(register: number): VectorSet {
    const { isr, tmr, irr } = this.requests
    if (register < Register.TMR) return isr
    return register < Register.IRR ? tmr : irr
  }

  private get externalPending(): boolean {
    if (this.externalMessage) return true
    if (!this.lint0Level) return false
    return this.currentMode === 'disabled' || (this.lvt[LINT0] & (LVT_MASKED | 0x700)) === DeliveryMode.EXT_INT << 8
  }

  private refresh(): void {
    const pending = this.externalPending || this.requests.deliverable() >= 0
    if (pending === this.interruptPending) return
    this.interruptPending = pending
    this.options.pins.interrupt(pending)
  }

  private setTpr(value: number): void {
    this.requests.tpr = value
    this.refresh()
  }

  /** Disabling in software masks all LVT entries; what is pending stays. §11.4.7.2. */
  private writeSvr(value: number): void {
    this.svr = value
    if ((value & SVR_ENABLE) === 0) for (let i = 0; i < LVT_COUNT; i++) this.lvt[i] |= LVT_MASKED
    this.refresh()
  }

  private writeLvt(index: number, value: number): void {
    const kept = value & LVT_LEVEL ? this.lvt[index] & LVT_REMOTE_IRR : 0
    const masked = this.svr & SVR_ENABLE ? 0 : LVT_MASKED
    this.lvt[index] = value & LVT_WRITABLE[index] | kept | masked
    if (index === TIMER) this.timer.setMode(value >> 17 & 3)
    if (index === LINT0) this.deliverLevel()
    this.refresh()
  }

  private setLint0(asserted: boolean): void {
    if (asserted === this.lint0Level) return
    this.lint0Level = asserted
    if (this.currentMode !== 'disabled' && asserted) {
      if (this.lvt[LINT0] & LVT_LEVEL) this.deliverLevel()
      else this.deliverLocal(LINT0)
    }
    this.refresh()
  }

  /** LINT1 is always edge-sensitive (§11.5.1). */
  private setLint1(asserted: boolean): void {
    if (asserted === this.lint1Level) return
    this.lint1Level = asserted
    if (!asserted) return
    if (this.currentMode === 'disabled') this.options.pins.nonMaskableInterrupt()
    else this.deliverLocal(LINT1)
  }

  /** A fixed level-triggered interrupt on LINT0 is delivered once until its EOI. */
  private deliverLevel(): void {
    const entry = this.lvt[LINT0]
    const blocked = LVT_MASKED | LVT_REMOTE_IRR | 0x700
    if (!this.lint0Level || (entry & (blocked | LVT_LEVEL)) !== LVT_LEVEL) return
    if (this.acceptFixed(entry & 0xff, true)) this.lvt[LINT0] |= LVT_REMOTE_IRR
  }

  private deliverLocal(index: number): void {
    const entry = this.lvt[index]
    if (entry & LVT_MASKED) return
    const mode = index === TIMER || index === ERROR ? DeliveryMode.FIXED : entry >> 8 & 7
    if (mode !== DeliveryMode.EXT_INT) this.accept(mode, entry & 0xff, false)
  }

  private acceptFixed(vector: number, levelTriggered: boolean): boolean {
    if ((this.svr & SVR_ENABLE) === 0) return false
    if (vector < 16) {
      this.raiseError(ApicError.RECEIVE_ILLEGAL_VECTOR)
      return false
    }
    this.requests.add(vector, levelTriggered)
    this.refresh()
    return true
  }

  private acceptInit(): void {
    this.clear()
    this.options.pins.initialize()
  }

  private endOfInterrupt(): void {
    const vector = this.requests.end()
    if (vector >= 0 && this.requests.tmr.has(vector)) this.endOfLevel(vector)
    this.refresh()
  }

  private endOfLevel(vector: number): void {
    if (this.lvt[LINT0] & LVT_REMOTE_IRR && (this.lvt[LINT0] & 0xff) === vector) {
      this.lvt[LINT0] &= ~LVT_REMOTE_IRR
      this.deliverLevel()
    }
    if ((this.svr & SVR_SUPPRESS_EOI) === 0) this.options.bus.broadcastEoi(vector)
  }

  /** The first error since ESR was written interrupts. */
  private raiseError(error: number): void {
    const first = this.pendingErrors === 0
    this.pendingErrors |= error
    if (first) this.deliverLocal(ERROR)
  }

  private latchErrors(): void {
    this.esr = this.pendingErrors
    this.pendingErrors = 0
  }

  private sendIpi(icr: number): void {
    this.icr = icr
    const ipi = decodeIcr(icr, this.icrHigh, this.currentMode === 'x2apic')
    if (ipi === null) return
    if (ipi.fixed && ipi.vector < 16) {
      this.raiseError(ApicError.SEND_ILLEGAL_VECTOR)
      return
    }
    const { bus } = this.options
    if (ipi.toDestination) bus.deliver(ipi.destination, ipi.logical, ipi.mode, ipi.vector, false)
    if (ipi.toOthers) bus.deliverToOthers(this, ipi.mode, ipi.vector)
    if (ipi.toSelf) this.acceptFixed(ipi.vector, false)
  }

  private selfIpi(vector: number): void {
    if (this.currentMode !== 'x2apic' || vector < 16) {
      this.raiseError(this.currentMode === 'x2apic' ? ApicError.SEND_ILLEGAL_VECTOR : ApicError.ILLEGAL_REGISTER)
    } else this.acceptFixed(vector, false)
  }

  private writeApicBase(value: bigint): boolean {
    const mode = nextMode(this.currentMode, value, this.options.physicalAddressBits)
    if (mode === null) return false
    this.base = Number(value & ~0xfffn)
    this.switchMode(mode)
    this.options.relocated(this.base, mode === 'xapic')
    return true
  }

  private switchMode(mode: ApicMode): void {
    if (mode === this.currentMode) return
    this.currentMode = mode
    if (mode === 'disabled') this.clear()
    else if (mode === 'x2apic') this.icrHigh = 0
    this.refresh()
  }
}
