/**
 * A TAP of Linux: a network interface of the host whose cable ends in this process. Either one that an administrator has made for the user,
 * or a new one that is joined to a bridge of the host, which takes CAP_NET_ADMIN. It goes with the process. A macvtap that is there serves
 * as a TAP does: a device of its own that hears what is for its own MAC address, which the one guest behind it must have.
 *
 * Sources: the kernel's Documentation/networking/tuntap.rst, netdevice(7), <linux/if_tun.h>, <linux/sockios.h>. Left out: offloads
 * (IFF_VNET_HDR): frames are cut and summed here.
 */
import { readdirSync } from 'node:fs'
import type { TenonError } from '../../../base/errors.ts'
import { hostError } from '../../errors.ts'
import { loadLibc } from './libc.ts'
import type { Libc } from './libc.ts'

/** One of the two. */
export interface TapOrder {
  /** A bridge of the host, which a new TAP is joined to. */
  readonly bridge?: string
  /** A TAP or a macvtap that is there. */
  readonly tap?: string
}

const O_RDWR = 2
const O_NONBLOCK = 0o4000
const AF_INET = 2
const SOCK_DGRAM = 2
const EFD_NONBLOCK = 0o4000
const POLLIN = 1

const Request = {
  TUNSETIFF: 0x400454ca, SIOCGIFFLAGS: 0x8913, SIOCSIFFLAGS: 0x8914, SIOCGIFMTU: 0x8921, SIOCSIFMTU: 0x8922, SIOCGIFINDEX: 0x8933,
  SIOCBRADDIF: 0x89a2,
} as const
const IFF_TAP_WITHOUT_HEADER = 0x0002 | 0x1000
const IFF_UP = 1
const Errno = { EPERM: 1, ENOENT: 2, EINTR: 4, ENXIO: 6, EAGAIN: 11, EACCES: 13, EBUSY: 16, ENODEV: 19, EINVAL: 22 } as const

/** `struct ifreq`: a name, and a value of up to 24 bytes. */
const IFREQ_SIZE = 40
const IFREQ_VALUE = 16
const LONGEST_NAME = 15
/** What the kernel calls a new one: the next number that is free. */
const NAME_OF_NEW = 'tenon%d'
/** A thread that is ended waits for its calls: not for longer than this. */
const LONGEST_WAIT_MS = 1000

export class TapDevice {
  readonly name: string
  /** The largest packet, in bytes. */
  readonly mtu: number
  readonly #libc: Libc
  readonly #file: number
  /** Wakes whoever waits for a frame. */
  readonly #event: number
  #isClosed = false
  #isLost = false
  #waiting: Promise<unknown> = Promise.resolve()

  private constructor(libc: Libc, file: number, name: string, mtu: number) {
    this.#libc = libc
    this.#file = file
    this.name = name
    this.mtu = mtu
    this.#event = libc.eventfd(0, EFD_NONBLOCK)
  }

  /** Rejects with TenonError TAP_UNAVAILABLE; nothing is left then. */
  static async open({ bridge, tap }: TapOrder): Promise<TapDevice> {
    const libc = await loadLibc()
    for (const name of [bridge, tap]) if (name !== undefined) checkName(name)
    const file = openFile(libc, tap === undefined ? undefined : macvtapOf(tap))
    try {
      const name = attach(libc, file, tap)
      const mtu = withSocket(libc, socket => (bridge === undefined ? mtuOf(libc, socket, name) : join(libc, socket, name, bridge)))
      return new TapDevice(libc, file, name, mtu)
    } catch (error) {
      libc.close(file)
      throw error
    }
  }

  /** The interface is no more: somebody has deleted it. Known when it was read. */
  get isLost(): boolean { return this.#isLost }

  /** The length of a frame that was read, or 0: none is there. */
  read(into: Uint8Array): number {
    if (this.#isClosed) return 0
    const length = this.#libc.read(this.#file, into, into.length)
    if (length >= 0) return length
    const number = this.#libc.errno()
    this.#isLost ||= number !== Errno.EAGAIN && number !== Errno.EINTR
    return 0
  }

  /** False: the frame was not taken. */
  write(from: Uint8Array, length: number): boolean { return !this.#isClosed && this.#libc.write(this.#file, from, length) === length }

  /** Resolves when there is something to read, after a while in any case; to false when the TAP is closed, and when it is lost. */
  async readable(): Promise<boolean> {
    if (this.#isClosed || this.#isLost) return false
    const waiting = this.#libc.poll(Int32Array.of(this.#file, POLLIN, this.#event, POLLIN), LONGEST_WAIT_MS)
    this.#waiting = waiting
    await waiting
    return !this.#isClosed
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#libc.write(this.#event, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0), 8)
    await this.#waiting
    this.#libc.close(this.#file)
    this.#libc.close(this.#event)
  }
}

function checkName(name: string): void {
  if (name.length <= LONGEST_NAME && /^[^\s/:%]+$/.test(name)) return
  throw hostError('TAP_UNAVAILABLE', `${JSON.stringify(name)} is no name of a network interface: ip link shows those that there are`)
}

/** The device of a macvtap, /dev/tapN; undefined if the interface is none. */
function macvtapOf(name: string): string | undefined {
  try {
    return `/dev/${readdirSync(`/sys/class/net/${name}/macvtap`)[0]}`
  } catch {
    return undefined
  }
}

/** The device of a macvtap, or the one that makes TAPs. */
function openFile(libc: Libc, macvtap: string | undefined): number {
  const path = macvtap ?? '/dev/net/tun'
  const file = libc.open(path, O_RDWR | O_NONBLOCK)
  if (file >= 0) return file
  const number = libc.errno()
  if (number === Errno.EACCES || number === Errno.EPERM) {
    throw unavailable(`${path} may not be opened by you`, `have an administrator allow it: ${macvtap === undefined ? 'chmod 666' : 'chown YOU'} ${path}`)
  }
  if (number === Errno.ENOENT && macvtap !== undefined) throw unavailable(`the macvtap's device ${path} is not there`, 'in a container, give it that device')
  if (number === Errno.ENOENT || number === Errno.ENODEV || number === Errno.ENXIO) {
    throw unavailable('this kernel has no TAPs', 'load its module with modprobe tun; in a container, give it the device /dev/net/tun')
  }
  throw unavailable(`${path} cannot be opened (error ${number})`, 'see to it')
}

/** Makes a TAP, or takes the one of this name. Gives its name. */
function attach(libc: Libc, file: number, tap: string | undefined): string {
  const request = ifreq(tap ?? NAME_OF_NEW)
  new DataView(request.buffer).setUint16(IFREQ_VALUE, IFF_TAP_WITHOUT_HEADER, true)
  if (libc.ioctl(file, Request.TUNSETIFF, request) === 0) return nameIn(request)
  const number = libc.errno()
  if (number === Errno.EBUSY) throw unavailable(`the TAP ${tap} is in use by another process`, 'end that, or take another')
  if (number === Errno.EINVAL) throw unavailable(`the interface ${tap} is there, and is no TAP`, 'name one that ip tuntap has made')
  if (number !== Errno.EPERM) throw unavailable(`the TAP ${tap ?? ''} cannot be had (error ${number})`, 'see to it')
  if (tap !== undefined) throw unavailable(`the TAP ${tap} is not there, or not yours`, `have an administrator make it: ${howToMake(tap)}`)
  throw unavailable('a new TAP takes the right CAP_NET_ADMIN, which you do not have',
    `run as root, or have an administrator make one for you (${howToMake('tap0')}), and give the network that TAP instead of a bridge`)
}

function howToMake(tap: string): string { return `ip tuntap add ${tap} mode tap user YOU; ip link set ${tap} master br0 up` }

/** Joins a TAP to a bridge, with the bridge's MTU, which is the result. */
function join(libc: Libc, socket: number, name: string, bridge: string): number {
  const mtu = mtuOf(libc, socket, bridge)
  // Before it joins: a bridge takes the smallest MTU of its interfaces for its own.
  const fits = setValue(libc, socket, Request.SIOCSIFMTU, name, mtu) === 0
  const index = getValue(libc, socket, Request.SIOCGIFINDEX, name)
  if (setValue(libc, socket, Request.SIOCBRADDIF, bridge, index) !== 0) {
    throw unavailable(`the interface ${bridge} takes no other (error ${libc.errno()}): it is no bridge`, 'make one: ip link add br0 type bridge')
  }
  if (!fits) throw unavailable(`a TAP cannot have the MTU of ${bridge}, ${mtu}`, 'give the bridge another')
  if (setValue(libc, socket, Request.SIOCSIFFLAGS, name, getValue(libc, socket, Request.SIOCGIFFLAGS, name) & 0xffff | IFF_UP) !== 0) {
    throw unavailable(`the TAP ${name} does not come up (error ${libc.errno()})`, 'see to it')
  }
  return mtu
}

function mtuOf(libc: Libc, socket: number, name: string): number {
  const mtu = getValue(libc, socket, Request.SIOCGIFMTU, name)
  if (mtu >= 0) return mtu
  throw unavailable(`there is no bridge ${name}`, 'ip link shows which there are; one is made by ip link add br0 type bridge')
}

/** An interface's value, or -1. */
function getValue(libc: Libc, socket: number, request: number, name: string): number {
  const argument = ifreq(name)
  return libc.ioctl(socket, request, argument) < 0 ? -1 : new DataView(argument.buffer).getInt32(IFREQ_VALUE, true)
}

function setValue(libc: Libc, socket: number, request: number, name: string, value: number): number {
  const argument = ifreq(name)
  new DataView(argument.buffer).setInt32(IFREQ_VALUE, value, true)
  return libc.ioctl(socket, request, argument)
}

function withSocket<Result>(libc: Libc, work: (socket: number) => Result): Result {
  const socket = libc.socket(AF_INET, SOCK_DGRAM, 0)
  try {
    return work(socket)
  } finally {
    libc.close(socket)
  }
}

function ifreq(name: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(IFREQ_SIZE)
  bytes.set(new TextEncoder().encode(name))
  return bytes
}

function nameIn(request: Uint8Array): string { return new TextDecoder().decode(request.subarray(0, request.indexOf(0))) }

function unavailable(problem: string, remedy: string): TenonError {
  return hostError('TAP_UNAVAILABLE', `no bridge to the host's network: ${problem}; ${remedy}`)
}
