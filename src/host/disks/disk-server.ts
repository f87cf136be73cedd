import { setImmediate } from 'node:timers/promises'
import { TenonError } from '../../base/errors.ts'
import type { BlockStatus } from '../../machine/block.ts'
import type { BlockNode } from '../../storage/block-node.ts'
import type { DiskChannel, SlotRequest } from './disk-channel.ts'
import { SpinPolicy } from './spin-policy.ts'

/** The event loop must have its turn at least this often, in milliseconds, though requests come without a pause. */
const LONGEST_ABSENCE = 1

export interface DiskServerParts {
  readonly channel: DiskChannel
  /** The memory that segments are in. */
  readonly pool: SharedArrayBuffer | ArrayBuffer
  /** By number. */
  readonly disks: readonly BlockNode[]
  /** Rings the machine's bell. */
  readonly ring: () => void
}

/** The disk thread's side of a channel: carries out what is submitted, as much at once as there is. */
export class DiskServer {
  readonly #parts: DiskServerParts
  readonly #spin = new SpinPolicy()
  #taken = 0
  #outstanding = 0
  #stopping = false
  #lastTurn = performance.now()
  #idle: (() => void) | undefined

  constructor(parts: DiskServerParts) { this.#parts = parts }

  /** Serves until `stop`. Resolves when everything that was submitted before has been answered. */
  async run(): Promise<void> {
    while (!this.#stopping) {
      this.#take()
      if (performance.now() - this.#lastTurn > LONGEST_ABSENCE) await this.#turn()
      else if (!await this.#lookOn()) await this.#sleep()
    }
    this.#take()
    if (this.#outstanding > 0) await new Promise<void>(resolve => { this.#idle = resolve })
  }

  stop(): void {
    this.#stopping = true
    this.#parts.channel.wake()
  }

  #take(): void {
    const { channel, pool } = this.#parts
    for (; this.#taken !== channel.rings.submitted; this.#taken = this.#taken + 1 | 0) {
      const slot = channel.rings.submission(this.#taken)
      this.#outstanding++
      void this.#serve(slot, channel.read(slot, pool))
    }
  }

  async #serve(slot: number, request: SlotRequest): Promise<void> {
    const status = await perform(this.#parts.disks[request.disk], request).then(() => 'ok' as const, statusOf)
    this.#parts.channel.complete(slot, status)
    this.#parts.ring()
    this.#outstanding--
    if (this.#outstanding === 0) this.#idle?.()
  }

  async #turn(): Promise<void> {
    await setImmediate()
    this.#lastTurn = performance.now()
  }

  /** Lets promises go on while it looks for submissions. Whether there are any. */
  async #lookOn(): Promise<boolean> {
    const { channel } = this.#parts
    const milliseconds = this.#spin.begin()
    if (milliseconds === 0) return false
    const deadline = performance.now() + milliseconds
    do await Promise.resolve()
    while (channel.rings.submitted === this.#taken && performance.now() < deadline)
    const came = channel.rings.submitted !== this.#taken
    this.#spin.ended(came)
    return came
  }

  async #sleep(): Promise<void> {
    if (!this.#stopping) await this.#parts.channel.sleep(this.#taken)
    this.#lastTurn = performance.now()
  }
}

async function perform(node: BlockNode, request: SlotRequest): Promise<void> {
  const { operation, offset, length, segments } = request
  switch (operation) {
    case 'read': return node.read(offset, segments)
    case 'write': await node.write(offset, segments); break
    case 'flush': return node.flush()
    case 'discard': return node.discard(offset, length)
    case 'write-zeroes': await node.writeZeroes(offset, length, request.mayUnmap); break
  }
  if (request.forceUnitAccess) await node.flush()
}

function statusOf(error: unknown): BlockStatus {
  const code = error instanceof TenonError ? error.code : ''
  return code === 'DISK_FULL' ? 'no-space' : code === 'DISK_UNSUPPORTED' ? 'unsupported' : 'io-error'
}
