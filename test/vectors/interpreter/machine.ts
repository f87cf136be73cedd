/**
 * A processor in the surroundings that environment.ts describes, running programs at CPL 3: page tables, descriptor tables, and gates
 * for the exceptions that instructions raise on purpose.
 */
import { gpa } from '../../../src/base/addresses.ts'
import { FrameMap } from '../../../src/machine/frame-map.ts'
import { MappedMemory } from '../../../src/machine/mapped-memory.ts'
import { Pool } from '../../../src/machine/pool.ts'
import { Block, BLOCK_SIZE, Segment, Slot, SLOT_SIZE } from '../../../src/cpu/state/layout.ts'
import type { SegmentIndex } from '../../../src/cpu/state/layout.ts'
import { VcpuState } from '../../../src/cpu/state/vcpu-state.ts'
import { Processor } from '../../../src/cpu/system/processor.ts'
import { followState, resetProcessor } from '../../../src/cpu/system/reset.ts'
import { CODE, CODE_SIZE, DATA, DATA_SIZE, WRITABLE_SIZE, gdt, ldt } from '../environment.ts'

const PAGE = 4096
/** Guest-physical places of the page tables, the program's pages and the kernel's. */
export const TABLES = { root: 0x1000, low: 0x2000, lowDirectory: 0x3000, code: 0x4000, data: 0x5000, high: 0x6000, highDirectory: 0x7000, kernel: 0x8000 }
/** Guest-physical page of the program's code. */
export const CODE_PAGE = 0x10
const DATA_PAGE = 0x20
const KERNEL_PAGE = 0x30

/** The kernel's pages, where no vector ever looks: the upper half of the address space. */
const KERNEL = 0xffff8000_00000000n
const KernelPage = { GDT: 0, LDT: 1, IDT: 2, TSS: 3, STACK: 4, COUNT: 5 } as const
const kernelAddress = (page: number): bigint => KERNEL + BigInt(page * PAGE)
const KERNEL_CODE = 0x10
const STACK_TOP = kernelAddress(KernelPage.STACK) + BigInt(PAGE)
/** The handler of vector n is here, 16 n bytes on. It never runs. */
const HANDLERS = KERNEL + 0x100000n

const PRESENT = 1n, WRITABLE = 2n, USER = 4n, NO_EXECUTE = 1n << 63n
const TRAP_GATE_DPL3 = 0xefn
const TSS_LIMIT = 0x67

const Cr0 = { PE: 1, MP: 2, ET: 0x10, NE: 0x20, WP: 0x10000, AM: 0x40000, PG: 0x80000000 }
const Cr4 = { PAE: 0x20, OSFXSR: 0x200, OSXMMEXCPT: 0x400, UMIP: 0x800, FSGSBASE: 0x10000, OSXSAVE: 0x40000, SMEP: 0x100000, SMAP: 0x200000 }
const EFER_SCE_LME_LMA_NXE = 0xd01
const sum = (bits: Record<string, number>): number => Object.values(bits).reduce((total, bit) => total + bit, 0)

const POOL_SIZE = 64 << 20
const MEMORY_PAGES = 0x40

const noDevice = (): never => { throw new Error('a vector reached a device') }

export class VectorMachine {
  readonly pool = Pool.create(POOL_SIZE)
  readonly frames: FrameMap
  readonly memory: MappedMemory
  readonly state: VcpuState
  readonly cpu: Processor

  constructor() {
    this.frames = FrameMap.create(this.pool, { lowPages: MEMORY_PAGES, highPages: 0 })
    this.memory = new MappedMemory(this.frames)
    const block = this.pool.allocateRun(Math.ceil(BLOCK_SIZE / PAGE))
    this.state = new VcpuState(this.pool.buffer, this.pool.allocateSlot(SLOT_SIZE) * SLOT_SIZE, block)
    this.cpu = new Processor({
      state: this.state, frames: this.frames, memory: this.memory, memoryBus: { read: noDevice, write: noDevice },
      ports: { read: noDevice, write: noDevice }, interrupts: { hasPending: () => false, acknowledge: () => -1 },
      coprocessor: { error: false, ignoresError: false, setError: () => undefined },
      apic: { cr8: 0, readMsr: () => null, writeMsr: () => false, tscChanged: () => {} }, apicId: 0,
      clock: { now: () => 0, timer: noDevice }, startTime: 0, random: () => 0, processorCount: 1,
    })
    resetProcessor(this.cpu)
    this.mapPages()
    this.fillKernelPages()
    this.setControls()
  }

  /** Whether an exception was delivered through its gate: the handler would run next. */
  get inHandler(): boolean { return this.state.cpl === 0 }

  /** The vector whose handler would run, and the frame that it would find: RIP, CS, RFLAGS, RSP, SS. */
  handlerFrame(): { vector: number; frame: bigint[] } {
    const { state, memory } = this
    const at = (KERNEL_PAGE + KernelPage.STACK) * PAGE + Number(state.rsp - kernelAddress(KernelPage.STACK))
    return { vector: Number((state.rip - HANDLERS) >> 4n), frame: [0, 1, 2, 3, 4].map((n) => memory.readU64(gpa(at + n * 8))) }
  }

  /** Pool addresses of the program's code and data pages. */
  codeFrames(): number[] { return this.framesOf(CODE_PAGE, CODE_SIZE) }
  dataFrames(): number[] { return this.framesOf(DATA_PAGE, DATA_SIZE) }

  private framesOf(first: number, size: number): number[] {
    return Array.from({ length: size / PAGE }, (_, n) => this.frames.writableFrame(first + n))
  }

  private setEntry(table: number, linear: bigint | number, shift: number, entry: bigint): void {
    this.memory.writeU64(gpa(table + Number(BigInt(linear) >> BigInt(shift) & 0x1ffn) * 8), entry)
  }

  private mapPages(): void {
    const user = PRESENT | WRITABLE | USER
    this.setEntry(TABLES.root, CODE, 39, BigInt(TABLES.low) | user)
    this.setEntry(TABLES.low, CODE, 30, BigInt(TABLES.lowDirectory) | user)
    this.setEntry(TABLES.lowDirectory, CODE, 21, BigInt(TABLES.code) | user)
    this.setEntry(TABLES.lowDirectory, DATA, 21, BigInt(TABLES.data) | user)
    this.setEntry(TABLES.root, KERNEL, 39, BigInt(TABLES.high) | PRESENT | WRITABLE)
    this.setEntry(TABLES.high, KERNEL, 30, BigInt(TABLES.highDirectory) | PRESENT | WRITABLE)
    this.setEntry(TABLES.highDirectory, KERNEL, 21, BigInt(TABLES.kernel) | PRESENT | WRITABLE)
    this.mapRun(TABLES.code, CODE, CODE_PAGE, CODE_SIZE, PRESENT | USER)
    this.mapRun(TABLES.data, DATA, DATA_PAGE, WRITABLE_SIZE, user | NO_EXECUTE)
    this.mapRun(TABLES.data, DATA + WRITABLE_SIZE, DATA_PAGE + WRITABLE_SIZE / PAGE, DATA_SIZE - WRITABLE_SIZE, PRESENT | USER | NO_EXECUTE)
    this.mapRun(TABLES.kernel, KERNEL, KERNEL_PAGE, KernelPage.COUNT * PAGE, PRESENT | WRITABLE)
  }

  private mapRun(table: number, linear: bigint | number, page: number, size: number, rights: bigint): void {
    for (let n = 0; n < size / PAGE; n++) this.setEntry(table, BigInt(linear) + BigInt(n * PAGE), 12, BigInt((page + n) * PAGE) | rights)
  }

  private writeKernel(page: number, offset: number, value: bigint): void {
    this.memory.writeU64(gpa((KERNEL_PAGE + page) * PAGE + offset), value)
  }

  private fillKernelPages(): void {
    gdt.forEach((entry, n) => this.writeKernel(KernelPage.GDT, n * 8, entry))
    ldt.forEach((entry, n) => this.writeKernel(KernelPage.LDT, n * 8, entry))
    for (let vector = 0; vector < 32; vector++) this.writeGate(vector)
    this.writeKernel(KernelPage.TSS, 4, STACK_TOP)
    // The I/O permission bitmap begins beyond the limit.
    this.writeKernel(KernelPage.TSS, 96, BigInt(TSS_LIMIT + 1) << 48n)
  }

  private writeGate(vector: number): void {
    const offset = HANDLERS + BigInt(vector * 16)
    const low = offset & 0xffffn | BigInt(KERNEL_CODE) << 16n | TRAP_GATE_DPL3 << 40n | (offset >> 16n & 0xffffn) << 48n
    this.writeKernel(KernelPage.IDT, vector * 16, low)
    this.writeKernel(KernelPage.IDT, vector * 16 + 8, offset >> 32n)
  }

  private setControls(): void {
    const { state } = this
    state.setBlockU64(Block.CR0, BigInt(sum(Cr0)))
    state.setBlockU64(Block.CR3, BigInt(TABLES.root))
    state.setBlockU64(Block.CR4, BigInt(sum(Cr4)))
    state.setBlockU64(Block.EFER, BigInt(EFER_SCE_LME_LMA_NXE))
    state.setBlockU64(Block.XCR0, 7n)
    this.setTable(Block.GDTR, KernelPage.GDT, gdt.length * 8 - 1)
    this.setTable(Block.IDTR, KernelPage.IDT, 32 * 16 - 1)
    this.setSystemSegment(Segment.LDTR, KernelPage.LDT, ldt.length * 8 - 1, 0x82)
    this.setSystemSegment(Segment.TR, KernelPage.TSS, TSS_LIMIT, 0x8b)
    state.setBlockU32(Block.CPL, 3)
    state.setSlotU32(Slot.SYSTEM_FLAGS, 2)
    followState(this.cpu)
  }

  private setTable(register: number, page: number, limit: number): void {
    this.state.setBlockU64(register, kernelAddress(page))
    this.state.setBlockU32(register + 8, limit)
  }

  private setSystemSegment(index: SegmentIndex, page: number, limit: number, attributes: number): void {
    const { state } = this
    state.setSegmentSelector(index, 8)
    state.setSegmentBase(index, kernelAddress(page))
    state.setSegmentLimit(index, limit)
    state.setSegmentAttributes(index, attributes)
  }
}
