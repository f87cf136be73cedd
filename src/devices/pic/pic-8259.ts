import { StateReader } from '../../machine/state-reader.ts'

/**
 * One 8259A programmable interrupt controller. Source: Intel 8259A data sheet (231468-003).
 *
 *   write 0  A0 = 0: ICW1 (D4 = 1), OCW2 (D4 D3 = 00), OCW3 (D4 D3 = 01)      read 0  IRR or ISR; poll word after OCW3 with P
 *   write 1  A0 = 1: ICW2, ICW3, ICW4 in the initialization sequence; OCW1    read 1  IMR
 *
 * Left out on purpose: MCS-80/85 mode, buffered mode, and ICW1's LTIM bit (a PC chipset replaces it by the edge/level registers).
 */
const Icw1 = { IC4: 1, SNGL: 2, INIT: 16 } as const
const Icw4 = { AEOI: 2, SFNM: 16 } as const
const Ocw3 = { READ_ISR: 1, READ: 2, POLL: 4, SELECT: 8, SMM: 32, ESMM: 64 } as const

export type Pic8259State = {
  /** Levels of IR0 to IR7; edges latched; lines that are level-triggered. */
  readonly lines: number, readonly edges: number, readonly levelTriggered: number
  readonly IMR: number, readonly ISR: number
  readonly vectorBase: number, readonly ICW3: number
  readonly lowestPriority: number
  readonly initialized: boolean
  /** The ICW expected next (2, 3 or 4), 0 outside the initialization sequence. */
  readonly nextIcw: number
  readonly needsIcw3: boolean, readonly needsIcw4: boolean
  readonly automaticEoi: boolean, readonly rotateOnAutomaticEoi: boolean
  readonly specialFullyNested: boolean, readonly specialMask: boolean
  readonly readsIsr: boolean, readonly polling: boolean
}

export class Pic8259 {
  private readonly onChange: () => void
  /** IR inputs that lead to a slave (master only). */
  private readonly slaveInputs: number
  private lines = 0
  private edges = 0
  private levelTriggered = 0
  private imr = 0
  private isr = 0
  private vectorBase = 0
  private icw3 = 0
  private lowestPriority = 7
  private initialized = false
  private nextIcw = 0
  private needsIcw3 = false
  private needsIcw4 = false
  private automaticEoi = false
  private rotateOnAutomaticEoi = false
  private specialFullyNested = false
  private specialMask = false
  private readsIsr = false
  private polling = false

  /** `onChange` is called whenever INT may have changed. */
  constructor(slaveInputs: number, onChange: () => void) {
    this.slaveInputs = slaveInputs
    this.onChange = onChange
  }

  setInput(input: number, asserted: boolean): void {
    const bit = 1 << input
    if (((this.lines & bit) !== 0) === asserted) return
    if (asserted) {
      this.lines |= bit
      this.edges |= bit
    } else {
      // A request must stay until it is acknowledged; one that goes away earlier ends as a spurious IR7.
      this.lines &= ~bit
      this.edges &= ~bit
    }
    this.onChange()
  }

  get levelTriggeredInputs(): number { return this.levelTriggered }
  set levelTriggeredInputs(inputs: number) {
    this.levelTriggered = inputs
    this.onChange()
  }

  /** INT: a request waits that the mask and the interrupts in service let through. */
  get output(): boolean { return this.highestRequest() >= 0 }

  /** False until the initialization sequence has run, and while it runs. */
  get ready(): boolean { return this.initialized }

  /** INTA: the input served, from here on in service; -1 for a spurious interrupt (then the vector is IR7's). */
  acknowledge(): number {
    const input = this.highestRequest()
    if (input < 0) return -1
    const bit = 1 << input
    this.edges &= ~bit
    if (!this.automaticEoi) this.isr |= bit
    else if (this.rotateOnAutomaticEoi) this.lowestPriority = input
    this.onChange()
    return input
  }

  vector(input: number): number { return this.vectorBase | (input < 0 ? 7 : input) }

  read(offset: number): number {
    if (this.polling) return this.poll()
    if (offset !== 0) return this.imr
    return this.readsIsr ? this.isr : this.requests()
  }

  write(offset: number, value: number): void {
    if (offset !== 0) this.writeData(value)
    else if (value & Icw1.INIT) this.initialize(value)
    else if (value & Ocw3.SELECT) this.writeOcw3(value)
    else this.writeOcw2(value >> 5, value & 7)
    this.onChange()
  }

  reset(): void {
    this.imr = this.isr = this.edges = this.vectorBase = this.icw3 = this.nextIcw = this.levelTriggered = 0
    this.lowestPriority = 7
    this.initialized = this.needsIcw3 = this.needsIcw4 = this.polling = this.readsIsr = false
    this.automaticEoi = this.rotateOnAutomaticEoi = this.specialFullyNested = this.specialMask = false
    this.onChange()
  }

  save(): Pic8259State {
    return {
      lines: this.lines, edges: this.edges, levelTriggered: this.levelTriggered, IMR: this.imr, ISR: this.isr,
      vectorBase: this.vectorBase, ICW3: this.icw3, lowestPriority: this.lowestPriority,
      initialized: this.initialized, nextIcw: this.nextIcw, needsIcw3: this.needsIcw3, needsIcw4: this.needsIcw4,
      automaticEoi: this.automaticEoi, rotateOnAutomaticEoi: this.rotateOnAutomaticEoi,
      specialFullyNested: this.specialFullyNested, specialMask: this.specialMask,
      readsIsr: this.readsIsr, polling: this.polling,
    }
  }

  restore(state: StateReader): void {
    this.lines = state.u8('lines')
    this.edges = state.u8('edges')
    this.levelTriggered = state.u8('levelTriggered')
    this.imr = state.u8('IMR')
    this.isr = state.u8('ISR')
    this.vectorBase = state.u8('vectorBase') & 0xf8
    this.icw3 = state.u8('ICW3')
    this.lowestPriority = state.integer('lowestPriority', 0, 7)
    this.nextIcw = state.integer('nextIcw', 0, 4)
    this.restoreModes(state)
    this.onChange()
  }

  private restoreModes(state: StateReader): void {
    this.initialized = state.boolean('initialized')
    this.needsIcw3 = state.boolean('needsIcw3')
    this.needsIcw4 = state.boolean('needsIcw4')
    this.automaticEoi = state.boolean('automaticEoi')
    this.rotateOnAutomaticEoi = state.boolean('rotateOnAutomaticEoi')
    this.specialFullyNested = state.boolean('specialFullyNested')
    this.specialMask = state.boolean('specialMask')
    this.readsIsr = state.boolean('readsIsr')
    this.polling = state.boolean('polling')
  }

  /** IRR: a latched edge or a level, while its line is up. */
  private requests(): number { return this.lines & (this.edges | this.levelTriggered) }

  private highestRequest(): number {
    if (!this.initialized) return -1
    const requests = this.requests() & ~this.imr
    if (requests === 0) return -1
    const blocking = this.specialMask ? this.isr & ~this.imr : this.isr
    for (let rank = 1; rank <= 8; rank++) {
      const input = this.lowestPriority + rank & 7
      const bit = 1 << input
      const nests = this.specialFullyNested && (this.slaveInputs & bit) !== 0
      if (blocking & bit && !nests) return -1
      if (requests & bit) return input
      if (blocking & bit) return -1
    }
    return -1
  }

  /** Data sheet, "Initialization Command Word 1": what the sequence clears as it begins. */
  private initialize(icw1: number): void {
    this.edges = this.imr = this.isr = this.icw3 = 0
    this.lowestPriority = 7
    this.initialized = this.specialMask = this.readsIsr = this.polling = false
    this.automaticEoi = this.specialFullyNested = this.rotateOnAutomaticEoi = false
    this.needsIcw4 = (icw1 & Icw1.IC4) !== 0
    this.needsIcw3 = (icw1 & Icw1.SNGL) === 0
    this.nextIcw = 2
  }

  private writeData(value: number): void {
    switch (this.nextIcw) {
      case 2:
        this.vectorBase = value & 0xf8
        this.advance(this.needsIcw3 ? 3 : 4)
        break
      case 3:
        this.icw3 = value
        this.advance(4)
        break
      case 4:
        this.automaticEoi = (value & Icw4.AEOI) !== 0
        this.specialFullyNested = (value & Icw4.SFNM) !== 0
        this.advance(5)
        break
      default: this.imr = value
    }
  }

  private advance(next: number): void {
    this.nextIcw = next === 3 || next === 4 && this.needsIcw4 ? next : 0
    this.initialized = this.nextIcw === 0
  }

  /** `command` is R, SL and EOI: bits 7 to 5. */
  private writeOcw2(command: number, level: number): void {
    switch (command) {
      case 0: this.rotateOnAutomaticEoi = false; break
      case 4: this.rotateOnAutomaticEoi = true; break
      case 1: this.endOfInterrupt(this.highestInService(), false); break
      case 5: this.endOfInterrupt(this.highestInService(), true); break
      case 3: this.endOfInterrupt(level, false); break
      case 7: this.endOfInterrupt(level, true); break
      case 6: this.lowestPriority = level; break
    }
  }

  private endOfInterrupt(level: number, rotate: boolean): void {
    if (level < 0) return
    this.isr &= ~(1 << level)
    if (rotate) this.lowestPriority = level
  }

  /** In special mask mode a masked interrupt is not what a non-specific EOI ends. */
  private highestInService(): number {
    const candidates = this.specialMask ? this.isr & ~this.imr : this.isr
    for (let rank = 1; rank <= 8; rank++) {
      const input = this.lowestPriority + rank & 7
      if (candidates & 1 << input) return input
    }
    return -1
  }

  private writeOcw3(value: number): void {
    if (value & Ocw3.POLL) this.polling = true
    else if (value & Ocw3.READ) this.readsIsr = (value & Ocw3.READ_ISR) !== 0
    if (value & Ocw3.ESMM) this.specialMask = (value & Ocw3.SMM) !== 0
  }

  /** The poll command turns the next read into an acknowledgement. */
  private poll(): number {
    this.polling = false
    const input = this.acknowledge()
    return input < 0 ? 0 : 0x80 | input
  }
}
