/**
 * To which of several receive queues a frame goes: to that beside the transmit queue which its flow last used. Source: VIRTIO 1.2,
 * §5.1.6.5.5 ("automatic receive steering"). Flows that fall into the same place share it; nothing depends on that but speed.
 */
import { ETHERNET_HEADER } from '../../../machine/frame.ts'

export const STEERING_PLACES = 256

const IPV4 = 0x0800
const IPV6 = 0x86dd
const TCP = 6
const UDP = 17

export class Steering {
  /** Queue pairs by the flow's place. */
  readonly places = new Uint8Array(STEERING_PLACES)

  /** A frame of the guest's came from the transmit queue of this pair. */
  note(bytes: Uint8Array, start: number, length: number, pair: number): void { this.places[flowPlace(bytes, start, length)] = pair }

  pairOf(bytes: Uint8Array, start: number, length: number): number { return this.places[flowPlace(bytes, start, length)] }
}

/** The same for both directions of a flow, 0 to 255. */
function flowPlace(bytes: Uint8Array, start: number, length: number): number {
  const type = length < ETHERNET_HEADER + 44 ? 0 : bytes[start + 12] << 8 | bytes[start + 13]
  const ip = start + ETHERNET_HEADER
  if (type === IPV4) return mix(foldWords(bytes, ip + 12, 8) ^ portsOf(bytes, ip + (bytes[ip] & 0xf) * 4, start + length, bytes[ip + 9]))
  if (type === IPV6) return mix(foldWords(bytes, ip + 8, 32) ^ portsOf(bytes, ip + 40, start + length, bytes[ip + 6]))
  return 0
}

/** Exclusive or of 16-bit words: source and destination may change places. */
function foldWords(bytes: Uint8Array, at: number, length: number): number {
  let sum = 0
  for (let index = 0; index < length; index += 2) sum ^= bytes[at + index] << 8 | bytes[at + index + 1]
  return sum
}

function portsOf(bytes: Uint8Array, at: number, end: number, protocol: number): number {
  return (protocol === TCP || protocol === UDP) && at + 4 <= end ? foldWords(bytes, at, 4) : 0
}

function mix(value: number): number { return Math.imul(value, 0x9e3779b1) >>> 24 }
