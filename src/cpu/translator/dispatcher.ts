/**
 * Enters translated regions and goes from one to the next, in WebAssembly: the handler of ENTER records. A region says by which exit it
 * was left; the exit's entry (exits.ts) says what that means.
 */
import { DoorRecord, Pseudo, RECORD_SHIFT, Record } from '../interpreter/record.ts'
import { Block, Context, JUMP_CACHE_ENTRIES, Slot } from '../state/layout.ts'
import type { FunctionBody, ModuleBuilder } from '../wasm/assembler.ts'
import { ValueType, W } from '../wasm/opcodes.ts'
import { EXIT_KIND_MASK, EXIT_SIZE, ExitKind, FLAGS_DYNAMIC, RegionExit, RegionHeader, TARGETS_SEEN, TARGET_SHIFT } from './exits.ts'
import { PARAMETERS } from './parameters.ts'

const { I32, I64 } = ValueType

/** What an entry of a region takes from its COUNTDOWN beside the instructions executed. */
export const ENTRY_WEIGHT = 20 << RECORD_SHIFT

/** The most regions that can be in use. */
export const MAXIMUM_REGIONS = 16384

export interface DispatcherFunctions {
  /** (target low, high) -> record, or 0 with the reason recorded. */
  readonly lookup: number
  /** (door record): brings the region's header up to date. */
  readonly validateRegion: number
  /** (door record): the region was entered often. */
  readonly noteHotRegion: number
  /** (address of the exit's entry, header) -> record, or 0 with the reason recorded. */
  readonly resolveExit: number
}

/** Emits the function (cpu, door record, context) -> the record to go on from, or 0 to leave the run loop. */
export function emitDispatcher(module: ModuleBuilder, functions: DispatcherFunctions, table: number): FunctionBody {
  return new Dispatcher(module, functions, table).emit()
}

class Dispatcher {
  private readonly module: ModuleBuilder
  private readonly functions: DispatcherFunctions
  private readonly table: number
  private readonly f: FunctionBody
  private readonly cpu = 0
  private readonly record = 1
  private readonly context = 2
  private readonly header: number
  private readonly exit: number
  private readonly word: number
  private readonly target: number
  private readonly base: number
  private readonly rip: number
  private readonly shift: number
  private readonly before: number

  constructor(module: ModuleBuilder, functions: DispatcherFunctions, table: number) {
    this.module = module
    this.functions = functions
    this.table = table
    this.f = module.function([I32, I32, I32], [I32])
    const local32 = (): number => this.f.local(I32)
    this.header = local32()
    this.exit = local32()
    this.word = local32()
    this.target = local32()
    this.before = local32()
    this.base = this.f.local(I64)
    this.rip = this.f.local(I64)
    this.shift = this.f.local(I64)
  }

  emit(): FunctionBody {
    const { f } = this
    f.loop()
    const again = f.depth
    this.enter()
    f.get(this.exit).i32(0).op(W.i32_lt_s).if()
    this.settled()
    f.else()
    this.settleFlags()
    this.settleBudget()
    this.findTarget()
    f.end()
    this.count()
    f.get(this.target).memory(W.i32_load16_u, Record.HANDLER).i32(Pseudo.ENTER).op(W.i32_eq)
    f.get(this.cpu).memory(W.i32_load, Slot.BUDGET).i32(0).op(W.i32_gt_s).op(W.i32_and).if()
    f.get(this.target).set(this.record).br(again).end()
    f.end()
    f.get(this.target)
    return f
  }

  private enter(): void {
    const { f } = this
    f.get(this.record).memory(W.i32_load, DoorRecord.HEADER).set(this.header)
    f.get(this.cpu).memory(W.i64_load, Slot.RIP_PAGE)
    f.get(this.record).memory(W.i64_load32_s, DoorRecord.DELTA).i64(12n).op(W.i64_shl).op(W.i64_sub).set(this.base)
    f.get(this.header).memory(W.i32_load, RegionHeader.GENERATION)
    f.get(this.header).memory(W.i32_load, RegionHeader.GENERATION_ADDRESS).memory(W.i32_load, 0).op(W.i32_ne)
    f.get(this.header).memory(W.i64_load, RegionHeader.BASE).get(this.base).op(W.i64_ne).op(W.i32_or)
    f.get(this.header).memory(W.i32_load, RegionHeader.USER)
    f.get(this.cpu).memory(W.i32_load, Slot.BLOCK).i32(Block.CONTEXTS).op(W.i32_add).get(this.context).op(W.i32_eq).op(W.i32_ne).op(W.i32_or)
    f.if().get(this.record).call(this.functions.validateRegion).end()
    f.get(this.header).memory(W.i32_load, RegionHeader.COUNTDOWN).i32(0).op(W.i32_lt_s)
    f.if().get(this.record).call(this.functions.noteHotRegion).end()
    f.get(this.cpu).get(this.context).get(this.base)
    f.get(this.record).memory(W.i32_load, DoorRecord.ENTRY)
    f.get(this.cpu).memory(W.i32_load, Slot.BUDGET).tee(this.before)
    f.get(this.header).memory(W.i32_load, RegionHeader.VALID)
    f.get(this.record).memory(W.i32_load, DoorRecord.FUNCTION)
    f.callIndirect(this.module.type(PARAMETERS, [I32]), this.table)
    // The number's highest bit falls out.
    f.tee(this.exit).i32(EXIT_SIZE).op(W.i32_mul).get(this.header).memory(W.i32_load, RegionHeader.EXITS).op(W.i32_add).set(this.word)
  }

  /** The region did all that there is to do, and says where it went. */
  private settled(): void {
    const { f } = this
    const place = this.exit
    f.get(this.cpu).memory(W.i64_load, Slot.RIP).tee(this.rip).op(W.i32_wrap_i64).tee(this.target)
    f.get(this.target).i32(TARGET_SHIFT).op(W.i32_shr_u).op(W.i32_xor).i32(TARGETS_SEEN - 1).op(W.i32_and).i32(3).op(W.i32_shl)
    f.get(this.header).op(W.i32_add).tee(place).get(this.word).memory(W.i32_store, RegionHeader.TARGETS)
    f.get(place).get(this.target).memory(W.i32_store, RegionHeader.TARGETS + 4)
    this.probe()
  }

  /** Flags whose producer was known are stored as they were; the slot has their operands sign-extended. */
  private settleFlags(): void {
    const { f } = this
    f.get(this.word).set(this.exit)
    f.get(this.exit).memory(W.i32_load, RegionExit.FLAGS * 4).tee(this.word).i32(FLAGS_DYNAMIC).op(W.i32_ne).if()
    f.get(this.cpu).get(this.word).memory(W.i32_store, Slot.FLAG_KIND)
    f.i64(64n).i64(8n).get(this.word).i32(3).op(W.i32_and).op(W.i64_extend_i32_u).op(W.i64_shl).op(W.i64_sub).set(this.shift)
    for (const operand of [Slot.FLAG_A, Slot.FLAG_B]) {
      f.get(this.cpu).get(this.cpu).memory(W.i64_load, operand).get(this.shift).op(W.i64_shl).get(this.shift).op(W.i64_shr_s)
      f.memory(W.i64_store, operand)
    }
    f.end()
  }

  private settleBudget(): void {
    const { f } = this
    f.get(this.exit).memory(W.i32_load, RegionExit.KIND * 4).set(this.word)
    f.get(this.cpu).get(this.cpu).memory(W.i32_load, Slot.BUDGET)
    f.get(this.word).i32(~EXIT_KIND_MASK).op(W.i32_and).op(W.i32_add).memory(W.i32_store, Slot.BUDGET)
    f.get(this.word).i32(EXIT_KIND_MASK).op(W.i32_and).set(this.word)
  }

  private count(): void {
    const { f } = this
    const block = this.word
    f.get(this.header).get(this.header).memory(W.i32_load, RegionHeader.COUNTDOWN)
    f.get(this.before).get(this.cpu).memory(W.i32_load, Slot.BUDGET).op(W.i32_sub).op(W.i32_sub)
    f.i32(ENTRY_WEIGHT).op(W.i32_sub).memory(W.i32_store, RegionHeader.COUNTDOWN)
    f.get(this.header).get(this.header).memory(W.i32_load, RegionHeader.ENTRIES).i32(1).op(W.i32_add).memory(W.i32_store, RegionHeader.ENTRIES)
    f.get(this.cpu).memory(W.i32_load, Slot.BLOCK).tee(block)
    f.get(block).memory(W.i64_load, Block.REGION_INSTRUCTIONS)
    f.get(this.before).get(this.cpu).memory(W.i32_load, Slot.BUDGET).op(W.i32_sub).i32(RECORD_SHIFT).op(W.i32_shr_s).op(W.i64_extend_i32_s)
    f.op(W.i64_add).memory(W.i64_store, Block.REGION_INSTRUCTIONS)
    f.get(block).get(block).memory(W.i64_load, Block.REGION_ENTRIES).i64(1n).op(W.i64_add).memory(W.i64_store, Block.REGION_ENTRIES)
  }

  private countMiss(): void {
    const { f } = this
    f.get(this.word).op(W.i32_eqz).if().get(this.cpu).memory(W.i32_load, Slot.BLOCK).tee(this.exit)
    f.get(this.exit).memory(W.i64_load, Block.REGION_MISSES).i64(1n).op(W.i64_add).memory(W.i64_store, Block.REGION_MISSES).end()
  }

  private findTarget(): void {
    const { f } = this
    f.get(this.base).get(this.exit).memory(W.i64_load32_s, RegionExit.AT * 4).op(W.i64_add).set(this.rip)
    f.get(this.word).i32(ExitKind.DOOR).op(W.i32_le_u).if()
    f.get(this.exit).memory(W.i32_load, RegionExit.RECORD * 4).tee(this.target).op(W.i32_eqz).if()
    f.get(this.exit).get(this.header).call(this.functions.resolveExit).tee(this.target).op(W.i32_eqz).if().i32(0).op(W.return).end()
    f.end()
    this.setPage()
    this.countMiss()
    f.else()
    f.get(this.record).call(this.functions.validateRegion)
    this.probe()
    f.end()
  }

  /** The jump cache's entry for `rip`, or a lookup. */
  private probe(): void {
    const { f } = this
    f.get(this.rip).op(W.i32_wrap_i64).tee(this.target).i32(12).op(W.i32_shr_u).get(this.target).op(W.i32_xor)
    f.i32(JUMP_CACHE_ENTRIES - 1).op(W.i32_and).i32(4).op(W.i32_shl).get(this.context).op(W.i32_add).tee(this.word)
    f.memory(W.i64_load, Context.JUMP_CACHE).get(this.rip).op(W.i64_eq).if()
    f.get(this.word).memory(W.i32_load, Context.JUMP_CACHE + 8).set(this.target)
    f.get(this.cpu).get(this.rip).get(this.word).memory(W.i64_load32_u, Context.JUMP_CACHE + 12).op(W.i64_sub).memory(W.i64_store, Slot.RIP_PAGE)
    f.else()
    f.get(this.target).get(this.rip).i64(32n).op(W.i64_shr_u).op(W.i32_wrap_i64).call(this.functions.lookup).tee(this.target)
    f.op(W.i32_eqz).if().i32(0).op(W.return).end()
    f.end()
  }

  private setPage(): void {
    const { f } = this
    f.get(this.cpu).get(this.rip).get(this.target).memory(W.i64_load16_u, Record.PAGE_OFFSET).op(W.i64_sub).memory(W.i64_store, Slot.RIP_PAGE)
  }
}

