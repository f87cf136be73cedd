import type { InterruptController, InterruptLine } from '../../machine/interrupts.ts'
import type { PlainData, Stateful } from '../../machine/lifecycle.ts'
import type { PortDevice } from '../../machine/io.ts'
import { StateReader } from '../../machine/state-reader.ts'
import { ByteDevice } from '../bus/byte-device.ts'
import { Pic8259 } from './pic-8259.ts'
import type { Pic8259State } from './pic-8259.ts'

/**
 * The two 8259A of a PC: IRQ 0 to 7 on the master, IRQ 8 to 15 on the slave, whose INT is the master's IR2. Source: Intel 8259A
 * data sheet, "Cascading the 8259A"; the edge/level control registers: Intel ICH9 data sheet, §13.4.
 *
 *   master, slave (2 ports each): see pic-8259.ts
 *   edgeLevel (2 ports)           0  ELCR1: IRQ 3 to 7    1  ELCR2: IRQ 9 to 12, 14, 15    (1 = level-triggered)
 *
 * Left out on purpose: see pic-8259.ts.
 */
export type PicPairState = { readonly master: Pic8259State, readonly slave: Pic8259State }

const CASCADE = 2
const ELCR_WRITABLE = [0xf8, 0xde] as const

export class PicPair implements InterruptController, Stateful<PicPairState> {
  readonly schema = 'pic-8259-pair'
  readonly version = 1
  /** Ports 0x20, 0xa0 and 0x4d0 of a PC. */
  readonly master: PortDevice
  readonly slave: PortDevice
  readonly edgeLevel: PortDevice
  private readonly output: InterruptLine
  private readonly masterChip: Pic8259
  private readonly slaveChip: Pic8259

  /** `output` is INTR: the processor's, or the local APIC's LINT0. */
  constructor(output: InterruptLine) {
    this.output = output
    this.masterChip = new Pic8259(1 << CASCADE, () => this.output.setLevel(this.masterChip.output))
    this.slaveChip = new Pic8259(0, () => this.masterChip.setInput(CASCADE, this.slaveChip.output))
    this.master = new PicPorts(this.masterChip)
    this.slave = new PicPorts(this.slaveChip)
    this.edgeLevel = new EdgeLevelPorts([this.masterChip, this.slaveChip])
  }

  /** The input wire of an IRQ, 0 to 15 except 2. */
  irq(number: number): InterruptLine {
    const chip = number < 8 ? this.masterChip : this.slaveChip
    return { setLevel: (asserted) => chip.setInput(number & 7, asserted) }
  }

  hasPending(): boolean { return this.masterChip.output }

  /** -1 only while the pair is not initialized; a request that went away gives the vector of IRQ 7 or 15. */
  acknowledge(): number {
    if (!this.masterChip.ready) return -1
    const input = this.masterChip.acknowledge()
    if (input !== CASCADE) return this.masterChip.vector(input)
    const vector = this.slaveChip.vector(this.slaveChip.acknowledge())
    // INT falls during the acknowledgement, so that another request of the slave is an edge to the master.
    this.masterChip.setInput(CASCADE, false)
    this.masterChip.setInput(CASCADE, this.slaveChip.output)
    return vector
  }

  reset(): void {
    this.slaveChip.reset()
    this.masterChip.reset()
  }

  save(): PicPairState { return { master: this.masterChip.save(), slave: this.slaveChip.save() } }

  restore(saved: PlainData): void {
    const state = new StateReader(this.schema, saved)
    // The master last: the slave's INT drives its input.
    this.slaveChip.restore(state.child('slave'))
    this.masterChip.restore(state.child('master'))
    this.masterChip.setInput(CASCADE, this.slaveChip.output)
  }
}

class PicPorts extends ByteDevice {
  private readonly chip: Pic8259

  constructor(chip: Pic8259) {
    super()
    this.chip = chip
  }

  readByte(offset: number): number { return offset < 2 ? this.chip.read(offset) : 0 }
  writeByte(offset: number, value: number): void { if (offset < 2) this.chip.write(offset, value) }
}

class EdgeLevelPorts extends ByteDevice {
  private readonly chips: readonly Pic8259[]

  constructor(chips: readonly Pic8259[]) {
    super()
    this.chips = chips
  }

  readByte(offset: number): number { return offset < 2 ? this.chips[offset].levelTriggeredInputs : 0 }
  writeByte(offset: number, value: number): void {
    if (offset < 2) this.chips[offset].levelTriggeredInputs = value & ELCR_WRITABLE[offset]
  }
}
