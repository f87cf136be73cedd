import type { HostStream, StreamEvents } from '../../sockets.ts'
import type { Timer } from '../../../machine/clock.ts'
import { SECOND, type Ager } from '../ager.ts'
import { MessageReader, framed } from './message-reader.ts'

/** False: the message is none that is ever answered. */
type Handle = (query: Uint8Array, respond: (response: Uint8Array) => void) => boolean

/** Questions of one connection that wait for an answer, and bytes of answers that wait for the guest. RFC 7766 section 6.2.1. */
const OUTSTANDING = 4
const QUEUED = 64 << 10
const IDLE = 30 * SECOND

/**
 * The name server as the other end of a guest's TCP connection: it looks like a socket of the host's. Events are given from a timer, never
 * from inside a call.
 */
export class DnsStream implements HostStream {
  private readonly ager: Ager
  private readonly events: StreamEvents
  private readonly handle: Handle
  private readonly gone: () => void
  private readonly timer: Timer
  private readonly reader = new MessageReader()
  private readonly queue: Uint8Array[] = []
  private queued = 0
  private outstanding = 0
  private connected = false
  private paused = false
  private refused = false
  /** The guest sends no more; we send no more. */
  private ended = false
  private finished = false
  /** The guest talks nonsense. */
  private broken = false
  private lastUsed: number
  private closed = false

  /** @param gone told once, when the stream is over */
  constructor(ager: Ager, events: StreamEvents, handle: Handle, gone: () => void) {
    this.ager = ager
    this.gone = gone
    this.events = events
    this.handle = handle
    this.timer = ager.timer(() => { this.pump() })
    this.lastUsed = ager.now()
    this.timer.arm(this.lastUsed)
  }

  write(bytes: Uint8Array): number {
    if (!this.connected || this.ended || this.closed) return 0
    if (this.isBusy()) {
      this.refused = true
      return 0
    }
    this.reader.push(bytes)
    this.askAll()
    this.touch()
    return bytes.length
  }

  resume(): void {
    this.paused = false
    this.timer.arm(this.ager.now())
  }

  end(): void {
    this.ended = true
    this.timer.arm(this.ager.now())
  }

  abort(): void {
    if (!this.closed) this.gone()
    this.closed = true
    this.timer.disarm()
  }

  private isBusy(): boolean { return this.outstanding >= OUTSTANDING || this.queued >= QUEUED }

  /** All questions that are whole, as far as there is room for their answers. */
  private askAll(): void {
    while (!this.isBusy() && !this.broken) {
      const query = this.reader.take()
      if (query === undefined) return
      this.ask(query)
    }
  }

  private ask(query: Uint8Array): void {
    this.outstanding++
    const answered = this.handle(query, (response) => {
      this.outstanding--
      if (this.closed) return
      this.queue.push(framed(response))
      this.queued += response.length
      this.touch()
    })
    if (!answered) this.broken = true
  }

  /** Something has happened, and something may be due. */
  private touch(): void {
    this.lastUsed = this.ager.now()
    this.timer.arm(this.lastUsed)
  }

  private pump(): void {
    if (this.broken) return this.close('reset')
    if (!this.connected) {
      this.connected = true
      this.events.connected()
    }
    this.deliver()
    this.askAll()
    this.welcome()
    if (this.closed) return
    const finished = this.queue.length === 0 && this.outstanding === 0
    const idle = this.ager.now() - this.lastUsed >= IDLE
    if (finished && (this.ended || idle)) this.finish()
    if (!this.closed) this.timer.arm(this.ager.now() + IDLE)
  }

  private deliver(): void {
    while (this.queue.length > 0 && !this.paused && !this.closed) {
      const message = this.queue.shift()!
      this.queued -= message.length - 2
      this.paused = !this.events.data(message)
    }
  }

  /** Takes more, after a refusal. */
  private welcome(): void {
    if (!this.refused || this.closed || this.isBusy()) return
    this.refused = false
    this.events.writable()
  }

  /** All is answered, and the guest is done, or has asked nothing for long. */
  private finish(): void {
    if (!this.finished) this.events.ended()
    this.finished = true
    if (this.ended) this.close()
  }

  private close(failure?: 'reset'): void {
    if (this.closed) return
    this.abort()
    this.events.closed(failure)
  }
}
