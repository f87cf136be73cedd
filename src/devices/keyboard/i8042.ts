import type { InterruptLine } from '../../machine/interrupts.ts'
import type { PlainData, Stateful } from '../../machine/lifecycle.ts'
import { StateReader } from '../../machine/state-reader.ts'
import { ByteDevice } from '../bus/byte-device.ts'
import { Ps2Keyboard } from './ps2-keyboard.ts'
import type { Ps2KeyboardState } from './ps2-keyboard.ts'

/**
 * 8042 keyboard controller of a PS/2-compatible PC. Source: IBM PS/2 Hardware Interface Technical Reference, "Keyboard and
 * Auxiliary Device Controller".
 *
 *   0  data: output buffer (read), input buffer (write)
 *   4  status (read): OBF 0, IBF 1, SYS 2, command 3, not inhibited 4, auxiliary 5, time-out 6; command (write)
 *
 *   commands 20-3F read RAM (20: command byte), 60-7F write RAM, A7 A8 disable, enable auxiliary, A9 test auxiliary, AA self test,
 *   AB test keyboard, AD AE disable, enable keyboard, C0 input port, D0 D1 read, write output port, D2 D3 write keyboard, auxiliary
 *   output buffer, D4 write to auxiliary, DD DF A20 off, on, F0-FF pulse output port (bit 0 low: reset)
 *   command byte: keyboard interrupt 0, auxiliary interrupt 1, SYS 2, keyboard off 4, auxiliary off 5, translate 6
 *
 * The auxiliary port is there and empty: what is sent to it times out at once, as a driver expects.
 *
 * Left out on purpose: a mouse; the translation of key codes (the keyboard sends none); the A20 gate's effect (its bit is kept, and
 * address line 20 is always on).
 */
const Offset = { DATA: 0, COMMAND: 4 } as const
const Status = { OUTPUT_FULL: 1, SYSTEM: 4, COMMAND: 8, NOT_INHIBITED: 16, AUXILIARY: 32, TIMEOUT: 64 } as const
const Mode = {
  KEYBOARD_INTERRUPT: 1, AUXILIARY_INTERRUPT: 2, SYSTEM: 4, KEYBOARD_OFF: 16, AUXILIARY_OFF: 32, TRANSLATE: 64,
} as const
const OutputPort = { NOT_RESET: 1, A20: 2, KEYBOARD_FULL: 16, AUXILIARY_FULL: 32, LINES_HIGH: 0xc0 } as const
/** As PC firmware leaves it. */
const INITIAL_MODE = Mode.KEYBOARD_INTERRUPT | Mode.SYSTEM | Mode.AUXILIARY_OFF | Mode.TRANSLATE
const RAM_SIZE = 32
const NO_DEVICE = 0xfe
/** What translation to set 1 makes of a keyboard's answers; all others stay as they are. */
const TRANSLATED: ReadonlyMap<number, number> = new Map([[0x83, 0x41], [0x84, 0x54], [0x01, 0x43], [0x02, 0x41], [0x03, 0x3f]])

export type I8042State = {
  /** Command byte (RAM byte 0) and the rest of the controller's memory. */
  readonly ram: Uint8Array
  readonly a20: boolean
  readonly outputFull: boolean, readonly output: number, readonly auxiliary: boolean, readonly timedOut: boolean
  readonly lastWasCommand: boolean
  /** The command that waits for its data byte, 0 for none. */
  readonly command: number
  readonly keyboard: Ps2KeyboardState
}

export interface I8042Options {
  /** IRQ 1 and IRQ 12. */
  readonly keyboardLine: InterruptLine
  readonly auxiliaryLine: InterruptLine
  /** The guest asks for a reset of the machine. Called during a port write. */
  readonly resetMachine: () => void
}

export class I8042 extends ByteDevice implements Stateful<I8042State> {
  readonly schema = 'i8042'
  readonly version = 1
  private readonly options: I8042Options
  private readonly keyboard = new Ps2Keyboard()
  private readonly ram = new Uint8Array(RAM_SIZE)
  private a20 = true
  private outputFull = false
  private output = 0
  private auxiliary = false
  private timedOut = false
  private lastWasCommand = false
  private command = 0

  constructor(options: I8042Options) {
    super()
    this.options = options
    this.ram[0] = INITIAL_MODE
  }

  readByte(offset: number): number {
    if (offset === Offset.DATA) return this.readData()
    return offset === Offset.COMMAND ? this.status() : 0
  }

  writeByte(offset: number, value: number): void {
    if (offset === Offset.DATA) {
      this.lastWasCommand = false
      this.writeData(value)
    } else if (offset === Offset.COMMAND) {
      this.lastWasCommand = true
      this.command = 0
      this.execute(value)
    }
    this.fill()
  }

  reset(): void {
    this.keyboard.reset()
    this.ram.fill(0)
    this.ram[0] = INITIAL_MODE
    this.a20 = true
    this.outputFull = this.auxiliary = this.timedOut = this.lastWasCommand = false
    this.output = this.command = 0
    this.drive()
  }

  save(): I8042State {
    return {
      ram: this.ram.slice(), a20: this.a20, outputFull: this.outputFull, output: this.output, auxiliary: this.auxiliary,
      timedOut: this.timedOut, lastWasCommand: this.lastWasCommand, command: this.command, keyboard: this.keyboard.save(),
    }
  }

  restore(saved: PlainData): void {
    const state = new StateReader(this.schema, saved)
    this.ram.set(state.bytes('ram', RAM_SIZE))
    this.a20 = state.boolean('a20')
    this.outputFull = state.boolean('outputFull')
    this.output = state.u8('output')
    this.auxiliary = state.boolean('auxiliary')
    this.timedOut = state.boolean('timedOut')
    this.lastWasCommand = state.boolean('lastWasCommand')
    this.command = state.u8('command')
    this.keyboard.restore(state.child('keyboard'))
    this.drive()
  }

  private get mode(): number { return this.ram[0] }

  private status(): number {
    return (this.outputFull ? Status.OUTPUT_FULL : 0) | (this.mode & Mode.SYSTEM ? Status.SYSTEM : 0)
      | (this.lastWasCommand ? Status.COMMAND : 0) | Status.NOT_INHIBITED
      | (this.outputFull && this.auxiliary ? Status.AUXILIARY : 0) | (this.timedOut ? Status.TIMEOUT : 0)
  }

  /** The line falls between two bytes, so that each is an edge. */
  private readData(): number {
    this.outputFull = this.timedOut = false
    this.drive()
    const byte = this.output
    this.fill()
    return byte
  }

  private writeData(value: number): void {
    const { command } = this
    this.command = 0
    if (command >= 0x60 && command < 0x80) this.ram[command - 0x60] = value
    else if (command === 0xd1) this.writeOutputPort(value)
    else if (command === 0xd2) this.put(value, false)
    else if (command === 0xd3) this.put(value, true)
    else if (command === 0xd4) {
      this.put(NO_DEVICE, true)
      this.timedOut = true
    } else {
      this.ram[0] &= ~Mode.KEYBOARD_OFF
      this.keyboard.receive(value)
    }
    this.drive()
  }

  private execute(command: number): void {
    if (command >= 0x20 && command < 0x40) this.put(this.ram[command - 0x20], false)
    else if (command >= 0x60 && command < 0x80) this.command = command
    else if (command >= 0xf0) this.pulse(command)
    else this.executeNamed(command)
    this.drive()
  }

  private executeNamed(command: number): void {
    switch (command) {
      case 0xa7: this.ram[0] |= Mode.AUXILIARY_OFF; break
      case 0xa8: this.ram[0] &= ~Mode.AUXILIARY_OFF; break
      case 0xa9: case 0xab: this.put(0x00, false); break
      case 0xaa: this.put(0x55, false); break
      case 0xad: this.ram[0] |= Mode.KEYBOARD_OFF; break
      case 0xae: this.ram[0] &= ~Mode.KEYBOARD_OFF; break
      case 0xc0: this.put(0x80, false); break
      case 0xd0: this.put(this.readOutputPort(), false); break
      case 0xd1: case 0xd2: case 0xd3: case 0xd4: this.command = command; break
      case 0xdd: this.a20 = false; break
      case 0xdf: this.a20 = true; break
    }
  }

  private readOutputPort(): number {
    const full = this.outputFull ? this.auxiliary ? OutputPort.AUXILIARY_FULL : OutputPort.KEYBOARD_FULL : 0
    return OutputPort.LINES_HIGH | OutputPort.NOT_RESET | (this.a20 ? OutputPort.A20 : 0) | full
  }

  private writeOutputPort(value: number): void {
    this.a20 = (value & OutputPort.A20) !== 0
    if ((value & OutputPort.NOT_RESET) === 0) this.options.resetMachine()
  }

  /** Bits 0 to 3 choose the lines to leave alone; line 0 resets. */
  private pulse(command: number): void {
    if ((command & OutputPort.NOT_RESET) === 0) this.options.resetMachine()
  }

  private put(byte: number, auxiliary: boolean): void {
    this.output = byte
    this.outputFull = true
    this.auxiliary = auxiliary
    this.timedOut = false
  }

  /** Takes the keyboard's next byte into an empty output buffer. */
  private fill(): void {
    if (this.outputFull || this.mode & Mode.KEYBOARD_OFF) return
    const byte = this.keyboard.send()
    if (byte < 0) return
    this.put(this.mode & Mode.TRANSLATE ? TRANSLATED.get(byte) ?? byte : byte, false)
    this.drive()
  }

  private drive(): void {
    const { mode } = this
    this.options.keyboardLine.setLevel(this.outputFull && !this.auxiliary && (mode & Mode.KEYBOARD_INTERRUPT) !== 0)
    this.options.auxiliaryLine.setLevel(this.outputFull && this.auxiliary && (mode & Mode.AUXILIARY_INTERRUPT) !== 0)
  }
}
