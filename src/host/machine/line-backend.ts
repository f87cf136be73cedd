import { ModemInput } from '../../machine/serial.ts'
import type { SerialBackend, SerialPort } from '../../machine/serial.ts'
import { OUTPUT_CAPACITY } from './channel.ts'
import type { MachineChannel } from './channel.ts'
import type { MachineLine } from './machine-line.ts'

const CONNECTED = ModemInput.CTS | ModemInput.DSR | ModemInput.DCD
/** With so many bytes waiting, CTS falls: what is left takes what a guest still sends. It rises again at `RESUME_LEVEL`. */
const HOLD_LEVEL = OUTPUT_CAPACITY * 3 / 4
export const RESUME_LEVEL = OUTPUT_CAPACITY / 4

/** A serial line's end on the machine's thread: bytes go to the channel's rings and come from them. */
export class LineBackend implements SerialBackend, MachineLine {
  readonly #channel: MachineChannel
  readonly #line: number
  #port!: SerialPort
  #sent = false
  #took = false
  #isHeld = false

  constructor(channel: MachineChannel, line: number) {
    this.#channel = channel
    this.#line = line
  }

  /** The UART that this is the back end of. To be called before the machine runs. */
  connect(port: SerialPort): void { this.#port = port }

  transmit(byte: number): boolean {
    this.#sent = true
    return this.#channel.outputs[this.#line].push(byte)
  }

  receive(): number {
    const byte = this.#channel.inputs[this.#line].shift()
    if (byte >= 0) this.#took = true
    return byte
  }

  inputReady(): void { this.#port.receiveReady() }

  settle(): boolean {
    const news = this.#sent || this.#took && this.#channel.inputs[this.#line].used === 0
    if (this.#sent && !this.#isHeld && this.#waiting >= HOLD_LEVEL) this.#hold()
    this.#sent = this.#took = false
    return news
  }

  release(): void {
    if (!this.#isHeld) return
    if (this.#waiting > RESUME_LEVEL) this.#channel.wantRoom(this.#line)
    // Room may have been made before it was asked for.
    if (this.#waiting > RESUME_LEVEL) return
    this.#isHeld = false
    this.#port.setModemInputs(CONNECTED)
    this.#port.transmitReady()
  }

  get #waiting(): number {
    return this.#channel.outputs[this.#line].used
  }

  #hold(): void {
    this.#isHeld = true
    this.#port.setModemInputs(CONNECTED & ~ModemInput.CTS)
    this.release()
  }
}
