/**
 * Which frames the driver wants to see. Source: VIRTIO 1.2, §5.1.6.5.1 (receive modes), §5.1.6.5.2 (addresses), §5.1.6.5.3 (VLANs).
 *
 * After a reset everything passes, until the driver says what it wants. When the driver gives more addresses than there is room for,
 * all of that kind pass (§5.1.6.5.2.1).
 */
import type { PlainData } from '../../../machine/lifecycle.ts'
import type { StateReader } from '../../../machine/state-reader.ts'
import { ADDRESS_LENGTH } from '../../../machine/frame.ts'

/** Modes by the numbers of their commands. */
export const ReceiveMode = { PROMISC: 0, ALLMULTI: 1, ALLUNI: 2, NOMULTI: 3, NOUNI: 4, NOBCAST: 5 } as const
const MODES = Object.keys(ReceiveMode).length
/** Addresses in a table. */
export const MOST_ADDRESSES = 64
const VLAN_BYTES = 4096 / 8
const VLAN_TAG = 0x8100
const TAGGED_LENGTH = 18

/** Addresses of one kind. */
class AddressTable {
  readonly bytes = new Uint8Array(MOST_ADDRESSES * ADDRESS_LENGTH)
  count = 0
  /** There were more than there is room for. */
  overflown = false

  has(frame: Uint8Array, start: number): boolean {
    for (let index = 0; index < this.count; index++) if (sameAddress(this.bytes, index * ADDRESS_LENGTH, frame, start)) return true
    return this.overflown
  }

  clear(): void {
    this.count = 0
    this.overflown = false
  }

  save(): PlainData { return { addresses: this.bytes.slice(0, this.count * ADDRESS_LENGTH), overflown: this.overflown } }

  restore(state: StateReader): void {
    const addresses = state.bytes('addresses', 0, this.bytes.length)
    this.count = Math.floor(addresses.length / ADDRESS_LENGTH)
    this.bytes.set(addresses)
    this.overflown = state.boolean('overflown')
  }
}

export class ReceiveFilter {
  /** The card's own address. */
  readonly address = new Uint8Array(ADDRESS_LENGTH)
  readonly unicast = new AddressTable()
  readonly multicast = new AddressTable()
  private readonly modes = new Uint8Array(MODES)
  private readonly vlans = new Uint8Array(VLAN_BYTES)

  constructor() { this.reset() }

  setMode(mode: number, on: boolean): boolean {
    if (mode >= MODES) return false
    this.modes[mode] = on ? 1 : 0
    return true
  }

  setVlan(vlan: number, on: boolean): boolean {
    if (vlan > 4095) return false
    const bit = 1 << (vlan & 7)
    if (on) this.vlans[vlan >> 3] |= bit
    else this.vlans[vlan >> 3] &= ~bit
    return true
  }

  /** Whether the frame is for this driver. `filtersVlans`: the driver has said which it wants. */
  accepts(bytes: Uint8Array, start: number, length: number, filtersVlans: boolean): boolean {
    const { modes } = this
    if (modes[ReceiveMode.PROMISC] !== 0) return true
    if (filtersVlans && length >= TAGGED_LENGTH && (bytes[start + 12] << 8 | bytes[start + 13]) === VLAN_TAG) {
      const vlan = (bytes[start + 14] & 0xf) << 8 | bytes[start + 15]
      if ((this.vlans[vlan >> 3] >> (vlan & 7) & 1) === 0) return false
    }
    if ((bytes[start] & 1) === 0) return this.acceptsUnicast(bytes, start)
    if (isBroadcast(bytes, start)) return modes[ReceiveMode.NOBCAST] === 0
    if (modes[ReceiveMode.NOMULTI] !== 0) return false
    return modes[ReceiveMode.ALLMULTI] !== 0 || this.multicast.has(bytes, start)
  }

  /** As at power-on; the address stays. */
  reset(): void {
    this.modes.fill(0)
    this.modes[ReceiveMode.PROMISC] = 1
    this.unicast.clear()
    this.multicast.clear()
    this.vlans.fill(0)
  }

  save(): PlainData {
    return {
      address: this.address.slice(), modes: this.modes.slice(), vlans: this.vlans.slice(),
      unicast: this.unicast.save(), multicast: this.multicast.save(),
    }
  }

  restore(state: StateReader): void {
    this.address.set(state.bytes('address', ADDRESS_LENGTH))
    this.modes.set(state.bytes('modes', MODES).map((mode) => mode & 1))
    this.vlans.set(state.bytes('vlans', VLAN_BYTES))
    this.unicast.restore(state.child('unicast'))
    this.multicast.restore(state.child('multicast'))
  }

  private acceptsUnicast(bytes: Uint8Array, start: number): boolean {
    if (this.modes[ReceiveMode.NOUNI] !== 0) return false
    if (this.modes[ReceiveMode.ALLUNI] !== 0 || sameAddress(this.address, 0, bytes, start)) return true
    return this.unicast.has(bytes, start)
  }
}

function sameAddress(a: Uint8Array, atA: number, b: Uint8Array, atB: number): boolean {
  for (let index = 0; index < ADDRESS_LENGTH; index++) if (a[atA + index] !== b[atB + index]) return false
  return true
}

function isBroadcast(bytes: Uint8Array, start: number): boolean {
  for (let index = 0; index < ADDRESS_LENGTH; index++) if (bytes[start + index] !== 0xff) return false
  return true
}
