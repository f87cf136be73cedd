/**
 * Who is who on the link, towards the guests: ARP, neighbour discovery, router advertisements. RFC 826, RFC 5227, RFC 4861.
 *
 * Left out: redirects, proxying for others, secure neighbour discovery.
 */
import { fold } from '../../base/internet-checksum.ts'
import { Arp, ArpOperation, ARP_LENGTH, parseArp, writeArp } from '../packet/arp.ts'
import { isInside, isLinkLocal6, isUnspecified, keyAddressLength } from '../packet/addresses.ts'
import { copyBytes, equalBytes, getU32, setU16 } from '../packet/bytes.ts'
import { completeChecksum, sumPseudoHeader } from '../packet/checksum.ts'
import { ETHERNET_HEADER, EtherType, MAC_LENGTH, isGroupMac, writeEthernet } from '../packet/ethernet.ts'
import { Icmp6 } from '../packet/icmp.ts'
import { IPV6_HEADER, writeIpv6 } from '../packet/ipv6.ts'
import {
  AdvertisementFlag, NdpOption, TARGET, findLinkAddress, isValidNdp, writeNeighbourMessage, writeRouterAdvertisement,
} from '../packet/ndp.ts'
import { Protocol, type ParsedPacket } from '../packet/packet.ts'
import { encodeName } from '../packet/dns-name.ts'
import { SECOND, type Ager, type Ageing } from './ager.ts'
import type { Counters } from './counters.ts'
import { PAYLOAD, type Link } from './link.ts'
import type { Neighbours } from './neighbours.ts'
import type { Output } from './output.ts'
import type { Settings } from './settings.ts'

const BROADCAST = Uint8Array.of(255, 255, 255, 255, 255, 255)
const NOBODY = new Uint8Array(MAC_LENGTH)
const ALL_NODES = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)
const ALL_ROUTERS = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2)
/** Behind ff02::1:ff00:0/104 come the last three bytes of the address. */
const SOLICITED_NODE = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 0)
const ADVERTISE_EVERY = 300 * SECOND
const ROUTER_LIFETIME = 1800

export class Discovery implements Ageing {
  private readonly settings: Settings
  private readonly link: Link
  private readonly neighbours: Neighbours
  private readonly counters: Counters
  private readonly output: () => Output
  /** Questions are asked while a packet lies in the link's buffer. */
  private readonly question = new Uint8Array(128)
  private readonly group = SOLICITED_NODE.slice()
  private nextAdvertisement = Infinity

  constructor(
    ager: Ager, settings: Settings, link: Link, neighbours: Neighbours, counters: Counters, output: () => Output) {
    this.settings = settings
    this.link = link
    this.neighbours = neighbours
    this.counters = counters
    this.output = output
    ager.add(this)
    if (settings.ipv6 === null) return
    this.nextAdvertisement = ager.now() + SECOND
    ager.wake(this.nextAdvertisement)
  }

  age(now: number): number {
    if (now >= this.nextAdvertisement) {
      this.nextAdvertisement = now + ADVERTISE_EVERY
      this.advertiseRouter(ALL_NODES, 0)
    }
    return this.nextAdvertisement
  }

  /** Whether a group's IPv6 address is one that the gateway listens to. */
  isOwnGroup(bytes: Uint8Array, at: number): boolean {
    if (equalBytes(bytes, at, ALL_NODES, 0, 16) || equalBytes(bytes, at, ALL_ROUTERS, 0, 16)) return true
    if (!equalBytes(bytes, at, SOLICITED_NODE, 0, 13)) return false
    const { ipv6, linkLocal } = this.settings
    return equalBytes(bytes, at + 13, linkLocal, 13, 3) || (ipv6 !== null && equalBytes(bytes, at + 13, ipv6.address, 13, 3))
  }

  isOwn6(bytes: Uint8Array, at: number): boolean {
    const { ipv6, linkLocal } = this.settings
    return equalBytes(bytes, at, linkLocal, 0, 16) || (ipv6 !== null && equalBytes(bytes, at, ipv6.address, 0, 16))
  }

  /** `source` is where the frame's source address is: whoever speaks for another is not believed. */
  receiveArp(bytes: Uint8Array, at: number, end: number, source: number): void {
    const operation = parseArp(bytes, at, end)
    if (operation === 0) return this.counters.drop('malformed')
    const { ipv4, mac } = this.settings
    const sender = at + Arp.SENDER
    const probe = getU32(bytes, sender) === 0
    const believable = equalBytes(bytes, at + Arp.SENDER_MAC, bytes, source, MAC_LENGTH) && !isGroupMac(bytes, source)
      && (probe || (isInside(ipv4, bytes, sender) && !equalBytes(bytes, sender, ipv4.address, 0, 4)))
    if (!believable) return this.counters.drop('spoofed')
    const forUs = equalBytes(bytes, at + Arp.TARGET, ipv4.address, 0, 4)
    const answer = forUs && operation === ArpOperation.REPLY
    // RFC 826: a request to us makes an entry, everything else only brings one up to date.
    if (!probe) this.neighbours.learn(bytes, sender, 4, bytes, at + Arp.SENDER_MAC, forUs && !answer)
    if (!forUs || answer) return
    writeEthernet(this.question, 0, bytes, source, mac, EtherType.ARP)
    writeArp(this.question, ETHERNET_HEADER, ArpOperation.REPLY, mac, ipv4.address, bytes, source, bytes, sender)
    this.link.send(this.question, 0, ETHERNET_HEADER + ARP_LENGTH)
  }

  /** Asks for a neighbour. */
  solicit(key: Uint8Array, keyAt: number, whom: Uint8Array | null): void {
    if (keyAddressLength(key, keyAt) === 16) return this.solicit6(key, keyAt, whom)
    const { mac, ipv4 } = this.settings
    writeEthernet(this.question, 0, whom ?? BROADCAST, 0, mac, EtherType.ARP)
    writeArp(this.question, ETHERNET_HEADER, ArpOperation.REQUEST, mac, ipv4.address, NOBODY, 0, key, keyAt + 12)
    this.link.send(this.question, 0, ETHERNET_HEADER + ARP_LENGTH)
  }

  /** A message of neighbour discovery, its checksum right. */
  receive(packet: ParsedPacket, frameSource: number): void {
    if (!isValidNdp(packet)) return this.counters.drop('malformed')
    switch (packet.bytes[packet.payload]) {
      case Icmp6.ROUTER_SOLICITATION: return this.receiveRouterSolicitation(packet, frameSource)
      case Icmp6.NEIGHBOUR_SOLICITATION: return this.receiveSolicitation(packet, frameSource)
      default: return this.receiveAdvertisement(packet, frameSource)
    }
  }

  private receiveRouterSolicitation(packet: ParsedPacket, frameSource: number): void {
    if (this.settings.ipv6 === null) return
    const { bytes, source } = packet
    if (isUnspecified(bytes, source, 16)) return this.advertiseRouter(ALL_NODES, 0)
    if (!this.learnOption(packet, source, NdpOption.SOURCE, frameSource, true)) return
    this.advertiseRouter(bytes, source)
  }

  private receiveSolicitation(packet: ParsedPacket, frameSource: number): void {
    const { bytes, payload, source } = packet
    const detection = isUnspecified(bytes, source, 16)
    const target = payload + TARGET
    if (!detection && !this.learnOption(packet, source, NdpOption.SOURCE, frameSource, this.isOwn6(bytes, target))) return
    if (!this.isOwn6(bytes, target)) return
    const flags = AdvertisementFlag.ROUTER | AdvertisementFlag.OVERRIDE | (detection ? 0 : AdvertisementFlag.SOLICITED)
    const output = this.output()
    const own = bytes.slice(target, target + 16)
    const length = writeNeighbourMessage(output.buffer, PAYLOAD, Icmp6.NEIGHBOUR_ADVERTISEMENT, flags, own, 0, this.settings.mac)
    // Whoever looks for a duplicate of its own address has none yet to be answered at.
    if (detection) output.address(6, own, 0, ALL_NODES, 0)
    else output.address(6, own, 0, bytes, source)
    this.transmit(output, length)
  }

  private receiveAdvertisement(packet: ParsedPacket, frameSource: number): void {
    const target = packet.payload + TARGET
    if (this.isOwn6(packet.bytes, target)) return this.counters.drop('spoofed')
    if (packet.bytes[packet.payload] === Icmp6.NEIGHBOUR_ADVERTISEMENT) {
      this.learnOption(packet, target, NdpOption.TARGET, frameSource, false)
    }
  }

  /** False: it speaks for somebody else, or for an address that this link does not have. */
  private learnOption(packet: ParsedPacket, address: number, kind: number, frameSource: number, create: boolean): boolean {
    const { bytes } = packet
    const option = findLinkAddress(packet, kind)
    const inside = isLinkLocal6(bytes, address) || (this.settings.ipv6 !== null && isInside(this.settings.ipv6, bytes, address))
    if (!inside || this.isOwn6(bytes, address) || (option >= 0 && !equalBytes(bytes, option, bytes, frameSource, MAC_LENGTH))) {
      this.counters.drop('spoofed')
      return false
    }
    this.neighbours.learn(bytes, address, 16, bytes, frameSource, create)
    return true
  }

  private advertiseRouter(destination: Uint8Array, at: number): void {
    const { ipv6, mac, mtu, domain, linkLocal, kind } = this.settings
    if (ipv6 === null) return
    const output = this.output()
    const length = writeRouterAdvertisement(output.buffer, PAYLOAD, {
      mac, mtu, lifetime: kind === 'nat' ? ROUTER_LIFETIME : 0, prefix: ipv6.address, dnsServer: ipv6.address,
      searchDomain: encodeName(domain),
    })
    output.address(6, linkLocal, 0, destination, at)
    this.transmit(output, length)
  }

  private transmit(output: Output, length: number): void {
    output.packet.protocol = Protocol.ICMPV6
    output.packet.hopLimit = 255
    output.packet.checksumField = 2
    output.transmit(length)
  }

  /** In a buffer of its own, without the neighbours: it is they who ask. */
  private solicit6(key: Uint8Array, keyAt: number, whom: Uint8Array | null): void {
    const { mac, ipv6, linkLocal } = this.settings
    copyBytes(key, keyAt + 13, this.group, 13, 3)
    const own = isLinkLocal6(key, keyAt) || ipv6 === null ? linkLocal : ipv6.address
    const destination = whom === null ? this.group : key.slice(keyAt, keyAt + 16)
    writeSolicitation(this.question, mac, whom ?? groupMacOf(this.group), own, destination, key, keyAt)
    this.link.send(this.question, 0, SOLICITATION_FRAME)
  }
}

const SOLICITATION_FRAME = ETHERNET_HEADER + 40 + 32

function writeSolicitation(
  bytes: Uint8Array, mac: Uint8Array, toMac: Uint8Array, source: Uint8Array, destination: Uint8Array, target: Uint8Array,
  targetAt: number): void {
  const header = ETHERNET_HEADER
  const message = header + IPV6_HEADER
  writeEthernet(bytes, 0, toMac, 0, mac, EtherType.IPV6)
  const length = writeNeighbourMessage(bytes, message, Icmp6.NEIGHBOUR_SOLICITATION, 0, target, targetAt, mac)
  writeIpv6(bytes, header, length, Protocol.ICMPV6, 0, 255)
  copyBytes(source, 0, bytes, header + 8, 16)
  copyBytes(destination, 0, bytes, header + 24, 16)
  setU16(bytes, message + 2, fold(sumPseudoHeader(bytes, header + 8, 16, Protocol.ICMPV6, length)))
  completeChecksum(bytes, message, length, message + 2)
}

/** RFC 2464 section 7. */
function groupMacOf(group: Uint8Array): Uint8Array {
  return Uint8Array.of(0x33, 0x33, group[12], group[13], group[14], group[15])
}
