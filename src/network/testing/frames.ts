import { plainFrame } from '../../machine/frame.ts'
import type { Frame, FrameEnd } from '../../machine/frame.ts'

/** Frames put together for tests. */
export function macOf(station: number): Uint8Array { return Uint8Array.of(2, 0, 0, 0, station >> 8, station) }

export const BROADCAST = new Uint8Array(6).fill(0xff)

export interface FrameParts {
  readonly to?: Uint8Array
  readonly from?: Uint8Array
  readonly vlan?: number
  readonly type?: number
  readonly payload?: Uint8Array | readonly number[]
}

export function makeFrame({ to = BROADCAST, from = macOf(1), vlan, type = 0x88b5, payload = [] }: FrameParts): Frame {
  const tag = vlan === undefined ? [] : [0x81, 0, vlan >> 8, vlan & 0xff]
  const padding = new Uint8Array(Math.max(0, 46 - payload.length))
  return plainFrame(Uint8Array.from([...to, ...from, ...tag, type >> 8, type & 0xff, ...payload, ...padding]))
}

export interface Ipv4Parts {
  readonly source: readonly number[]
  readonly destination: readonly number[]
  readonly protocol: number
  readonly payload?: readonly number[]
  readonly fragment?: number
  readonly identification?: number
}

/** A packet without a right checksum of its header. */
export function ipv4({ source, destination, protocol, payload = [], fragment = 0, identification = 0 }: Ipv4Parts): number[] {
  const length = 20 + payload.length
  return [
    0x45, 0, length >> 8, length & 0xff, identification >> 8, identification & 0xff, fragment >> 8, fragment & 0xff, 64, protocol, 0, 0,
    ...source, ...destination, ...payload,
  ]
}

export function ipv6(source: readonly number[], destination: readonly number[], protocol: number, payload: readonly number[]): number[] {
  return [0x60, 0, 0, 0, payload.length >> 8, payload.length & 0xff, protocol, 64, ...source, ...destination, ...payload]
}

/** The first 20 bytes of TCP, or 8 of UDP. */
export function tcp(source: number, destination: number, flags = 0x10): number[] {
  return [source >> 8, source & 0xff, destination >> 8, destination & 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, flags, 0, 0, 0, 0, 0, 0]
}

export function udp(source: number, destination: number): number[] {
  return [source >> 8, source & 0xff, destination >> 8, destination & 0xff, 0, 8, 0, 0]
}

/** A station behind a cable: keeps what it gets. */
export class Station implements FrameEnd {
  readonly received: Uint8Array[] = []
  room = Infinity
  readied = 0

  receive(frame: Frame): boolean {
    if (this.room <= 0) return false
    this.room--
    this.received.push(frame.bytes.slice(frame.start, frame.start + frame.length))
    return true
  }

  ready(): void { this.readied++ }

  /** What came since the last call. */
  take(): Uint8Array[] { return this.received.splice(0) }
}
