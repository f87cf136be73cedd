/**
 * The interpreter's back end of the description: emits each form once, with its operands read from the record.
 *
 * A form is emitted in one of two places. *Inline*, in the run loop: no calls at all (they would cost the whole loop its registers), so
 * whatever is not the common case branches to `slow` before anything is committed, and the outlined handler of the same form does the
 * instruction again from the start. *Outlined*, as a function (cpu, record, context) -> next record, or 0 to leave the loop: it may call.
 */
import { unreachable } from '../../base/errors.ts'
import { CONDITIONS } from '../semantics/ops.ts'
import type { Size, Value } from '../semantics/ops.ts'
import { ExitCode, Slot } from '../state/layout.ts'
import { HelperOutcome } from '../system/outcome.ts'
import { W } from '../wasm/opcodes.ts'
import { STORES } from './emitter-base.ts'
import type { FlagWord, TranslatedPlace } from './emitter-base.ts'
import { ControlEmitter } from './emitter-control.ts'
import { AddressClass } from './form.ts'
import { RECORD_SIZE } from './record.ts'
import type { FormSample } from './site.ts'

const COMPARE_EXCHANGE: Partial<Record<Size, number>> = {
  8: W.i32_atomic_rmw8_cmpxchg_u, 16: W.i32_atomic_rmw16_cmpxchg_u, 32: W.i32_atomic_rmw_cmpxchg, 64: W.i64_atomic_rmw_cmpxchg,
}

export class InterpreterOps extends ControlEmitter {
  /** Emits one form, or two that run as one. Temporaries of earlier forms in the same function are used again. */
  emitForm(samples: readonly FormSample[]): void {
    this.used.clear()
    this.producerBefore = undefined
    let offset = 0
    samples.forEach((sample, position) => {
      this.begin(sample, offset)
      sample.definition.emit(this)
      this.commit(position === samples.length - 1)
      offset = this.nextOffset()
    })
  }

  /**
   * Where the second of a pair finds its record. From the second the slow path starts at the record in the local: at the pair, if
   * the first may be done again (it only sets flags), otherwise the local moves on.
   */
  private nextOffset(): number {
    if (this.repeatable) return this.recordOffset + RECORD_SIZE
    this.f.get(this.site.record).i32(this.recordOffset + RECORD_SIZE).op(W.i32_add).set(this.site.record)
    return 0
  }

  private begin(sample: FormSample, recordOffset: number): void {
    const { instruction, row, shape } = sample
    this.sample = sample
    this.recordOffset = recordOffset
    this.mode = shape.legacy ? 32 : 64
    this.size = instruction.operandSize
    this.address64 = !shape.legacy && shape.address !== AddressClass.ADDRESS32
    this.locked = instruction.lock || (row.mnemonic === 'XCHG' && shape.address !== AddressClass.NONE)
    this.repeat = instruction.repeat
    this.condition = CONDITIONS[instruction.condition]
    this.operands = sample.operands
    this.staged = []
    this.locking = []
    this.places = new Map()
    this.control = undefined
    this.newFlags = {}
    this.producer = undefined
    this.storesMemory = false
    this.translated = false
    this.readsFlags = false
    this.outcome = undefined
  }

  // Commit.

  private commit(last: boolean): void {
    const { f } = this
    this.repeatable = this.staged.length === 0 && !this.storesMemory && !this.readsFlags
    for (const { place, value } of this.locking) this.commitLocked(place, value)
    for (const [name, value] of Object.entries(this.newFlags)) this.stageFlag(name as FlagWord, value)
    for (const staged of this.staged.toReversed()) staged.before(f)
    for (const staged of this.staged) staged.after(f)
    if (this.storesMemory && this.site.kind === 'outlined') {
      this.slotValue(Slot.SLOW_STORES, 32).emit(f)
      f.if().call(this.functions.commitSlowStores).end()
    }
    if (this.outcome !== undefined) this.leaveIfResynchronised(this.outcome)
    this.producerBefore = this.producer === 'unknown' ? undefined : this.producer ?? this.producerBefore
    if (!last) return
    if (this.control !== undefined) this.control()
    else if (this.site.next !== undefined) this.site.next(this.recordOffset / RECORD_SIZE + 1)
    else this.following().emit(f)
  }

  private leaveIfResynchronised(outcome: number): void {
    const { f, site } = this
    f.get(outcome).i32(HelperOutcome.RESYNC).op(W.i32_eq).if()
    f.get(site.cpu).i32(ExitCode.RESYNC).memory(W.i32_store, Slot.EXIT_CODE)
    this.leave()
    f.end()
  }

  /**
   * LOCK: the first write, by compare-and-exchange with what was read; if another thread was faster, the instruction starts again
   * with nothing committed. WebAssembly's atomics must be aligned; the rare unaligned one is a plain store.
   */
  private commitLocked(place: TranslatedPlace, value: Value): void {
    const { f, site } = this
    const old = place.loaded ?? unreachable('LOCK without a read')
    const bytes = place.size / 8
    this.and(place.address, this.i32(bytes - 1)).emit(f)
    f.if()
    place.address.emit(f)
    value.emit(f)
    f.memory(STORES[place.size], 0).else()
    place.address.emit(f)
    old.emit(f)
    value.emit(f)
    f.memory(COMPARE_EXCHANGE[place.size] ?? unreachable('LOCK of this size'), 0, Math.log2(bytes))
    old.emit(f)
    f.op(place.size === 64 ? W.i64_ne : W.i32_ne).if()
    // Scratch is private: no slow store is left behind, because only real memory can lose the race.
    f.get(site.record).op(W.return).end().end()
  }
}
