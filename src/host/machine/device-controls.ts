import type { Balloon, BalloonBackend, BalloonStatistics } from '../../machine/balloon.ts'
import type { MachineChannel } from './channel.ts'

export const PAGE = 4096

/** The devices that the main thread may ask for something beside passing bytes. */
export interface ControlledDevices {
  readonly console: { resize(columns: number, rows: number): void } | undefined
  readonly balloon: Balloon | undefined
}

/**
 * Console size and balloon on the machine's thread: what the main thread wants is in the channel's words, and `Bell.CONTROL` says that it
 * has changed.
 */
export class DeviceControls {
  readonly #channel: MachineChannel
  readonly #tell: (statistics: BalloonStatistics | undefined) => void
  #devices!: ControlledDevices
  #isAsked = false

  /** `tell` hears the answer to each request for statistics; undefined: the guest cannot tell. */
  constructor(channel: MachineChannel, tell: (statistics: BalloonStatistics | undefined) => void) {
    this.#channel = channel
    this.#tell = tell
  }

  /** The balloon's host side. A guest may tell as often as it likes; only what was asked for is passed on. */
  readonly balloon: BalloonBackend = {
    resized: bytes => { this.#channel.balloonSize = bytes / PAGE },
    statistics: statistics => { if (this.#isAsked) this.#answer(statistics) },
  }

  /** To be called before the machine runs. */
  connect(devices: ControlledDevices): void { this.#devices = devices }

  apply(): void {
    const { console, balloon } = this.#devices
    const { columns, rows } = this.#channel.consoleSize
    console?.resize(columns, rows)
    balloon?.setTarget(this.#channel.balloonTarget * PAGE)
    if (!this.#channel.takeStatisticsWanted()) return
    this.#isAsked = true
    if (balloon?.requestStatistics() !== true) this.#answer(undefined)
  }

  #answer(statistics: BalloonStatistics | undefined): void {
    this.#isAsked = false
    this.#tell(statistics)
  }
}
