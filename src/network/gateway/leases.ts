/**
 * Which card has which IPv4 address: leases by MAC address. A card gets the same address again as long as that is possible, and the
 * first time one that follows from its MAC address: a new gateway gives the same guests the same addresses.
 *
 * Bounded by the pool: there is one record for an address at most. Reservations are kept for their card, whether it is there or not.
 */
import type { PlainData } from '../../machine/lifecycle.ts'
import type { StateReader } from '../../machine/state-reader.ts'
import { formatAddress, formatMac } from '../packet/addresses.ts'
import { getU32 } from '../packet/bytes.ts'
import { networkError } from '../errors.ts'
import { SECOND } from './ager.ts'
import { addressOf, checkReservation, isHostName, type CheckedReservation, type Reservation, type Settings } from './settings.ts'

export interface Lease {
  readonly mac: Uint8Array
  readonly address: number
  /** What the guest is called: its reservation's name, or what it says of itself. */
  readonly name: string | null
  /** Until then the address is its own; afterwards, until somebody else needs it. */
  readonly expires: number
  /** The guest has accepted it. */
  readonly bound: boolean
}

export interface LeaseDescription {
  readonly mac: string
  readonly address: string
  readonly name: string | null
  /** Whole seconds; 0: expired, or offered only. */
  readonly secondsLeft: number
}

const OFFER_TIME = 60 * SECOND
const DECLINED_TIME = 600 * SECOND
const DECLINED_LIMIT = 256
/** At a time. A card that declines everything must not use up the pool. */
const DECLINED_OF_ONE = 4

export class Leases {
  private readonly settings: Settings
  private readonly gateway: number
  private readonly byMac = new Map<string, Lease>()
  private readonly byAddress = new Map<number, Lease>()
  private readonly reservations = new Map<string, CheckedReservation>()
  private readonly reservedAddresses = new Map<number, string>()
  /** Addresses that somebody else was found to use, until when, and who said so. */
  private readonly declined = new Map<number, { readonly until: number, readonly mac: string }>()

  constructor(settings: Settings) {
    this.settings = settings
    this.gateway = getU32(settings.ipv4.address, 0)
    for (const reservation of settings.reservations) this.addReservation(reservation)
  }

  /** Keeps an address or a name for a card. Throws NETWORK_CONFIGURATION_INVALID: it is somebody else's. */
  reserve(reservation: Reservation, now: number): void {
    const checked = checkReservation(reservation, this.settings.ipv4)
    const key = formatMac(checked.mac)
    const taken = (what: string) => networkError('NETWORK_CONFIGURATION_INVALID',
      `${what} cannot be reserved for ${key}: it is another's already; choose a different one`)
    if (formatMac(this.settings.mac) === key) throw taken('the gateway\'s own card')
    if (checked.address !== null) {
      const address = getU32(checked.address, 0)
      const holder = this.byAddress.get(address)
      const owner = this.reservedAddresses.get(address) ?? (holder?.bound && holder.expires > now ? formatMac(holder.mac) : undefined)
      if (address === this.gateway || (owner !== undefined && owner !== key)) throw taken(formatAddress(checked.address, 0, 4))
    }
    if ([...this.reservations].some(([other, { name }]) => other !== key && name !== null && name === checked.name)) {
      throw taken(`the name ${checked.name}`)
    }
    this.unreserve(reservation.mac)
    this.addReservation(checked)
  }

  unreserve(mac: string): void {
    const reservation = this.reservations.get(mac.toLowerCase())
    if (reservation === undefined) return
    this.reservations.delete(mac.toLowerCase())
    if (reservation.address !== null) this.reservedAddresses.delete(getU32(reservation.address, 0))
  }

  /** The address to offer to a card, or undefined: the pool is used up. It is kept for it for a minute. */
  offer(mac: Uint8Array, wanted: number | undefined, name: string | null, now: number): Lease | undefined {
    const address = this.choose(mac, wanted, now)
    const before = this.byMac.get(formatMac(mac))
    if (address === undefined) return undefined
    if (before?.address === address && before.bound && before.expires > now) return before
    return this.put({ mac, address, name: name ?? before?.name ?? null, expires: now + OFFER_TIME, bound: false })
  }

  /** Gives an address to a card; undefined: it cannot have that one. */
  bind(mac: Uint8Array, address: number, name: string | null, now: number): Lease | undefined {
    if (!this.mayHave(mac, address, now)) return undefined
    const before = this.byMac.get(formatMac(mac))
    return this.put({
      mac, address, name: name ?? before?.name ?? null, expires: now + this.settings.leaseSeconds * SECOND, bound: true,
    })
  }

  /** The card gives its address back. It is remembered, for the next time. */
  release(mac: Uint8Array, address: number, now: number): void {
    const lease = this.byMac.get(formatMac(mac))
    if (lease?.address === address) this.put({ ...lease, expires: now, bound: false })
  }

  /** The card has found its address in use by somebody else. */
  decline(mac: Uint8Array, address: number, now: number): void {
    const lease = this.byMac.get(formatMac(mac))
    const key = formatMac(mac)
    const before = [...this.declined.values()].filter(each => each.mac === key && each.until > now)
    if (lease?.address !== address || before.length >= DECLINED_OF_ONE) return
    this.remove(lease)
    if (this.declined.size >= DECLINED_LIMIT) this.declined.delete(this.declined.keys().next().value!)
    this.declined.set(address, { until: now + DECLINED_TIME, mac: key })
  }

  /** The name that the gateway gives to a card, if it has one for it. */
  reservedName(mac: Uint8Array): string | null {
    return this.reservations.get(formatMac(mac))?.name ?? null
  }

  ofMac(mac: Uint8Array): Lease | undefined { return this.byMac.get(formatMac(mac)) }

  ofAddress(address: number): Lease | undefined { return this.byAddress.get(address) }

  /** Whose name this is: a reservation's first, then the card's that took it up first. In lower case. */
  findName(name: string, now: number): { mac: Uint8Array, address: number | null } | undefined {
    for (const reservation of this.reservations.values()) {
      if (reservation.name !== name) continue
      const lease = this.ofMac(reservation.mac)
      return { mac: reservation.mac, address: lease?.address ?? (reservation.address === null ? null : getU32(reservation.address, 0)) }
    }
    const lease = [...this.byMac.values()].find(each => each.name === name && each.bound && each.expires > now)
    return lease === undefined ? undefined : { mac: lease.mac, address: lease.address }
  }

  list(now: number): LeaseDescription[] {
    return [...this.byMac.values()].map(({ mac, address, name, expires, bound }) => ({
      mac: formatMac(mac), address: formatAddress(addressOf(address), 0, 4), name,
      secondsLeft: bound ? Math.max(0, Math.ceil((expires - now) / SECOND)) : 0,
    }))
  }

  save(now: number): PlainData { return this.saved([...this.byMac.values()], now) }

  /** As `save`, of one card. */
  saveOf(mac: string, now: number): PlainData {
    const lease = this.byMac.get(mac.toLowerCase())
    return this.saved(lease === undefined ? [] : [lease], now)
  }

  /** Gives a card back what `saveOf` gave of it. What is another's by now stays so: its guest will be told when it asks. */
  resume(reader: StateReader, mac: string, now: number): void { this.read(reader, now, () => undefined, mac.toLowerCase()) }

  private saved(leases: readonly Lease[], now: number): PlainData {
    return leases.map(({ mac, address, name, expires, bound }) => ({
      mac: mac.slice(), address, name: name ?? '', left: Math.max(0, expires - now), bound,
    }))
  }

  restore(reader: StateReader, now: number): void {
    this.read(reader, now, each => { throw each.invalid('address', 'is not in the pool, or is given twice') })
  }

  /** Of one card, if it is named. */
  private read(reader: StateReader, now: number, taken: (each: StateReader) => void, only?: string): void {
    for (const each of reader.childrenAtMost('leases', 0x10000)) {
      const address = each.u32('address')
      const mac = each.bytes('mac', 6)
      const name = each.text('name', 63)
      if (name !== '' && !isHostName(name)) throw each.invalid('name', 'is no host name')
      const lease = { mac, address, name: name === '' ? null : name, expires: now + each.time('left'), bound: each.boolean('bound') }
      if (only !== undefined && formatMac(mac) !== only) continue
      if (this.mayHave(mac, address, now)) this.put(lease)
      else taken(each)
    }
  }

  private addReservation(reservation: CheckedReservation): void {
    const key = formatMac(reservation.mac)
    this.reservations.set(key, reservation)
    if (reservation.address !== null) this.reservedAddresses.set(getU32(reservation.address, 0), key)
  }

  private choose(mac: Uint8Array, wanted: number | undefined, now: number): number | undefined {
    const reserved = this.reservations.get(formatMac(mac))?.address
    if (reserved) return getU32(reserved, 0)
    const before = this.byMac.get(formatMac(mac))?.address
    if (before !== undefined && this.mayHave(mac, before, now)) return before
    if (wanted !== undefined && this.mayHave(mac, wanted, now)) return wanted
    return this.chooseFree(mac, now)
  }

  /** First what was never given away, from a place that follows from the MAC address; then what expired longest ago. */
  private chooseFree(mac: Uint8Array, now: number): number | undefined {
    const { poolFirst, poolLast } = this.settings
    const size = poolLast - poolFirst + 1
    const first = mac.reduce((hash, byte) => Math.imul(hash ^ byte, 0x01000193) >>> 0, 0x811c9dc5) % size
    let oldest: Lease | undefined
    for (let step = 0; step < size; step++) {
      const address = poolFirst + (first + step) % size
      if (!this.mayHave(mac, address, now)) continue
      const lease = this.byAddress.get(address)
      if (lease === undefined) return address
      if (oldest === undefined || lease.expires < oldest.expires) oldest = lease
    }
    return oldest?.address
  }

  private mayHave(mac: Uint8Array, address: number, now: number): boolean {
    const key = formatMac(mac)
    const owner = this.reservedAddresses.get(address)
    if (owner !== undefined) return owner === key
    const reserved = this.reservations.get(key)?.address
    if (reserved && getU32(reserved, 0) !== address) return false
    const { poolFirst, poolLast } = this.settings
    if (address < poolFirst || address > poolLast || address === this.gateway) return false
    if ((this.declined.get(address)?.until ?? 0) > now) return false
    const lease = this.byAddress.get(address)
    return lease === undefined || lease.expires <= now || formatMac(lease.mac) === key
  }

  private put(lease: Lease): Lease {
    const before = this.byMac.get(formatMac(lease.mac))
    if (before !== undefined) this.remove(before)
    const other = this.byAddress.get(lease.address)
    if (other !== undefined) this.remove(other)
    this.byMac.set(formatMac(lease.mac), lease)
    this.byAddress.set(lease.address, lease)
    return lease
  }

  private remove(lease: Lease): void {
    this.byMac.delete(formatMac(lease.mac))
    this.byAddress.delete(lease.address)
  }
}
