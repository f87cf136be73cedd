import type { BytePort, BytePortBackend } from '../../machine/byte-port.ts'
import type { MachineChannel } from './channel.ts'
import { RESUME_LEVEL } from './line-backend.ts'
import type { MachineLine } from './machine-line.ts'

/** The end of a virtio console's port on the machine's thread: as `LineBackend`, but in pieces. */
export class PortBackend implements BytePortBackend, MachineLine {
  readonly #channel: MachineChannel
  readonly #line: number
  #port!: BytePort
  #hasNews = false
  #took = false
  /** The guest has bytes that found no room. */
  #isHeld = false

  constructor(channel: MachineChannel, line: number) {
    this.#channel = channel
    this.#line = line
  }

  /** The device's side. To be called before the machine runs. From here on the guest sees the port connected. */
  connect(port: BytePort): void {
    this.#port = port
    port.setConnected(true)
  }

  transmit(bytes: Uint8Array): number {
    const taken = this.#channel.outputs[this.#line].write(bytes)
    if (taken > 0) this.#hasNews = true
    if (taken < bytes.length) this.#isHeld = true
    return taken
  }

  receive(into: Uint8Array): number {
    const count = this.#channel.inputs[this.#line].readInto(into)
    if (count > 0) this.#took = true
    return count
  }

  guestOpened(open: boolean): void {
    this.#channel.setGuestOpen(this.#line, open)
    this.#hasNews = true
  }

  inputReady(): void { this.#port.receiveReady() }

  settle(): boolean {
    this.release()
    const news = this.#hasNews || this.#took && this.#channel.inputs[this.#line].used === 0
    this.#hasNews = this.#took = false
    return news
  }

  release(): void {
    if (!this.#isHeld) return
    if (this.#waiting > RESUME_LEVEL) this.#channel.wantRoom(this.#line)
    // Room may have been made before it was asked for.
    if (this.#waiting > RESUME_LEVEL) return
    this.#isHeld = false
    this.#port.transmitReady()
  }

  get #waiting(): number { return this.#channel.outputs[this.#line].used }
}
