import { gpa } from '../../base/addresses.ts'
import type { Clock, Timer } from '../../machine/clock.ts'
import type { CoprocessorPins } from '../../machine/interrupts.ts'
import { Block, Segment, Slot } from '../state/layout.ts'
import type { SegmentIndex } from '../state/layout.ts'
import { Flag, writeFlags } from '../state/flags.ts'
import { SYSTEM_HELPERS } from '../system/helpers.ts'
import type { SystemHelperName } from '../system/helpers.ts'
import type { HelperOutcome } from '../system/outcome.ts'
import { Processor } from '../system/processor.ts'
import { followState, resetProcessor } from '../system/reset.ts'
import type { LinearMemory } from '../mmu/linear-memory.ts'
import type { Mmu } from '../mmu/mmu.ts'
import { StateRig } from './rig.ts'

/** A clock that stands where a test puts it. */
export class TestClock implements Clock {
  time = 0
  now(): number { return this.time }
  timer(): Timer { throw new Error('processor tests arm no timers') }
}

export class TestInterrupts {
  readonly waiting: number[] = []
  hasPending(): boolean { return this.waiting.length > 0 }
  acknowledge(): number { return this.waiting.shift() ?? -1 }
}

/** A segment descriptor; `flags` are G, D/B, L and AVL (bits 7 to 4 of byte 6), as in 0xc for a flat 32-bit segment. */
export function descriptor(access: number, limit: number, base = 0, flags = 0): bigint {
  const b = BigInt(base)
  return BigInt(limit & 0xffff) | ((b & 0xffffffn) << 16n) | (BigInt(access) << 40n) |
    (BigInt((limit >>> 16) & 15) << 48n) | (BigInt(flags) << 52n) | ((b >> 24n) << 56n)
}

/** A gate of 8 bytes. */
export function gate(type: number, dpl: number, selector: number, offset: number, parameters = 0): bigint {
  return BigInt(offset & 0xffff) | (BigInt(selector) << 16n) | (BigInt(parameters) << 32n) |
    (BigInt(0x80 | (dpl << 5) | type) << 40n) | (BigInt(offset >>> 16) << 48n)
}

/** Selectors of the table that `protect` builds. */
export const Gdt = {
  CODE0: 0x08, DATA0: 0x10, CODE3: 0x1b, DATA3: 0x23, TSS: 0x28, CONFORMING: 0x30, CODE16: 0x38, DATA16: 0x40, CODE64: 0x48,
  CODE64_3: 0x53, LDT: 0x58, FREE: 0x60,
} as const
export const GDT_BASE = 0x1000
export const IDT_BASE = 0x2000
export const TSS_BASE = 0x3000
export const STACK0 = 0x8000
export const STACK3 = 0x9000

/** FERR# as it is driven, and IGNNE# as a test sets it. */
export class TestCoprocessor implements CoprocessorPins {
  error = false
  ignoresError = false
  setError(asserted: boolean): void { this.error = asserted }
}

/** A processor with 4 MiB of memory, paging off, after reset. */
export class ProcessorRig extends StateRig {
  readonly clock = new TestClock()
  readonly interrupts = new TestInterrupts()
  readonly ports: string[] = []
  readonly apicMsrs = new Map<number, bigint>([[0x1b, 0xfee00900n]])
  readonly apic = {
    cr8: 0,
    readMsr: (index: number): bigint | null => this.apicMsrs.get(index) ?? null,
    writeMsr: (index: number, value: bigint): boolean => this.apicMsrs.has(index) && (this.apicMsrs.set(index, value), true),
    tscChanged: (): void => { this.tscChanges++ },
  }
  tscChanges = 0
  readonly coprocessor = new TestCoprocessor()
  readonly cpu: Processor

  constructor(apicId = 0) {
    super()
    this.cpu = new Processor({
      state: this.state, frames: this.frames, memory: this.memory, memoryBus: this.bus, apicId, apic: this.apic, coprocessor: this.coprocessor,
      ports: {
        read: (port, size) => { this.ports.push(`in ${port.toString(16)} ${size}`); return 0x5a },
        write: (port, size, value) => { this.ports.push(`out ${port.toString(16)} ${size} ${value.toString(16)}`) },
      },
      interrupts: this.interrupts, clock: this.clock, startTime: 1_700_000_000_123, random: () => 0x12345678, processorCount: 1,
    })
    resetProcessor(this.cpu)
  }

  get mmu(): Mmu { return this.cpu.mmu }
  get linear(): LinearMemory { return this.cpu.memory }

  /** Writes an entry of the GDT; `selector` may have an RPL. */
  setGdt(selector: number, value: bigint): void { this.memory.writeU64(gpa(GDT_BASE + (selector & ~7)), value) }
  setIdt(vector: number, value: bigint): void { this.memory.writeU64(gpa(IDT_BASE + vector * 8), value) }
  setLongIdt(vector: number, type: number, dpl: number, selector: number, offset: bigint, stack = 0): void {
    this.memory.writeU64(gpa(IDT_BASE + vector * 16), gate(type, dpl, selector, Number(offset & 0xffffffffn), stack))
    this.memory.writeU64(gpa(IDT_BASE + vector * 16 + 8), offset >> 32n)
  }

  /** Flat 32-bit protected mode at a privilege level, with a TSS whose level 0 stack is STACK0. */
  protect(cpl: 0 | 3 = 0): this {
    const { state } = this
    this.fillGdt()
    for (const [table, base, limit] of [[Block.GDTR, GDT_BASE, 0xff], [Block.IDTR, IDT_BASE, 0x7ff]]) {
      state.setBlockU64(table, BigInt(base))
      state.setBlockU32(table + 8, limit)
    }
    state.setBlockU64(Block.CR0, 0x11n)
    this.load(Segment.TR, Gdt.TSS, { base: TSS_BASE, limit: 0x206b, attributes: 0x8b })
    this.enter(cpl)
    return this
  }

  /** Segment registers and stack of a level. */
  enter(cpl: 0 | 3): void {
    const dpl = cpl << 5
    this.load(Segment.CS, cpl === 0 ? Gdt.CODE0 : Gdt.CODE3, { attributes: 0xc09b | dpl })
    for (const index of [Segment.SS, Segment.DS, Segment.ES, Segment.FS, Segment.GS]) {
      this.load(index, cpl === 0 ? Gdt.DATA0 : Gdt.DATA3, { attributes: 0xc093 | dpl })
    }
    this.state.setBlockU32(Block.CPL, cpl)
    this.state.rsp = BigInt(cpl === 0 ? STACK0 : STACK3)
    followState(this.cpu)
  }

  /** 64-bit mode with the first 4 MiB mapped one to one, for every level. */
  enterLong(cpl: 0 | 3 = 0): this {
    this.protect(cpl)
    const { state } = this
    this.memory.writeU64(gpa(0x10000), 0x11007n)
    this.memory.writeU64(gpa(0x11000), 0x12007n)
    this.memory.writeU64(gpa(0x12000), 0x87n)
    this.memory.writeU64(gpa(0x12008), 0x200087n)
    state.setBlockU64(Block.CR3, 0x10000n)
    state.setBlockU64(Block.CR4, 0x20n)
    state.setBlockU64(Block.CR0, 0x80000011n)
    state.setBlockU64(Block.EFER, 0xd01n)
    state.setBlockU32(Block.IDTR + 8, 0xfff)
    this.load(Segment.CS, cpl === 0 ? Gdt.CODE64 : Gdt.CODE64_3, { attributes: 0xa09b | (cpl << 5) })
    this.memory.writeU64(gpa(TSS_BASE + 4), BigInt(STACK0))
    followState(this.cpu)
    return this
  }

  load(index: SegmentIndex, selector: number, to: { base?: number, limit?: number, attributes: number }): void {
    this.state.setSegmentSelector(index, selector)
    this.state.setSegmentBase(index, BigInt(to.base ?? 0))
    this.state.setSegmentLimit(index, to.limit ?? 0xffffffff)
    this.state.setSegmentAttributes(index, to.attributes)
  }

  setFlags(value: number): void {
    writeFlags(this.state, value | 2)
    this.cpu.mmu.selectContext()
  }

  /** Virtual-8086 mode with paragraph selectors as given. */
  enterVirtual(iopl: number, cs = 0x100, ss = 0x200): void {
    this.protect(3)
    this.setFlags(Flag.VM | Flag.IF | (iopl << 12))
    for (const index of [Segment.ES, Segment.CS, Segment.SS, Segment.DS, Segment.FS, Segment.GS]) {
      const selector = index === Segment.CS ? cs : index === Segment.SS ? ss : 0x300 + index
      this.load(index, selector, { base: selector << 4, limit: 0xffff, attributes: 0xf3 })
    }
    this.state.rsp = 0x100n
  }

  private fillGdt(): void {
    this.setGdt(Gdt.CODE0, descriptor(0x9a, 0xfffff, 0, 0xc))
    this.setGdt(Gdt.DATA0, descriptor(0x92, 0xfffff, 0, 0xc))
    this.setGdt(Gdt.CODE3, descriptor(0xfa, 0xfffff, 0, 0xc))
    this.setGdt(Gdt.DATA3, descriptor(0xf2, 0xfffff, 0, 0xc))
    this.setGdt(Gdt.TSS, descriptor(0x8b, 0x206b, TSS_BASE))
    this.setGdt(Gdt.CONFORMING, descriptor(0x9e, 0xfffff, 0, 0xc))
    this.setGdt(Gdt.CODE16, descriptor(0x9a, 0xffff))
    this.setGdt(Gdt.DATA16, descriptor(0x92, 0xffff))
    this.setGdt(Gdt.CODE64, descriptor(0x9a, 0xfffff, 0, 0xa))
    this.setGdt(Gdt.CODE64_3, descriptor(0xfa, 0xfffff, 0, 0xa))
    this.setGdt(Gdt.LDT, descriptor(0x82, 0x1f, 0x4000))
    this.memory.writeU32(gpa(TSS_BASE + 4), STACK0)
    this.memory.writeU32(gpa(TSS_BASE + 8), Gdt.DATA0)
    this.memory.writeU16(gpa(TSS_BASE + 102), 0x68)
  }

  /** Calls a helper as the engine does. */
  call(name: SystemHelperName, ...args: (number | bigint)[]): HelperOutcome {
    args.forEach((value, n) => this.state.setBlockU64(Block.ARGUMENTS + 16 * n, BigInt.asUintN(64, BigInt(value))))
    return SYSTEM_HELPERS[name](this.cpu)
  }

  /** The recorded exception. */
  get fault(): { vector: number, code: number } {
    return { vector: this.state.slotU32(Slot.EXIT_VECTOR), code: this.state.slotU32(Slot.EXIT_ERROR_CODE) }
  }

  /** Values on the stack, from its top. */
  stack(bits: 16 | 32 | 64, count: number, linear = this.state.rsp): number[] {
    const { supervisorContext } = this.mmu
    return Array.from({ length: count }, (_, n) => Number(this.linear.read(linear + BigInt(n * bits / 8), bits, supervisorContext)))
  }

  selector(index: SegmentIndex): number { return this.state.segmentSelector(index) }
}
