/**
 * The guest's registers in a region: each has a local. There are two ways to keep the slot up to date:
 *
 * *early*  What is written is *dirty* until it is stored, which is done before anything that may leave the region: so exits have nothing
 *          to store, no value has to be kept for them, and an entry loads what is read before it is written on some way from there. Good
 *          where a region is left often, and quick to compile.
 * *late*   All that the region ever writes is stored where it ends, and all that it uses is loaded where it begins: nothing to do in
 *          between. Good for loops.
 */
import { Slot } from '../state/layout.ts'
import type { FunctionBody } from '../wasm/assembler.ts'
import { ValueType, W } from '../wasm/opcodes.ts'
import { Parameter } from './parameters.ts'
import type { Stores } from './plan.ts'

/** Numbers of registers: general ones from 0, low halves of YMM registers from 16, high halves from 32. */
export const VECTORS = 16
export const HIGH_HALVES = 32

/** What a block does with registers, for liveness. */
export interface BlockUse {
  /** Read before they are written. */
  readonly reads: Set<number>
  readonly writes: Set<number>
}

export class GuestRegisters {
  private readonly f: FunctionBody
  private readonly stores: Stores
  private readonly locals = new Map<number, number>()
  private readonly written = new Set<number>()
  private dirty = new Set<number>()
  private use: BlockUse = { reads: new Set(), writes: new Set() }

  constructor(f: FunctionBody, stores: Stores) {
    this.f = f
    this.stores = stores
  }

  /** From here on a block's code is emitted. */
  begin(use: BlockUse): void { this.use = use }

  /** The local to read a register from. */
  read(register: number): number {
    if (!this.use.writes.has(register)) this.use.reads.add(register)
    return this.localOf(register)
  }

  /** Sets a register's local to what is on the stack: all of the register. */
  set(register: number): void {
    this.use.writes.add(register)
    this.dirty.add(register)
    this.written.add(register)
    this.f.set(this.localOf(register))
  }

  /** Before the region may be left. `mayRun`: this is code that may not run, so that what is dirty still is afterwards. */
  store(mayRun = false): void {
    if (this.stores === 'early') this.storeDirty(mayRun)
  }

  /** At the region's end. */
  storeLast(): void {
    if (this.stores === 'late') {
      for (const register of this.written) this.dirty.add(register)
      this.storeDirty(false)
    }
  }

  private storeDirty(mayRun: boolean): void {
    const { f } = this
    for (const register of this.dirty) {
      f.get(Parameter.CPU).get(this.localOf(register)).memory(isGeneral(register) ? W.i64_store : W.v128_store, slotOffset(register))
    }
    if (!mayRun) this.dirty.clear()
  }

  get used(): Iterable<number> { return this.locals.keys() }

  /** Loads registers, in code that is emitted elsewhere. */
  load(f: FunctionBody, registers: Iterable<number>): void {
    for (const register of registers) {
      f.get(Parameter.CPU).memory(isGeneral(register) ? W.i64_load : W.v128_load, slotOffset(register)).set(this.localOf(register))
    }
  }

  /** Which registers are dirty, for code that is reached from here on several ways. */
  get state(): ReadonlySet<number> { return new Set(this.dirty) }
  set state(dirty: ReadonlySet<number>) { this.dirty = new Set(dirty) }

  private localOf(register: number): number {
    const known = this.locals.get(register)
    if (known !== undefined) return known
    const local = this.f.local(isGeneral(register) ? ValueType.I64 : ValueType.V128)
    this.locals.set(register, local)
    return local
  }
}

const isGeneral = (register: number): boolean => register < VECTORS

function slotOffset(register: number): number {
  if (isGeneral(register)) return Slot.GPR + register * 8
  return register < HIGH_HALVES ? Slot.YMM + (register - VECTORS) * 32 : Slot.YMM + (register - HIGH_HALVES) * 32 + 16
}

/** Registers that are read before they are written on some way from each block. */
export function liveRegisters(uses: readonly BlockUse[], successors: readonly (readonly number[])[]): Set<number>[] {
  const live = uses.map(({ reads }) => new Set(reads))
  for (let changed = true; changed;) {
    changed = false
    for (let block = uses.length - 1; block >= 0; block--) {
      const before = live[block].size
      for (const next of successors[block]) {
        for (const register of live[next]) if (!uses[block].writes.has(register)) live[block].add(register)
      }
      changed ||= live[block].size !== before
    }
  }
  return live
}
