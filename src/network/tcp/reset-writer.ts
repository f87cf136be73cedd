import type { IpPacket, SegmentHeader, SegmentOutput } from '../transport.ts'
import type { SavedFlow } from './saved-flow.ts'
import { Control, HEADER_SIZE, writeHeader } from './segment.ts'
import type { Segment } from './segment.ts'
import { advance } from './sequence.ts'

/** RST for what belongs to no connection: RFC 9293, section 3.10.7.1. Without an allocation, for floods of it are cheap to make. */
export class ResetWriter {
  private readonly output: SegmentOutput
  private readonly headers = { 4: headerOf(4), 6: headerOf(6) }

  constructor(output: SegmentOutput) { this.output = output }

  /** Answers a segment. If the link is full, nobody hears it, and the guest will ask again. */
  answer(packet: IpPacket, segment: Segment): void {
    const header = this.headers[packet.version]
    copy(packet.bytes, packet.destination, header.source)
    copy(packet.bytes, packet.source, header.destination)
    const { sourcePort, destinationPort } = segment
    if (segment.has(Control.ACK)) this.send(header, destinationPort, sourcePort, segment.acknowledgment, 0, Control.RST)
    else this.send(header, destinationPort, sourcePort, 0, advance(segment.sequence, segment.span), Control.RST | Control.ACK)
  }

  /** Ends a connection that is known from a snapshot only. */
  end(flow: SavedFlow): void {
    const header = this.headers[flow.version]
    header.source.set(flow.localAddress)
    header.destination.set(flow.remoteAddress)
    this.send(header, flow.localPort, flow.remotePort, flow.sendNext, flow.receiveNext, Control.RST | Control.ACK)
  }

  private send(header: SegmentHeader, sourcePort: number, destinationPort: number, sequence: number, acknowledgment: number,
    control: number): void {
    const { buffer, segmentStart } = this.output
    writeHeader(buffer, segmentStart, sourcePort, destinationPort, sequence, acknowledgment, HEADER_SIZE, control, 0)
    this.output.send(header, HEADER_SIZE)
  }
}

function headerOf(version: 4 | 6): SegmentHeader {
  const size = version === 4 ? 4 : 16
  return { version, source: new Uint8Array(size), destination: new Uint8Array(size), trafficClass: 0, segmentSize: 0 }
}

function copy(bytes: Uint8Array, at: number, address: Uint8Array): void {
  for (let index = 0; index < address.length; index++) address[index] = bytes[at + index]
}
