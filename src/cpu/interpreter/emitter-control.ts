/** Control: branches inside a page by link, others by the jump cache; exceptions; calls of TypeScript helpers. */
import { unreachable } from '../../base/errors.ts'
import type { HelperOptions, Value } from '../semantics/ops.ts'
import { Block, Context, ExitCode, JUMP_CACHE_ENTRIES, SEGMENT_CACHE_SIZE, Segment, SegmentCache, Slot } from '../state/layout.ts'
import { ValueType, W } from '../wasm/opcodes.ts'
import { FlagEmitter } from './emitter-flags.ts'
import { NO_ERROR_CODE, RECORD_SIZE, Record } from './record.ts'
import { NotInlinable } from './site.ts'

const { I32, I64, V128 } = ValueType

export abstract class ControlEmitter extends FlagEmitter {
  protected ripPage(): Value { return this.slotValue(Slot.RIP_PAGE, 64) }
  protected pageOffset(): Value { return this.recordField(Record.PAGE_OFFSET, W.i64_load16_u, I64) }

  nextIp(): Value {
    const next = this.add(this.add(this.ripPage(), this.pageOffset()), this.recordField(Record.LENGTH, W.i64_load8_u, I64))
    return this.mode === 64 ? next : this.zx(next, 32)
  }

  protected following(): Value {
    return { type: I32, leaf: false, emit: (f) => { f.get(this.site.record).i32(RECORD_SIZE + this.recordOffset).op(W.i32_add) } }
  }

  jump(_n: number): void {
    if (this.sample.crossesPage) {
      this.jumpThroughCache(this.let(this.branchTarget()))
      return
    }
    this.control = () => this.goTo(this.recordField(Record.LINK, W.i32_load))
  }

  protected branchTarget(): Value {
    return this.add(this.ripPage(), this.recordField(Record.IMMEDIATE, W.i64_load, I64))
  }

  jumpTo(target: Value): void {
    this.jumpThroughCache(this.let(this.mode === 64 ? target : this.zx(target, this.size === 16 ? 16 : 32)))
  }

  jumpIf(condition: Value, _n: number): void {
    const taken = this.let(condition)
    if (!this.sample.crossesPage) {
      this.control = () => this.goTo(this.select(taken, this.recordField(Record.LINK, W.i32_load), this.following()))
      return
    }
    const { f } = this
    if (this.site.slow === undefined) {
      const target = this.let(this.branchTarget())
      this.checkTarget(this.and(taken, this.isBadTarget(target)))
      this.control = () => {
        taken.emit(f)
        f.if()
        this.returnLookup(target)
        f.end()
        this.goTo(this.following())
      }
      return
    }
    const record = this.temporary(I32)
    const page = this.temporary(I64)
    this.ripPage().emit(f)
    f.set(page)
    this.following().emit(f)
    f.set(record)
    taken.emit(f)
    f.if()
    this.probe(this.let(this.branchTarget()), record, page)
    f.end()
    this.control = () => this.goToPage(record, page)
  }

  protected jumpThroughCache(target: Value): void {
    if (this.site.slow === undefined) {
      this.checkTarget(this.isBadTarget(target))
      this.control = () => this.returnLookup(target)
      return
    }
    const record = this.temporary(I32)
    const page = this.temporary(I64)
    this.probe(target, record, page)
    this.control = () => this.goToPage(record, page)
  }

  /** Finds the target in the jump cache, or goes to the slow path. Nothing is committed yet. */
  protected probe(target: Value, record: number, page: number): void {
    const { f } = this
    const entry = this.temporary(I32)
    const low = this.wrap(target)
    this.shl(this.and(this.xor(low, this.shr(low, this.i32(12))), this.i32(JUMP_CACHE_ENTRIES - 1)), this.i32(4)).emit(f)
    f.get(this.site.context).op(W.i32_add).tee(entry).memory(W.i64_load, Context.JUMP_CACHE)
    target.emit(f)
    f.op(W.i64_ne).brIf(this.site.slow ?? unreachable('a probe outside the run loop'))
    f.get(entry).memory(W.i32_load, Context.JUMP_CACHE + 8).set(record)
    target.emit(f)
    f.get(record).memory(W.i64_load16_u, Record.PAGE_OFFSET).op(W.i64_sub).set(page)
  }

  protected goToPage(record: number, page: number): void {
    this.f.get(this.site.cpu).get(page).memory(W.i64_store, Slot.RIP_PAGE)
    this.goTo(this.local(I32, record))
  }

  protected goTo(record: Value): void {
    const { f, site } = this
    if (site.jump === undefined) {
      record.emit(f)
      f.op(W.return)
      return
    }
    const local = this.temporary(I32)
    record.emit(f)
    f.set(local)
    site.jump(local, this.recordOffset / RECORD_SIZE + 1)
  }

  protected returnLookup(target: Value): void {
    const { f } = this
    this.wrap(target).emit(f)
    this.wrap(this.shr(target, this.i64(32))).emit(f)
    f.call(this.functions.lookup).op(W.return)
  }

  protected isBadTarget(target: Value): Value {
    if (this.mode === 64) return this.ne(this.sar(this.shl(target, this.i64(16)), this.i64(16)), target)
    const limit = this.loadAt(this.slotValue(Slot.BLOCK, 32), 32, Block.SEGMENTS + Segment.CS * SEGMENT_CACHE_SIZE + SegmentCache.LIMIT)
    return this.compare('gt_u', this.wrap(target), limit)
  }

  protected checkTarget(bad: Value): void { this.raiseIf(bad, 13, 0) }

  raiseIf(condition: Value, vector: number, errorCode?: number): void {
    const { f, site } = this
    condition.emit(f)
    this.callIf(() => {
      f.get(site.cpu).i32(vector).memory(W.i32_store, Slot.EXIT_VECTOR)
      f.get(site.cpu).i32(errorCode ?? NO_ERROR_CODE).memory(W.i32_store, Slot.EXIT_ERROR_CODE)
      f.get(site.cpu).i32(ExitCode.EXCEPTION).memory(W.i32_store, Slot.EXIT_CODE)
      this.leave()
    })
  }

  skipIf(condition: Value): void {
    const { f, site } = this
    condition.emit(f)
    f.if()
    if (site.next !== undefined) site.next(1)
    else {
      // A place that was translated for writing may wait for its commit, which does not come.
      if (this.translated) f.get(site.cpu).i32(0).memory(W.i32_store, Slot.SLOW_STORES)
      this.following().emit(f)
      f.op(W.return)
    }
    f.end()
  }

  again(condition: Value): void {
    const repeated = this.let(condition)
    const here: Value = {
      type: I32, leaf: false,
      emit: (f) => {
        f.get(this.site.record)
        if (this.recordOffset !== 0) f.i32(this.recordOffset).op(W.i32_add)
      },
    }
    this.control = () => {
      // How often an instruction executes depends on where pages lie; it retires once.
      this.f.get(this.site.cpu)
      this.add(this.slotValue(Slot.REPEATS, 32), repeated).emit(this.f)
      this.f.memory(W.i32_store, Slot.REPEATS)
      this.f.get(this.site.cpu)
      repeated.emit(this.f)
      this.f.memory(W.i32_store, Slot.REPEATING)
      this.goTo(this.select(repeated, here, this.following()))
    }
  }

  // Helpers.

  helper(name: string, args: readonly Value[], options: HelperOptions = {}): Value {
    if (this.site.kind === 'inline') throw new NotInlinable()
    const { f, site } = this
    const block = this.let(this.slotValue(Slot.BLOCK, 32))
    args.forEach((arg, position) => {
      block.emit(f)
      if (arg.type === V128) {
        arg.emit(f)
        f.memory(W.v128_store, Block.ARGUMENTS + position * 16)
      } else {
        this.extend(arg, false).emit(f)
        f.memory(W.i64_store, Block.ARGUMENTS + position * 16)
      }
    })
    f.get(site.cpu)
    this.add(this.ripPage(), this.pageOffset()).emit(f)
    f.memory(W.i64_store, Slot.RIP)
    this.outcome ??= this.temporary(I32)
    f.i32(this.functions.helperNumber(name)).call(this.functions.helper).tee(this.outcome).op(W.i32_eqz).if()
    this.leave()
    f.end()
    const type = options.result ?? I32
    return this.let(this.loadAt(block, type === V128 ? 128 : type === I64 ? 64 : 32, Block.RESULT))
  }
}
