import { ETHERNET_HEADER, plainFrame } from '../../../machine/frame.ts'
import type { Frame } from '../../../machine/frame.ts'
import { FrameFinisher } from '../../../machine/frame-offload.ts'
import { FrameRing } from '../../../network/frame-ring.ts'
import type { SwitchPort } from '../../../network/switch/port.ts'
import { Station } from '../station.ts'
import type { TapDevice } from './tap-device.ts'

const TAG = 4
/** Frames that are read before the switch has its turn. */
const MOST_AT_ONCE = 256

/**
 * The host's network behind a port of the switch. What the TAP does not take is lost, as on a wire; what is not read waits in the kernel.
 */
export class TapStation extends Station {
  readonly #tap: TapDevice
  readonly #fromTap: FrameRing
  readonly #finisher: FrameFinisher
  readonly #frame: Frame
  readonly #onLost: () => void
  #goOn: () => void = () => {}

  /** `onLost`: the TAP has been deleted, and nothing comes or goes any more. */
  constructor(port: SwitchPort, tap: TapDevice, wake: () => void, onLost: () => void) {
    const ring = FrameRing.private(1 << 20)
    super(port, ring, wake)
    const longest = ETHERNET_HEADER + TAG + tap.mtu
    this.#tap = tap
    this.#onLost = onLost
    this.#fromTap = ring
    this.#finisher = new FrameFinisher(longest)
    this.#frame = plainFrame(new Uint8Array(longest))
    void this.#pump()
  }

  drain(): void { /* it never refuses */ }

  settle(): void { /* the TAP waits by itself */ }

  protected give(frame: Frame): boolean {
    const { segment, plan } = this.#finisher
    if (frame.segmentation === 'none') {
      if (this.#finisher.complete(frame)) this.#tap.write(segment.bytes, segment.length)
    } else if (this.#finisher.begin(frame)) {
      for (let index = 0; index < plan.count; index++) {
        this.#finisher.cut(frame, index)
        this.#tap.write(segment.bytes, segment.length)
      }
    }
    return true
  }

  protected madeRoom(): void { this.#goOn() }

  /** Until the TAP is closed or lost. */
  async #pump(): Promise<void> {
    while (await this.#tap.readable()) {
      if (!this.#fill()) await new Promise<void>(resolve => { this.#goOn = resolve })
    }
    if (this.#tap.isLost) this.#onLost()
  }

  /** False: the ring is full, and room will be made. */
  #fill(): boolean {
    const frame = this.#frame
    for (let count = 0; count < MOST_AT_ONCE; count++) {
      if (this.#fromTap.reserve(frame.bytes.length) === null) {
        this.wake()
        return false
      }
      frame.length = this.#tap.read(frame.bytes)
      if (frame.length < ETHERNET_HEADER) break
      this.#fromTap.push(frame)
    }
    this.wake()
    return true
  }
}
