import type { FuseSession } from '../../storage/fuse/session.ts'
import { SpinPolicy } from '../disks/spin-policy.ts'
import type { ShareChannel } from './share-channel.ts'

export interface ShareServerParts {
  readonly channel: ShareChannel
  /** The memory that messages are in. */
  readonly pool: SharedArrayBuffer | ArrayBuffer
  /** By number. */
  readonly sessions: readonly Pick<FuseSession, 'serve'>[]
  /** Rings the machine's bell. */
  readonly ring: () => void
}

/** The share thread's side of a channel: serves one request after another, on this thread, which it blocks. */
export class ShareServer {
  readonly #parts: ShareServerParts
  readonly #spin = new SpinPolicy()
  #taken = 0

  constructor(parts: ShareServerParts) { this.#parts = parts }

  /** Serves until the main thread calls. All that was submitted before has been answered then. */
  run(): void {
    const { channel } = this.#parts
    for (;;) {
      const isCalled = channel.isCalled
      this.serve()
      if (isCalled) return channel.answered()
      if (!this.#lookOn()) channel.sleep(this.#taken)
    }
  }

  /** Serves what there is. */
  serve(): void {
    const { channel, pool, sessions, ring } = this.#parts
    for (; this.#taken !== channel.rings.submitted; this.#taken = this.#taken + 1 | 0) {
      const slot = channel.rings.submission(this.#taken)
      const { share, message, reply } = channel.read(slot, pool)
      channel.complete(slot, sessions[share].serve(message, reply))
      ring()
    }
  }

  /** Waits a moment for the next request. Whether it came. */
  #lookOn(): boolean {
    const { channel } = this.#parts
    const milliseconds = this.#spin.begin()
    if (milliseconds === 0) return false
    const deadline = performance.now() + milliseconds
    while (channel.rings.submitted === this.#taken && performance.now() < deadline);
    const came = channel.rings.submitted !== this.#taken
    this.#spin.ended(came)
    return came
  }
}
