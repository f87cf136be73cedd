import type { InterruptLine } from '../../machine/interrupts.ts'
import type { PlainData, Stateful } from '../../machine/lifecycle.ts'
import { ModemInput } from '../../machine/serial.ts'
import type { SerialBackend, SerialPort } from '../../machine/serial.ts'
import { StateReader } from '../../machine/state-reader.ts'
import { ByteDevice } from '../bus/byte-device.ts'
import { ByteFifo } from './byte-fifo.ts'
import type { ByteFifoState } from './byte-fifo.ts'

/**
 * 16550A UART. Source: National Semiconductor PC16550D data sheet (June 1995), section 8 "Registers".
 *
 *   0  RBR (read), THR (write)   1  IER        DLAB = 1:  0  DLL   1  DLM
 *   2  IIR (read), FCR (write)   3  LCR        4  MCR     5  LSR   6  MSR   7  SCR
 *
 * Characters take no time: a byte written to THR is with the back end at once, and the interrupts follow as if its character time
 * had passed; four character times without a byte (the receiver's time-out) pass as soon as the back end has no more bytes.
 *
 * The receiver takes from the back end only what fits into its FIFO. A guest that has ever asserted RTS is taken to use it: while
 * RTS is deasserted, bytes wait in the back end.
 *
 * Left out on purpose: baud rate timing, word length and parity (bytes arrive as they are), DMA modes, overruns from the back end.
 */
const Register = { DATA: 0, IER: 1, IIR_FCR: 2, LCR: 3, MCR: 4, LSR: 5, MSR: 6, SCR: 7 } as const
const Ier = { RECEIVED_DATA: 1, THR_EMPTY: 2, LINE_STATUS: 4, MODEM_STATUS: 8 } as const
const Iir = { NONE: 1, MODEM_STATUS: 0, THR_EMPTY: 2, RECEIVED_DATA: 4, LINE_STATUS: 6, TIMEOUT: 12, FIFOS_ENABLED: 0xc0 } as const
const Fcr = { ENABLE: 1, CLEAR_RECEIVER: 2, CLEAR_TRANSMITTER: 4, KEPT: 0xc9 } as const
const Lcr = { BREAK: 0x40, DLAB: 0x80 } as const
const Mcr = { DTR: 1, RTS: 2, OUT1: 4, OUT2: 8, LOOP: 16, ALL: 31 } as const
const Lsr = { DATA_READY: 1, OVERRUN: 2, BREAK: 16, THR_EMPTY: 32, EMPTY: 64, FIFO_ERROR: 128 } as const
const Msr = { DELTA_CTS: 1, DELTA_DSR: 2, TRAILING_RI: 4, DELTA_DCD: 8 } as const
const TRIGGER_LEVELS = [1, 4, 8, 14] as const
const CONNECTED = ModemInput.CTS | ModemInput.DSR | ModemInput.DCD

export type UartState = {
  readonly IER: number, readonly FCR: number, readonly LCR: number, readonly MCR: number, readonly SCR: number
  readonly DLL: number, readonly DLM: number
  /** Latched error bits of LSR, delta bits of MSR, and the modem inputs' levels. */
  readonly lineErrors: number, readonly modemDeltas: number, readonly modemInputs: number
  readonly transmitterInterrupt: boolean
  readonly guestUsesRts: boolean
  readonly receiver: ByteFifoState, readonly transmitter: ByteFifoState
}

export class Uart16550 extends ByteDevice implements Stateful<UartState>, SerialPort {
  readonly schema = 'uart-16550'
  readonly version = 1
  private readonly line: InterruptLine
  private readonly backend: SerialBackend
  private readonly receiver = new ByteFifo()
  private readonly transmitter = new ByteFifo()
  private ier = 0
  private fcr = 0
  private lcr = 0
  private mcr = 0
  private scr = 0
  private dll = 0
  private dlm = 0
  private lineErrors = 0
  private modemDeltas = 0
  private modemInputs: number = CONNECTED
  private transmitterInterrupt = false
  private guestUsesRts = false

  constructor(line: InterruptLine, backend: SerialBackend) {
    super()
    this.line = line
    this.backend = backend
  }

  readByte(offset: number): number {
    switch (offset) {
      case Register.DATA: return this.lcr & Lcr.DLAB ? this.dll : this.readReceiverBuffer()
      case Register.IER: return this.lcr & Lcr.DLAB ? this.dlm : this.ier
      case Register.IIR_FCR: return this.readInterruptIdentification()
      case Register.LCR: return this.lcr
      case Register.MCR: return this.mcr
      case Register.LSR: return this.readLineStatus()
      case Register.MSR: return this.readModemStatus()
      case Register.SCR: return this.scr
      default: return 0
    }
  }

  writeByte(offset: number, value: number): void {
    switch (offset) {
      case Register.DATA:
        if (this.lcr & Lcr.DLAB) this.dll = value
        else this.writeTransmitterHolding(value)
        break
      case Register.IER:
        if (this.lcr & Lcr.DLAB) this.dlm = value
        else this.writeInterruptEnable(value)
        break
      case Register.IIR_FCR: this.writeFifoControl(value); break
      case Register.LCR: this.writeLineControl(value); break
      case Register.MCR: this.writeModemControl(value); break
      case Register.SCR: this.scr = value; break
    }
  }

  transmitReady(): void {
    while (this.transmitter.count > 0 && this.backend.transmit(this.transmitter.first)) this.transmitter.shift()
    if (this.transmitter.count === 0) this.transmitterInterrupt = true
    this.updateLine()
  }

  receiveReady(): void {
    this.pull()
    this.updateLine()
  }

  receiveBreak(): boolean {
    if (this.mcr & Mcr.LOOP || this.receiver.count >= this.receiverSize()) return false
    this.receive(0, Lsr.BREAK)
    this.updateLine()
    return true
  }

  setModemInputs(levels: number): void {
    const before = this.modemLevels()
    this.modemInputs = levels & 0xf0
    this.noteModemChange(before)
    this.updateLine()
  }

  reset(): void {
    this.receiver.clear()
    this.transmitter.clear()
    this.ier = this.fcr = this.lcr = this.mcr = this.scr = this.dll = this.dlm = 0
    this.lineErrors = this.modemDeltas = 0
    this.transmitterInterrupt = this.guestUsesRts = false
    this.controlChanged()
    this.updateLine()
  }

  save(): UartState {
    return {
      IER: this.ier, FCR: this.fcr, LCR: this.lcr, MCR: this.mcr, SCR: this.scr, DLL: this.dll, DLM: this.dlm,
      lineErrors: this.lineErrors, modemDeltas: this.modemDeltas, modemInputs: this.modemInputs,
      transmitterInterrupt: this.transmitterInterrupt, guestUsesRts: this.guestUsesRts,
      receiver: this.receiver.save(), transmitter: this.transmitter.save(),
    }
  }

  restore(saved: PlainData): void {
    const state = new StateReader(this.schema, saved)
    this.ier = state.u8('IER') & 0x0f
    this.fcr = state.u8('FCR') & Fcr.KEPT
    this.lcr = state.u8('LCR')
    this.mcr = state.u8('MCR') & Mcr.ALL
    this.scr = state.u8('SCR')
    this.dll = state.u8('DLL')
    this.dlm = state.u8('DLM')
    this.lineErrors = state.u8('lineErrors') & (Lsr.OVERRUN | Lsr.BREAK)
    this.modemDeltas = state.u8('modemDeltas') & 0x0f
    this.modemInputs = state.u8('modemInputs') & 0xf0
    this.transmitterInterrupt = state.boolean('transmitterInterrupt')
    this.guestUsesRts = state.boolean('guestUsesRts')
    this.receiver.restore(state.child('receiver'))
    this.transmitter.restore(state.child('transmitter'))
    this.controlChanged()
    this.updateLine()
  }

  private readReceiverBuffer(): number {
    const byte = this.receiver.first
    this.receiver.shift()
    this.lineErrors |= this.receiver.firstFlags
    this.pull()
    this.updateLine()
    return byte
  }

  /** §8.6: reading IIR clears the transmitter's interrupt if that is the one it shows. */
  private readInterruptIdentification(): number {
    const source = this.interruptSource()
    if (source === Iir.THR_EMPTY) {
      this.transmitterInterrupt = false
      this.updateLine()
    }
    return source | (this.fcr & Fcr.ENABLE ? Iir.FIFOS_ENABLED : 0)
  }

  private readLineStatus(): number {
    const empty = this.transmitter.count === 0 ? Lsr.THR_EMPTY | Lsr.EMPTY : 0
    const fifoError = this.fcr & Fcr.ENABLE && this.receiver.flagged ? Lsr.FIFO_ERROR : 0
    const status = (this.receiver.count > 0 ? Lsr.DATA_READY : 0) | this.lineErrors | empty | fifoError
    if (this.lineErrors !== 0) {
      this.lineErrors = 0
      this.updateLine()
    }
    return status
  }

  private readModemStatus(): number {
    const status = this.modemLevels() | this.modemDeltas
    this.modemDeltas = 0
    this.updateLine()
    return status
  }

  /** The line falls and rises again for each byte, because the interrupt controller may be waiting for an edge. */
  private writeTransmitterHolding(byte: number): void {
    this.transmitterInterrupt = false
    this.updateLine()
    if (this.mcr & Mcr.LOOP) this.receive(byte, 0)
    else if (this.transmitter.count > 0 || !this.backend.transmit(byte)) this.queue(byte)
    this.transmitterInterrupt = this.transmitter.count === 0
    this.updateLine()
  }

  /** Without FIFOs there is one holding register: a second byte replaces the first. */
  private queue(byte: number): void {
    if ((this.fcr & Fcr.ENABLE) === 0) this.transmitter.clear()
    this.transmitter.push(byte)
  }

  private writeInterruptEnable(value: number): void {
    const enabled = value & ~this.ier
    this.ier = value & 0x0f
    if (enabled & Ier.THR_EMPTY && this.transmitter.count === 0) this.transmitterInterrupt = true
    this.updateLine()
  }

  private writeFifoControl(value: number): void {
    const toggled = (value ^ this.fcr) & Fcr.ENABLE
    this.fcr = value & Fcr.ENABLE ? value & Fcr.KEPT : 0
    if (toggled || value & Fcr.CLEAR_RECEIVER) this.receiver.clear()
    if ((toggled || value & Fcr.CLEAR_TRANSMITTER) && this.transmitter.count > 0) {
      this.transmitter.clear()
      this.transmitterInterrupt = true
    }
    this.pull()
    this.updateLine()
  }

  private writeLineControl(value: number): void {
    const changed = value ^ this.lcr
    this.lcr = value
    if ((changed & Lcr.BREAK) === 0) return
    if (this.mcr & Mcr.LOOP && value & Lcr.BREAK) this.receive(0, Lsr.BREAK)
    this.controlChanged()
    this.updateLine()
  }

  private writeModemControl(value: number): void {
    const before = this.modemLevels()
    this.mcr = value & Mcr.ALL
    if ((this.mcr & (Mcr.RTS | Mcr.LOOP)) === Mcr.RTS) this.guestUsesRts = true
    this.noteModemChange(before)
    this.controlChanged()
    this.pull()
    this.updateLine()
  }

  /** In loop mode the outputs are inactive (§8.8). */
  private controlChanged(): void {
    const outputs = this.mcr & Mcr.LOOP ? 0 : this.mcr
    this.backend.controlChanged?.((outputs & Mcr.DTR) !== 0, (outputs & Mcr.RTS) !== 0, (this.lcr & Lcr.BREAK) !== 0)
  }

  /** MSR bits 4 to 7: the inputs or, in loop mode, the MCR's own outputs. */
  private modemLevels(): number {
    if ((this.mcr & Mcr.LOOP) === 0) return this.modemInputs
    return (this.mcr & Mcr.RTS ? ModemInput.CTS : 0) | (this.mcr & Mcr.DTR ? ModemInput.DSR : 0)
      | (this.mcr & Mcr.OUT1 ? ModemInput.RI : 0) | (this.mcr & Mcr.OUT2 ? ModemInput.DCD : 0)
  }

  private noteModemChange(before: number): void {
    const after = this.modemLevels()
    const changed = before ^ after
    if (changed & ModemInput.CTS) this.modemDeltas |= Msr.DELTA_CTS
    if (changed & ModemInput.DSR) this.modemDeltas |= Msr.DELTA_DSR
    if (changed & before & ModemInput.RI) this.modemDeltas |= Msr.TRAILING_RI
    if (changed & ModemInput.DCD) this.modemDeltas |= Msr.DELTA_DCD
  }

  private receiverSize(): number { return this.fcr & Fcr.ENABLE ? 16 : 1 }

  /** Fills the receiver from the back end. */
  private pull(): void {
    if (this.mcr & Mcr.LOOP || this.guestUsesRts && (this.mcr & Mcr.RTS) === 0) return
    const size = this.receiverSize()
    while (this.receiver.count < size) {
      const byte = this.backend.receive()
      if (byte < 0) return
      this.receive(byte & 0xff, 0)
    }
  }

  /** §8.4: on an overrun a full FIFO keeps its bytes; the single buffer takes the new one. */
  private receive(byte: number, flags: number): void {
    if (this.receiver.count >= this.receiverSize()) {
      this.lineErrors |= Lsr.OVERRUN
      if (this.fcr & Fcr.ENABLE) return
      this.receiver.clear()
    }
    this.receiver.push(byte, flags)
    if (this.receiver.count === 1) this.lineErrors |= flags
  }

  /** The highest of the enabled conditions, in the order of the data sheet's table IV. */
  private interruptSource(): number {
    const { ier } = this
    if (ier & Ier.LINE_STATUS && this.lineErrors !== 0) return Iir.LINE_STATUS
    if (ier & Ier.RECEIVED_DATA && this.receiver.count > 0) {
      const trigger = this.fcr & Fcr.ENABLE ? TRIGGER_LEVELS[this.fcr >> 6] : 1
      return this.receiver.count >= trigger ? Iir.RECEIVED_DATA : Iir.TIMEOUT
    }
    if (ier & Ier.THR_EMPTY && this.transmitterInterrupt) return Iir.THR_EMPTY
    if (ier & Ier.MODEM_STATUS && this.modemDeltas !== 0) return Iir.MODEM_STATUS
    return Iir.NONE
  }

  /** On a PC, OUT2 connects the interrupt output to the bus. */
  private updateLine(): void {
    const connected = (this.mcr & (Mcr.OUT2 | Mcr.LOOP)) === Mcr.OUT2
    this.line.setLevel(connected && this.interruptSource() !== Iir.NONE)
  }
}
