/**
 * Commands on the control queue. Source: VIRTIO 1.2, §5.1.6.5.
 *
 *   readable: class (1), command (1), data      writable: ack (1)
 *
 * Left out on purpose: receive-side scaling and hash reports (§5.1.6.5.6.4, .7), notification coalescing (§5.1.6.5.8).
 */
import { ADDRESS_LENGTH } from '../../../machine/frame.ts'
import type { DescriptorChain } from '../descriptor-chain.ts'
import { Ack, ControlClass, GUEST_OFFLOADS, MacCommand, NetFeature, VlanCommand } from './bits.ts'
import { MOST_ADDRESSES, ReceiveMode } from './receive-filter.ts'
import type { ReceiveFilter } from './receive-filter.ts'

/** What commands change. */
export interface NetSettings {
  readonly filter: ReceiveFilter
  /** Queue pairs that the driver uses, and has at most. */
  pairs: number
  readonly mostPairs: number
  /** Offloads towards the driver: bits by their features' numbers in GUEST_OFFLOADS. */
  offloads: number
  agreed(feature: number): boolean
  /** The driver has announced itself. */
  announced(): void
  /** The card has another address. */
  addressChanged(): void
}

const DATA = 2
const COUNT_SIZE = 4

/** Carries out a command. Returns its answer. */
export function carryOut(chain: DescriptorChain, settings: NetSettings): number {
  if (chain.readableLength < DATA) return Ack.ERR
  const [kind, command] = [chain.readU16(0) & 0xff, chain.readU16(0) >> 8]
  return perform(kind, command, chain, settings) ? Ack.OK : Ack.ERR
}

function perform(kind: number, command: number, chain: DescriptorChain, settings: NetSettings): boolean {
  switch (kind) {
    case ControlClass.RX: return setMode(command, chain, settings)
    case ControlClass.MAC: return setAddresses(command, chain, settings)
    case ControlClass.VLAN: return setVlan(command, chain, settings)
    case ControlClass.ANNOUNCE: return acknowledge(command, settings)
    case ControlClass.MQ: return setPairs(command, chain, settings)
    case ControlClass.GUEST_OFFLOADS: return setOffloads(command, chain, settings)
    default: return false
  }
}

function setMode(mode: number, chain: DescriptorChain, { filter, agreed }: NetSettings): boolean {
  const feature = mode <= ReceiveMode.ALLMULTI ? NetFeature.CTRL_RX : NetFeature.CTRL_RX_EXTRA
  return agreed(feature) && chain.readableLength > DATA && filter.setMode(mode, (chain.readU16(DATA) & 0xff) !== 0)
}

function setAddresses(command: number, chain: DescriptorChain, settings: NetSettings): boolean {
  if (command === MacCommand.ADDR_SET) return setOwnAddress(chain, settings)
  return command === MacCommand.TABLE_SET && settings.agreed(NetFeature.CTRL_RX) && setTables(chain, settings.filter)
}

function setOwnAddress(chain: DescriptorChain, settings: NetSettings): boolean {
  if (!settings.agreed(NetFeature.CTRL_MAC_ADDR) || chain.readableLength !== DATA + ADDRESS_LENGTH) return false
  chain.read(DATA, settings.filter.address)
  settings.addressChanged()
  return true
}

/** Unicast addresses, then multicast ones: each a count and so many addresses. */
function setTables(chain: DescriptorChain, { unicast, multicast }: ReceiveFilter): boolean {
  let at = DATA
  const wellFormed = [0, 1].every(() => {
    if (at + COUNT_SIZE > chain.readableLength) return false
    at += COUNT_SIZE + chain.readU32(at) * ADDRESS_LENGTH
    return at <= chain.readableLength
  })
  if (!wellFormed) return false
  at = DATA
  for (const table of [unicast, multicast]) {
    const count = chain.readU32(at)
    table.overflown = count > MOST_ADDRESSES
    table.count = table.overflown ? 0 : count
    chain.read(at + COUNT_SIZE, table.bytes.subarray(0, table.count * ADDRESS_LENGTH))
    at += COUNT_SIZE + count * ADDRESS_LENGTH
  }
  return true
}

function setVlan(command: number, chain: DescriptorChain, { filter, agreed }: NetSettings): boolean {
  if (!agreed(NetFeature.CTRL_VLAN) || command > VlanCommand.DEL || chain.readableLength !== DATA + 2) return false
  return filter.setVlan(chain.readU16(DATA), command === VlanCommand.ADD)
}

function acknowledge(command: number, settings: NetSettings): boolean {
  if (command !== 0 || !settings.agreed(NetFeature.GUEST_ANNOUNCE)) return false
  settings.announced()
  return true
}

function setPairs(command: number, chain: DescriptorChain, settings: NetSettings): boolean {
  const pairs = chain.readU16(DATA)
  if (command !== 0 || !settings.agreed(NetFeature.MQ) || chain.readableLength !== DATA + 2) return false
  if (pairs < 1 || pairs > settings.mostPairs) return false
  settings.pairs = pairs
  return true
}

/** A bit for each offload that is wanted, among those agreed on: bits by the features' numbers. */
function setOffloads(command: number, chain: DescriptorChain, settings: NetSettings): boolean {
  if (command !== 0 || !settings.agreed(NetFeature.CTRL_GUEST_OFFLOADS) || chain.readableLength !== DATA + 8) return false
  const words = [chain.readU32(DATA), chain.readU32(DATA + 4)]
  let [offloads, others] = [0, [...words]]
  GUEST_OFFLOADS.forEach((feature, index) => {
    if ((words[feature >> 5] >>> (feature & 31) & 1) === 0 || !settings.agreed(feature)) return
    offloads |= 1 << index
    others[feature >> 5] = (others[feature >> 5] & ~(1 << (feature & 31))) >>> 0
  })
  if (others.some((word) => word !== 0)) return false
  settings.offloads = offloads
  return true
}
