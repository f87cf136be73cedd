import type { GuestSocket, GuestStream, SocketBackend, StreamClosed, StreamEnd } from '../../machine/socket.ts'
import { Doorbell } from '../machine/doorbell.ts'
import { Side, StreamChannel, StreamFlag } from './stream-channel.ts'
import type { StreamSlot } from './stream-channel.ts'
import { StreamTable } from './stream-table.ts'
import type { MachineVsock } from './vsock-order.ts'

/** The host's ends of a guest's streams on the machine's thread: what they say goes to the vsock thread, and the reverse. */
export class MachineStreams implements SocketBackend {
  readonly #channel: StreamChannel
  readonly #doorbell: Doorbell
  readonly #table: StreamTable<MachineStream>
  #device!: GuestSocket

  constructor({ memory, doorbell }: Pick<MachineVsock, 'memory' | 'doorbell'>) {
    this.#channel = new StreamChannel(memory)
    this.#doorbell = new Doorbell(doorbell)
    this.#table = new StreamTable(this.#channel, Side.MACHINE)
  }

  /** To be called before the machine runs. */
  connect(device: GuestSocket): void { this.#device = device }

  accept(port: number, guest: GuestStream): StreamEnd | null {
    const slot = this.#channel.failed ? undefined : this.#table.take()
    if (slot === undefined) return null
    slot.port = port
    const stream = this.#add(slot)
    stream.begin(guest)
    slot.raise(Side.MACHINE, StreamFlag.ASKED)
    this.#tell(slot)
    return stream
  }

  /** The vsock thread has news. */
  settle(): void {
    if (this.#channel.failed) for (const stream of this.#table.streams) stream.breakOff()
    else this.#table.lookAtNews(slot => this.#open(slot))
  }

  /** A program of the host connects to a port of the guest. */
  #open(slot: StreamSlot): void {
    const stream = this.#add(slot)
    const guest = this.#device.open(slot.port, stream)
    if (guest === null) return stream.closed('refused')
    stream.begin(guest)
    stream.look()
  }

  #add(slot: StreamSlot): MachineStream {
    const stream = new MachineStream(slot, () => this.#tell(slot), flags => {
      this.#table.leave(slot, flags)
      this.#doorbell.ring()
    })
    this.#table.add(slot, stream)
    return stream
  }

  #tell(slot: StreamSlot): void {
    this.#channel.mark(Side.HOST, slot.number)
    this.#doorbell.ring()
  }
}

class MachineStream implements StreamEnd {
  readonly #slot: StreamSlot
  readonly #tell: () => void
  readonly #leave: (flags: number) => void
  /** Undefined before the device has it; it is not used any more when the stream is over. */
  #guest: GuestStream | undefined
  #isOver = false
  /** What the host's side said and the guest was told. */
  #heard = 0

  constructor(slot: StreamSlot, tell: () => void, leave: (flags: number) => void) {
    this.#slot = slot
    this.#tell = tell
    this.#leave = leave
  }

  begin(guest: GuestStream): void { this.#guest = guest }

  transmit(bytes: Uint8Array): number {
    const { fromGuest } = this.#slot
    let taken = fromGuest.write(bytes)
    if (taken < bytes.length) {
      this.#slot.wantRoom(Side.MACHINE)
      taken += fromGuest.write(bytes.subarray(taken))
    }
    if (taken > 0) this.#tell()
    return taken
  }

  receive(into: Uint8Array): number {
    const count = this.#slot.toGuest.readInto(into)
    if (count > 0 && this.#slot.takeRoomWanted(Side.HOST)) this.#tell()
    return count
  }

  opened(hostPort: number): void {
    this.#slot.hostPort = hostPort
    this.#say(StreamFlag.OPENED)
  }

  ended(): void { this.#say(StreamFlag.ENDED) }

  closed(reason: StreamClosed): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#leave(reason === 'closed' ? 0 : StreamFlag.ABORTED)
  }

  /** Any call of the guest's stream may end it. */
  look(): void {
    const flags = this.#slot.flags(Side.HOST)
    if ((flags & StreamFlag.CLOSED) !== 0) return this.breakOff()
    if (this.#isNew(flags, StreamFlag.OPENED)) this.#guest?.accept()
    if (!this.#isOver) this.#guest?.transmitReady()
    if (!this.#isOver) this.#guest?.receiveReady()
    if (!this.#isOver && this.#isNew(flags, StreamFlag.ENDED)) this.#guest?.end()
  }

  breakOff(): void {
    if (this.#isOver) return
    this.#guest?.reset()
    this.closed('reset')
  }

  #say(flag: number): void {
    this.#slot.raise(Side.MACHINE, flag)
    this.#tell()
  }

  #isNew(flags: number, flag: number): boolean {
    const isNew = (flags & ~this.#heard & flag) !== 0
    this.#heard |= flags & flag
    return isNew
  }
}
