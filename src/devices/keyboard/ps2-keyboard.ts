import { StateReader } from '../../machine/state-reader.ts'

/**
 * A PS/2 keyboard that nobody touches: it answers its commands and never sends a key. Source: IBM PS/2 Hardware Interface Technical
 * Reference, "Keyboard (101/102 key)": commands ED to FF.
 *
 * Left out on purpose: keys, and with them scan code sets (the number of the chosen one is kept).
 */
const Command = {
  SET_INDICATORS: 0xed, ECHO: 0xee, SCAN_CODE_SET: 0xf0, READ_ID: 0xf2, SET_RATE: 0xf3, ENABLE: 0xf4, DEFAULT_DISABLE: 0xf5,
  SET_DEFAULT: 0xf6, FIRST_ALL_KEYS: 0xf7, LAST_KEY_TYPE: 0xfd, RESEND: 0xfe, RESET: 0xff,
} as const
const Reply = { ACKNOWLEDGE: 0xfa, RESEND: 0xfe, SELF_TEST_PASSED: 0xaa, ID: [0xab, 0x83] } as const
const QUEUE_SIZE = 16

export type Ps2KeyboardState = {
  readonly queue: Uint8Array
  /** The command that waits for its parameter, 0 for none. */
  readonly command: number
  readonly indicators: number, readonly rate: number, readonly scanCodeSet: number
  readonly scanning: boolean
  readonly lastSent: number
}

export class Ps2Keyboard {
  private queue: number[] = []
  private command = 0
  private indicators = 0
  private rate = 0x2b
  private scanCodeSet = 2
  private scanning = true
  private lastSent = 0

  /** The next byte for the controller, -1 if there is none. */
  send(): number {
    const byte = this.queue.shift()
    if (byte === undefined) return -1
    this.lastSent = byte
    return byte
  }

  receive(byte: number): void {
    const { command } = this
    this.command = 0
    if (command !== 0 && byte < Command.SET_INDICATORS) this.takeParameter(command, byte)
    else this.execute(byte)
  }

  reset(): void {
    this.queue = []
    this.command = this.lastSent = 0
    this.setDefaults()
  }

  save(): Ps2KeyboardState {
    return {
      queue: Uint8Array.from(this.queue), command: this.command, indicators: this.indicators, rate: this.rate,
      scanCodeSet: this.scanCodeSet, scanning: this.scanning, lastSent: this.lastSent,
    }
  }

  restore(state: StateReader): void {
    this.queue = Array.from(state.bytes('queue', 0, QUEUE_SIZE))
    this.command = state.u8('command')
    this.indicators = state.u8('indicators')
    this.rate = state.u8('rate')
    this.scanCodeSet = state.integer('scanCodeSet', 1, 3)
    this.scanning = state.boolean('scanning')
    this.lastSent = state.u8('lastSent')
  }

  private setDefaults(): void {
    this.indicators = 0
    this.rate = 0x2b
    this.scanCodeSet = 2
    this.scanning = true
  }

  /** A full queue drops what does not fit: a guest that never reads gets no answers. */
  private reply(...bytes: readonly number[]): void {
    for (const byte of bytes) if (this.queue.length < QUEUE_SIZE) this.queue.push(byte)
  }

  private execute(command: number): void {
    switch (command) {
      case Command.SET_INDICATORS: case Command.SCAN_CODE_SET: case Command.SET_RATE:
        this.command = command
        this.reply(Reply.ACKNOWLEDGE)
        break
      case Command.ECHO: this.reply(Command.ECHO); break
      case Command.READ_ID: this.reply(Reply.ACKNOWLEDGE, ...Reply.ID); break
      case Command.RESEND: this.reply(this.lastSent); break
      case Command.RESET:
        this.reset()
        this.reply(Reply.ACKNOWLEDGE, Reply.SELF_TEST_PASSED)
        break
      default: this.executeSimple(command)
    }
  }

  private executeSimple(command: number): void {
    if (command < Command.ENABLE || command > Command.LAST_KEY_TYPE) {
      this.reply(Reply.RESEND)
      return
    }
    if (command === Command.SET_DEFAULT || command === Command.DEFAULT_DISABLE) this.setDefaults()
    if (command < Command.FIRST_ALL_KEYS) this.scanning = command !== Command.DEFAULT_DISABLE
    this.reply(Reply.ACKNOWLEDGE)
  }

  private takeParameter(command: number, value: number): void {
    if (command === Command.SCAN_CODE_SET && value > 3) {
      this.reply(Reply.RESEND)
      return
    }
    this.reply(Reply.ACKNOWLEDGE)
    if (command === Command.SET_INDICATORS) this.indicators = value & 7
    else if (command === Command.SET_RATE) this.rate = value & 0x7f
    else if (value === 0) this.reply(this.scanCodeSet)
    else this.scanCodeSet = value
  }
}
