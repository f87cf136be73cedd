/**
 * One connection with a guest: the state machine of RFC 9293, sections 3.3.2 and 3.10, with the checks of RFC 5961 against blind
 * attacks, and timestamps (RFC 7323, PAWS included). `local` is our side, which plays the part of whoever the guest talks to.
 *
 *   OPENING ──accept──▶ SYN-RECEIVED ──▶ ESTABLISHED ──FIN sent──▶ FIN-WAIT-1 ──▶ FIN-WAIT-2 ──▶ TIME-WAIT ──▶ CLOSED
 *   (as LISTEN, for     SYN-SENT ────────────▲  │ FIN received          └───▶ CLOSING ──────────────▲
 *   one guest's SYN)                            └────▶ CLOSE-WAIT ──▶ LAST-ACK ──▶ CLOSED
 *
 * Left out: urgent data, security compartments, and data in SYN segments (the guest sends it again).
 */
import { Agreement } from './agreement.ts'
import type { ConnectionEnd, ConnectionLink, ConnectionPair, ConnectionState, ConnectionUser } from './connection-link.ts'
import { Receiver, WINDOW_SCALE } from './receiver.ts'
import type { ReceiverLink } from './receiver.ts'
import { Control, HEADER_SIZE, writeHeader } from './segment.ts'
import type { Segment } from './segment.ts'
import { Sender } from './sender.ts'
import type { SenderLink } from './sender.ts'
import { advance, distance, isAfter, isBefore } from './sequence.ts'

/** Two maximum segment lifetimes. The guests' link is one hop. */
const TIME_WAIT = 30_000
/** SYN or SYN-ACK that are sent at most: half a minute. */
const HANDSHAKE_ATTEMPTS = 5
/** RFC 9293, section 3.8.4: two hours; then nine probes. */
const KEEP_ALIVE_IDLE = 7_200_000
const KEEP_ALIVE_INTERVAL = 75_000
const KEEP_ALIVE_PROBES = 9
/** After data for the guest and then a failure: how long the data may take until RST follows anyway. */
const ABORT_PATIENCE = 5000
/** RFC 5961, section 7, and answers to what is not acceptable: so many in a second. */
const CHALLENGES_PER_SECOND = 10
export class Connection implements SenderLink, ReceiverLink {
  readonly pair: ConnectionPair
  readonly sender: Sender
  readonly receiver: Receiver
  private readonly link: ConnectionLink
  private readonly agreement: Agreement
  private user: ConnectionUser | null
  state: ConnectionState = 'OPENING'

  private readonly initialSequence: number
  private peerInitialSequence = 0
  /** Last.ACK.sent (RFC 7323). */
  private lastAcknowledged = 0

  private heardAt: number
  private keepAliveProbes = 0
  /** When TIME-WAIT, or patience, is over. */
  private endsAt = Infinity
  private abortsWhenSent = false
  /** A segment could not be sent. */
  waitsForLink = false
  private challengeSecond = 0
  private challenges = 0

  constructor(link: ConnectionLink, pair: ConnectionPair, initialSequence: number, user: ConnectionUser) {
    this.link = link
    this.pair = pair
    this.user = user
    this.initialSequence = initialSequence
    this.heardAt = link.now
    this.agreement = new Agreement(link, pair, initialSequence)
    this.sender = new Sender(this, link.pool, initialSequence, this.agreement.defaultSegmentSize)
    this.receiver = new Receiver(this, link.pool)
    this.receiver.windowScale = WINDOW_SCALE
  }

  get now(): number { return this.link.now }
  get timestamp(): number { return this.agreement.timestamp }

  /** When `expire` wants to be called next, in ms. */
  get deadline(): number {
    const { receiver, sender: { expiresAt } } = this
    const acknowledgeAt = this.waitsForLink ? Infinity : receiver.acknowledgeAt
    return Math.min(expiresAt, acknowledgeAt, this.endsAt, this.isSynchronized ? this.keepAliveAt : Infinity)
  }

  // ── for the user ──

  /** Sends SYN: an active open. */
  open(): void {
    this.state = 'SYN-SENT'
    this.sendSyn()
  }

  /** The guest's SYN is answered at last. */
  accept(): void {
    this.state = 'SYN-RECEIVED'
    this.sendSyn()
  }

  /** Takes all bytes. False: no more should follow until `ConnectionUser.acknowledged` finds `hasRoom`. */
  write(bytes: Uint8Array): boolean {
    this.sender.queue.append(bytes, 0, bytes.length, true)
    if (this.canSend) this.sender.transmit()
    return this.hasRoom
  }

  get hasRoom(): boolean { return this.sender.queue.length < this.link.pool.allowance }

  /** FIN after all that was written. */
  finish(): void {
    this.sender.finish()
    if (this.state === 'ESTABLISHED') this.state = 'FIN-WAIT-1'
    else if (this.state === 'CLOSE-WAIT') this.state = 'LAST-ACK'
    if (this.canSend) this.sender.transmit()
  }

  /** The user takes bytes again. */
  drain(): void {
    if (this.receiver.drain()) this.sendAcknowledgment()
    if (this.state === 'LAST-ACK') this.advanceState()
  }

  /** OPENING ends with RST: the host's side cannot be had. */
  refuse(): void {
    this.user = null
    this.emit(Control.RST | Control.ACK, 0, 0, 0)
    this.close('aborted')
  }

  /** Breaks the connection off, with RST. The user hears nothing more. */
  abort(): void {
    this.user = null
    if (this.isSynchronized || this.state === 'SYN-RECEIVED') this.sendReset()
    this.close('aborted')
  }

  /** As `abort`, once the peer has what was written, if it takes it in time. The user hears nothing more. */
  abortWhenSent(): void {
    if (this.sender.queue.length === 0 || !this.isSynchronized) {
      this.abort()
      return
    }
    this.user = null
    this.abortsWhenSent = true
    this.endsAt = this.now + ABORT_PATIENCE
  }

  /** Ends it without a word, in TIME-WAIT. */
  forget(): void { this.close('finished') }

  // ── from below ──

  /** What SYN says, before it is answered; a repeated SYN may say something else. */
  noteSyn(segment: Segment): void {
    this.heardAt = this.now
    this.peerInitialSequence = segment.sequence
    const { agreement, receiver, sender } = this
    agreement.note(segment)
    receiver.windowScale = agreement.usesScale ? WINDOW_SCALE : 0
    receiver.start(segment.sequence, agreement.ourSegmentSize)
    sender.windowScale = Math.max(0, segment.windowScale)
    sender.usesSack = agreement.usesSack
    sender.segmentSize = agreement.limitSegmentSize(segment.maximumSegmentSize || agreement.defaultSegmentSize)
  }

  /** A segment of the peer's. */
  receive(segment: Segment): void {
    if (this.state === 'OPENING') this.receiveOpening(segment)
    else if (this.state === 'SYN-SENT') this.receiveSynSent(segment)
    else if (this.state !== 'CLOSED') this.receiveSynchronized(segment)
  }

  linkReady(): void {
    this.waitsForLink = false
    if (this.canSend) this.sender.transmit()
    if (this.receiver.acknowledgeAt <= this.now) this.sendAcknowledgment()
  }

  /** The path takes packets of `mtu` bytes only, if `sequence` was really sent. RFC 9293, section 3.9.2.2; RFC 5927, section 4. */
  packetTooBig(sequence: number, mtu: number): void {
    if (!this.isUnderWay(sequence)) return
    const size = this.agreement.segmentSizeFor(mtu)
    if (size >= this.sender.segmentSize) return
    this.sender.reduceSegmentSize(size)
    if (this.canSend) this.sender.transmit()
  }

  /** The peer's host says that nobody is there: it ends a handshake, nothing else (RFC 5461). */
  unreachable(sequence: number): void {
    if (this.state === 'SYN-SENT' && sequence === this.initialSequence) this.close('refused')
  }

  /** Something of `deadline` is due. */
  expire(): void {
    const { now } = this
    if (this.endsAt <= now) this.expireEnd()
    if (this.sender.expiresAt <= now && !this.expireSender()) this.giveUp()
    if (this.isSynchronized && this.keepAliveAt <= now) this.keepAlive()
    if (this.receiver.acknowledgeAt <= now) this.sendAcknowledgment()
  }

  // ── SenderLink, ReceiverLink ──

  emit(control: number, sequence: number, offset: number, length: number): boolean {
    const { buffer, segmentStart } = this.link
    const isSyn = (control & Control.SYN) !== 0
    const payload = this.agreement.writeOptions(buffer, segmentStart + HEADER_SIZE, isSyn, length, this.receiver)
    const headerSize = payload - segmentStart
    const acknowledgment = control & Control.ACK ? this.receiver.next : 0
    const window = control & Control.ACK
      ? this.receiver.advertise(this.agreement.usesScale && !isSyn) : Math.min(65535, this.link.pool.allowance)
    const { localPort, remotePort } = this.pair
    writeHeader(buffer, segmentStart, localPort, remotePort, sequence, acknowledgment, headerSize, control, window)
    if (length > 0) this.sender.queue.copyTo(offset, length, buffer, payload)
    const { segmentSize } = this.sender
    this.waitsForLink = !this.link.send(this.pair, headerSize + length, length > segmentSize ? segmentSize : 0)
    if (this.waitsForLink) return false
    this.lastAcknowledged = acknowledgment
    this.receiver.acknowledged()
    return true
  }

  deliver(bytes: Uint8Array): number { return this.user === null ? bytes.length : this.user.deliver(bytes) }

  deliverEnd(): void { this.user?.deliverEnd() }

  // ── segments that come in ──

  /** Nothing is answered before the host's socket has: the guest asks again, perhaps for another connection, or thinks better of it. */
  private receiveOpening(segment: Segment): void {
    if (segment.has(Control.RST)) {
      if (segment.sequence === advance(this.peerInitialSequence, 1)) this.close('reset')
    } else if (segment.has(Control.SYN) && !segment.has(Control.ACK)) this.noteSyn(segment)
  }

  /** Section 3.10.7.3. */
  private receiveSynSent(segment: Segment): void {
    const acknowledges = segment.has(Control.ACK)
    if (acknowledges && segment.acknowledgment !== advance(this.initialSequence, 1)) {
      if (!segment.has(Control.RST)) this.sendResetAt(segment.acknowledgment)
    } else if (segment.has(Control.RST)) {
      if (acknowledges) this.close('refused')
    } else if (segment.has(Control.SYN)) {
      this.noteSyn(segment)
      if (acknowledges) this.establish(segment)
      else this.accept()
    }
  }

  /** Section 3.10.7.4. */
  private receiveSynchronized(segment: Segment): void {
    if (this.isRepeatedSyn(segment)) this.sendSynAcknowledgment()
    else if (!this.isAcceptable(segment)) this.answerUnacceptable(segment)
    else if (segment.has(Control.RST)) this.receiveReset(segment)
    else if (segment.has(Control.SYN) && !this.isRepeatedSynAcknowledgment(segment)) this.challenge()
    else if (segment.has(Control.ACK)) this.receiveAcknowledging(segment)
  }

  private isRepeatedSyn(segment: Segment): boolean {
    return this.state === 'SYN-RECEIVED' && segment.has(Control.SYN) && segment.sequence === this.peerInitialSequence
      && !segment.has(Control.RST) && (!segment.has(Control.ACK) || segment.acknowledgment !== this.sender.next)
  }

  /** A simultaneous open: figure 8 in section 3.5. */
  private isRepeatedSynAcknowledgment(segment: Segment): boolean {
    return this.state === 'SYN-RECEIVED' && segment.sequence === this.peerInitialSequence && segment.has(Control.ACK)
  }

  private isAcceptable(segment: Segment): boolean {
    return this.receiver.isAcceptable(segment) && (segment.has(Control.RST) || !this.agreement.isOld(segment))
  }

  private answerUnacceptable(segment: Segment): void {
    if (segment.has(Control.RST)) return
    if (this.state === 'TIME-WAIT' && segment.has(Control.FIN)) this.endsAt = this.now + TIME_WAIT
    if (segment.span > 0 && !segment.has(Control.SYN)) this.sendAcknowledgment()
    else this.challenge()
  }

  /** RFC 5961, section 3: only the number that comes next resets at once. */
  private receiveReset(segment: Segment): void {
    if (segment.sequence !== this.receiver.next) this.challenge()
    else this.close(this.state === 'SYN-RECEIVED' ? 'refused' : 'reset')
  }

  private receiveAcknowledging(segment: Segment): void {
    if (this.state === 'SYN-RECEIVED') {
      if (segment.acknowledgment !== advance(this.initialSequence, 1)) {
        this.sendResetAt(segment.acknowledgment)
        return
      }
      this.establish(segment)
    }
    if (!this.isPlausible(segment.acknowledgment)) {
      this.challenge()
      return
    }
    this.heard(segment)
    this.sender.acknowledged(segment)
    this.receiveData(segment)
    if (this.canSend) this.sender.transmit()
    this.advanceState()
    if (this.receiver.acknowledgeAt <= this.now) this.sendAcknowledgment()
  }

  /** RFC 5961, section 5. */
  private isPlausible(acknowledgment: number): boolean {
    const { unacknowledged, next, windowMaximum } = this.sender
    return !isAfter(acknowledgment, next) && distance(acknowledgment, unacknowledged) <= Math.max(windowMaximum, 65535)
  }

  private heard(segment: Segment): void {
    this.heardAt = this.now
    this.keepAliveProbes = 0
    this.agreement.noteTimestamp(segment, this.lastAcknowledged)
  }

  private receiveData(segment: Segment): void {
    if (segment.payloadLength === 0 && !segment.has(Control.FIN)) return
    if (this.receiver.finReceived) {
      this.receiver.acknowledgeAt = 0 // FIN once more: the acknowledgment was lost
      return
    }
    this.receiver.receive(segment)
  }

  // ── states ──

  get isSynchronized(): boolean {
    return this.state !== 'OPENING' && this.state !== 'SYN-SENT' && this.state !== 'SYN-RECEIVED' && this.state !== 'CLOSED'
  }

  private get canSend(): boolean { return this.isSynchronized && this.state !== 'TIME-WAIT' }

  private establish(segment: Segment): void {
    this.heard(segment)
    this.sender.start(segment)
    this.state = this.sender.ending ? 'FIN-WAIT-1' : 'ESTABLISHED'
    if (segment.has(Control.SYN)) this.receiver.acknowledgeAt = 0
    this.user?.established()
    this.sender.transmit()
    if (this.receiver.acknowledgeAt === 0) this.sendAcknowledgment()
  }

  /** What FIN in either direction, and its acknowledgment, make of the state. */
  private advanceState(): void {
    const { receiver: { finReceived }, sender: { finAcknowledged } } = this
    if (this.state === 'ESTABLISHED' && finReceived) this.state = 'CLOSE-WAIT'
    if (this.state === 'FIN-WAIT-1' && finReceived) this.state = 'CLOSING'
    if (this.state === 'FIN-WAIT-1' && finAcknowledged) this.state = 'FIN-WAIT-2'
    if ((this.state === 'CLOSING' && finAcknowledged) || (this.state === 'FIN-WAIT-2' && finReceived)) this.enterTimeWait()
    if (this.state === 'LAST-ACK' && finAcknowledged && this.receiver.queue.length === 0) this.close('finished')
    if (this.abortsWhenSent && this.state !== 'CLOSED' && this.sender.queue.length === 0) this.abort()
    else this.user?.acknowledged()
  }

  private enterTimeWait(): void {
    this.state = 'TIME-WAIT'
    this.endsAt = this.now + TIME_WAIT
    this.sender.expiresAt = Infinity
  }

  private close(end: ConnectionEnd): void {
    const { user } = this
    this.state = 'CLOSED'
    this.user = null
    this.endsAt = Infinity
    this.sender.clear()
    this.receiver.clear()
    user?.over(end)
  }

  // ── timers ──

  private get keepAliveAt(): number {
    return this.state === 'TIME-WAIT' ? Infinity : this.heardAt + KEEP_ALIVE_IDLE + this.keepAliveProbes * KEEP_ALIVE_INTERVAL
  }

  private expireEnd(): void {
    if (this.state !== 'TIME-WAIT') this.abort()
    else if (this.receiver.queue.length === 0) this.close('finished')
    else this.endsAt = this.now + TIME_WAIT // the user is slow
  }

  private expireSender(): boolean {
    if (this.state !== 'SYN-SENT' && this.state !== 'SYN-RECEIVED') return this.sender.expire()
    return this.sendSyn()
  }

  private keepAlive(): void {
    if (this.keepAliveProbes === KEEP_ALIVE_PROBES) {
      this.giveUp()
      return
    }
    this.keepAliveProbes++
    this.emit(Control.ACK, advance(this.sender.next, -1), 0, 0)
  }

  private giveUp(): void {
    if (this.isSynchronized) this.sendReset()
    this.close('given-up')
  }

  // ── segments without data ──

  /** Sends SYN or SYN-ACK, again if need be. False: often enough. */
  private sendSyn(): boolean {
    if (!this.sender.attemptHandshake(HANDSHAKE_ATTEMPTS)) return false
    this.sender.next = advance(this.initialSequence, 1)
    this.sendSynAcknowledgment()
    return true
  }

  private sendSynAcknowledgment(): void {
    this.emit(this.state === 'SYN-SENT' ? Control.SYN : Control.SYN | Control.ACK, this.initialSequence, 0, 0)
  }

  private sendAcknowledgment(): void {
    if (this.isSynchronized) this.emit(Control.ACK, this.sender.next, 0, 0)
  }

  private sendReset(): void { this.emit(Control.RST | Control.ACK, this.sender.next, 0, 0) }

  /** Section 3.10.7.1: RST that the peer believes, because it has the number that the peer waits for. */
  private sendResetAt(sequence: number): void { this.emit(Control.RST, sequence, 0, 0) }

  /** RFC 5961: says where we are, so that an honest peer can convince us; not more often than is good. */
  private challenge(): void {
    const second = Math.floor(this.now / 1000)
    if (second !== this.challengeSecond) this.challenges = 0
    this.challengeSecond = second
    if (this.challenges++ < CHALLENGES_PER_SECOND) this.sendAcknowledgment()
  }

  private isUnderWay(sequence: number): boolean {
    return !isBefore(sequence, this.sender.unacknowledged) && isBefore(sequence, this.sender.next)
  }
}
