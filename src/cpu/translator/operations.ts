/** The translator's back end of the description: emits one placed instruction after another into a region's function. */
import { CONDITIONS } from '../semantics/ops.ts'
import type { Value } from '../semantics/ops.ts'
import type { FunctionBody } from '../wasm/assembler.ts'
import { ValueType } from '../wasm/opcodes.ts'
import type { ExitList } from './exit-list.ts'
import { NotTranslatable } from './operations-base.ts'
import type { PlacedInstruction } from './operations-base.ts'
import { RegionFlags } from './operations-flags.ts'
import type { FlagLocals } from './operations-flags.ts'
import type { Stores } from './plan.ts'

const { I32, I64 } = ValueType

/** Where the last instruction of a block goes: on, to its branch operand (perhaps), or to a computed address. */
export type Departure =
  | { readonly kind: 'next' }
  | { readonly kind: 'jump' }
  | { readonly kind: 'branch'; readonly taken: Value }
  | { readonly kind: 'indirect'; readonly target: Value }

export class RegionOps extends RegionFlags {
  readonly flagLocals: FlagLocals
  readonly materialise: number
  private departure: Departure = { kind: 'next' }

  /** Emits into `f`, at whose present depth the block ends that exits branch to. */
  constructor(f: FunctionBody, exits: ExitList, stores: Stores, materialise: number) {
    super(f, exits, stores)
    this.materialise = materialise
    this.flagLocals = { kind: f.local(I32), a: f.local(I64), b: f.local(I64), override: f.local(I32) }
  }

  /** Emits an instruction up to its commit. `notExecuted`: instructions of its block from this one on. */
  emitInstruction(placed: PlacedInstruction, notExecuted: number): Departure {
    const { instruction, row } = placed
    this.beginBase(placed, notExecuted)
    this.size = instruction.operandSize
    this.address64 = instruction.addressSize === 64
    this.locked = instruction.lock || (row.mnemonic === 'XCHG' && instruction.mod !== 3)
    this.repeat = instruction.repeat
    this.condition = CONDITIONS[instruction.condition]
    this.operands = placed.operands
    this.places = new Map()
    this.newFlags = undefined
    this.departure = { kind: 'next' }
    placed.definition.emit(this)
    this.commit()
    return this.departure
  }

  private commit(): void {
    const { f } = this
    this.commitFlags()
    for (const staged of this.staged.toReversed()) staged.before(f)
    for (const staged of this.staged) staged.after(f)
    if (this.newFlags !== undefined) this.flagState = this.newFlags.state
  }

  // Control.

  nextIp(): Value { return this.codeAddress(this.nextAt) }
  jump(_n: number): void { this.departure = { kind: 'jump' } }
  jumpIf(condition: Value, _n: number): void { this.departure = { kind: 'branch', taken: this.let(condition) } }

  jumpTo(target: Value): void {
    const fixed = this.let(target)
    // A target that is not canonical faults before anything is committed.
    this.exitIf(this.ne(this.sar(this.shl(fixed, this.i64(16)), this.i64(16)), fixed))
    this.departure = { kind: 'indirect', target: fixed }
  }

  raiseIf(condition: Value): void {
    if (condition.constant === 0) return
    if (condition.constant !== undefined) this.exitAlways()
    else this.exitIf(condition)
  }

  skipIf(): void { throw new NotTranslatable() }
  again(): void { throw new NotTranslatable() }

  /** Helpers are TypeScript: the interpreter calls them. */
  helper(_name: string, _args: readonly Value[], options: { readonly result?: Value['type'] } = {}): Value {
    if (this.alternatives === 0) throw new NotTranslatable()
    this.exitAlways()
    const type = options.result ?? I32
    return type === ValueType.V128 ? this.v128(new Uint8Array(16)) : type === I64 ? this.i64(0) : this.i32(0)
  }
}
