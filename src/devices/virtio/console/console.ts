import { TenonError } from '../../../base/errors.ts'
import type { BytePort, BytePortBackend } from '../../../machine/byte-port.ts'
import type { PortSize } from '../../../machine/io.ts'
import type { PlainData } from '../../../machine/lifecycle.ts'
import { StateReader } from '../../../machine/state-reader.ts'
import { DeviceId } from '../bits.ts'
import { ConfigBytes } from '../config-bytes.ts'
import { DescriptorChain } from '../descriptor-chain.ts'
import type { VirtioDevice, VirtioTransport } from '../device.ts'
import type { Virtqueue } from '../virtqueue.ts'
import { ConsolePort } from './console-port.ts'
import type { PortOwner } from './console-port.ts'
import { CONTROL_SIZE, ControlEvent, News, controlMessage } from './control.ts'

/**
 * Console device. Source: VIRTIO 1.2, §5.3.
 *
 *   configuration   0 cols (2), 2 rows (2), 4 max_nr_ports (4), 8 emerg_wr (4)
 *   queues          0 and 1: port 0 to and from the driver; 2 and 3: control to and from it; 2 n + 2 and 2 n + 3: port n
 *
 * It is one of two things. With `console`, it is a console and nothing else: port 0, whose size is in the configuration space. With
 * `ports`, it has named ports (MULTIPORT), for programs such as a guest agent. A machine that wants both has two devices: Linux before
 * 6.15 takes columns for rows where a console with several ports is resized by a control message.
 *
 * Left out on purpose: ports that come and go.
 */
export const ConsoleFeature = { SIZE: 0, MULTIPORT: 1, EMERG_WRITE: 2 } as const

export interface NamedPort {
  /** What the guest's /dev/virtio-ports calls it: printable ASCII. */
  readonly name: string
  readonly backend: BytePortBackend
}

export type ConsoleOptions = { readonly console: BytePortBackend } | { readonly ports: readonly NamedPort[] }

const QUEUE_SIZE = 64
const MOST_PORTS = 31
const LONGEST_NAME = 64
const PORTION = 4096
const EMERGENCY_WRITE = 8
const [CONTROL_RECEIVE, CONTROL_TRANSMIT] = [2, 3]

export class VirtioConsole implements VirtioDevice, PortOwner {
  readonly schema = 'virtio-console'
  readonly version = 1
  readonly deviceId = DeviceId.CONSOLE
  readonly classCode = 0x078000
  readonly features: readonly number[]
  readonly queueSizes: readonly number[]
  readonly transfers = false
  readonly bytes = new Uint8Array(PORTION)
  chain!: DescriptorChain
  private readonly multiport: boolean
  private readonly consolePorts: readonly ConsolePort[]
  private readonly config = new ConfigBytes(12)
  private transport!: VirtioTransport
  private columns = 0
  private rows = 0

  /** @throws TenonError CONSOLE_PORTS_INVALID. */
  constructor(options: ConsoleOptions) {
    this.multiport = 'ports' in options
    const ports = 'ports' in options ? options.ports : [{ name: '', backend: options.console }]
    checkPorts(ports, this.multiport)
    this.consolePorts = ports.map(({ name, backend }) => new ConsolePort(name, backend, this))
    this.features = this.multiport ? [ConsoleFeature.MULTIPORT] : [ConsoleFeature.SIZE, ConsoleFeature.EMERG_WRITE]
    this.queueSizes = Array.from({ length: this.multiport ? 2 * ports.length + 2 : 2 }, () => QUEUE_SIZE)
    this.config.u32(4, ports.length)
    if (!this.multiport) this.consolePorts[0].guestOpen = true
  }

  /** The host's sides of the ports. */
  get ports(): readonly BytePort[] { return this.consolePorts }

  connect(transport: VirtioTransport): void {
    this.transport = transport
    this.chain = new DescriptorChain(transport.memory)
    this.consolePorts.forEach((port, index) => {
      const first = index === 0 ? 0 : 2 * index + 2
      port.connect(transport.queues[first], transport.queues[first + 1])
    })
  }

  /** The console's window has this size now, each 0 to 65535; 0 is unknown. */
  resize(columns: number, rows: number): void {
    if (columns === this.columns && rows === this.rows) return
    this.setSize(columns, rows)
    this.transport.configChanged()
  }

  readConfig(offset: number, size: PortSize): number { return this.config.read(offset, size) }

  /** §5.3.5.1: a character from a driver that can do no more. */
  writeConfig(offset: number, _size: PortSize, value: number): void {
    if (offset === EMERGENCY_WRITE && !this.multiport) this.consolePorts[0].sendByte(value & 0xff)
  }

  notified(queue: Virtqueue): void {
    if (this.multiport && queue.index === CONTROL_RECEIVE) return this.announce()
    if (this.multiport && queue.index === CONTROL_TRANSMIT) return this.takeControl(queue)
    const port = this.consolePorts[queue.index < 2 ? 0 : (queue.index >> 1) - 1]
    if ((queue.index & 1) === 0) port.receiveReady()
    else port.transmitReady()
  }

  needsReset(): void { this.transport.needsReset() }

  /** Tells the driver what it does not know yet, as far as it has given buffers. */
  announce(): void {
    if (!this.multiport) return
    const queue = this.transport.queues[CONTROL_RECEIVE]
    for (const [id, port] of this.consolePorts.entries()) {
      while (port.news !== 0 && queue.take(this.chain)) {
        const news = port.news & -port.news
        port.news &= ~news
        queue.complete(this.chain.head, this.chain.write(0, controlMessage(id, news, port)))
      }
    }
    queue.signal()
  }

  reset(): void { for (const port of this.consolePorts) port.reset(!this.multiport) }

  save(): PlainData {
    return { columns: this.columns, rows: this.rows, ports: this.consolePorts.map((port) => port.save()) }
  }

  restore(saved: PlainData): void {
    const state = new StateReader(this.schema, saved)
    this.setSize(state.u16('columns'), state.u16('rows'))
    state.children('ports', this.consolePorts.length).forEach((each, index) => this.consolePorts[index].restore(each))
  }

  resume(): void { for (const port of this.consolePorts) port.resume() }

  private setSize(columns: number, rows: number): void {
    this.columns = columns
    this.rows = rows
    this.config.u16(0, columns)
    this.config.u16(2, rows)
  }

  private takeControl(queue: Virtqueue): void {
    while (queue.take(this.chain)) {
      const { chain } = this
      const [id, event, value] = [chain.readU32(0), chain.readU16(4), chain.readU16(6)]
      const whole = chain.readableLength >= CONTROL_SIZE
      queue.complete(chain.head, 0)
      if (whole) this.hear(id, event, value)
    }
    queue.signal()
  }

  private hear(id: number, event: number, value: number): void {
    if (event === ControlEvent.DEVICE_READY && value === 1) {
      for (const each of this.consolePorts) each.news |= News.ADD
      return this.announce()
    }
    if (id >= this.consolePorts.length) return
    const port = this.consolePorts[id]
    if (event === ControlEvent.PORT_READY && value === 1) port.tell(News.NAME | News.OPEN)
    else if (event === ControlEvent.PORT_OPEN) port.setGuestOpen(value === 1)
  }
}

function checkPorts(ports: readonly NamedPort[], named: boolean): void {
  const wrong = ports.find(({ name }) => named && !/^[ -~]+$/.test(name) || name.length > LONGEST_NAME)
  if (ports.length === 0 || ports.length > MOST_PORTS || wrong !== undefined) {
    throw new TenonError('CONSOLE_PORTS_INVALID', wrong !== undefined
      ? `a port cannot be called '${wrong.name}': use 1 to ${LONGEST_NAME} printable ASCII characters`
      : `a console device has 1 to ${MOST_PORTS} ports, not ${ports.length}`)
  }
}
