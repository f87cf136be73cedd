/** A vector under construction: an initial state with its patches, and which registers are already spoken for. */
import { backgroundData, backgroundState, CODE, CODE_SIZE, DATA, segmentBase, WRITABLE_SIZE } from '../../test/vectors/environment.ts'
import type { Random } from '../../test/vectors/random.ts'
import { selector, Word } from '../../test/vectors/state.ts'
import type { CodeSize, State } from '../../test/vectors/state.ts'
import type { Patch } from '../../test/vectors/vector.ts'
import type { Choice, Encoding } from './encode.ts'
import { fromBytes, toBytes } from './values.ts'

export const RAX = 0, RCX = 1, RDX = 2, RBX = 3, RSP = 4, RBP = 5, RSI = 6, RDI = 7
const SS = 2

export type MutableChoice = { -readonly [K in keyof Choice]: Choice[K] }

export class Draft {
  readonly encoding: Encoding
  readonly mode: CodeSize
  readonly random: Random
  readonly state: State
  readonly choice: MutableChoice
  /** General registers whose value matters and must not be chosen again. */
  readonly fixed = new Set<number>()
  /** Linear address of the memory operand, where it has one. */
  address: number | bigint | undefined
  /** The memory operand is RIP-relative: `address` is reached by the displacement that `finish` computes. */
  ripRelative = false
  /** Offset of the instruction in the code pages. */
  offset: number
  /** Not to be recorded: an unlucky combination. */
  discarded = false
  private readonly memory = backgroundData().slice(0, WRITABLE_SIZE)

  constructor(encoding: Encoding, random: Random, choice: MutableChoice, seed: number) {
    this.encoding = encoding
    this.random = random
    this.choice = choice
    this.mode = choice.mode
    this.state = backgroundState(seed, choice.mode)
    this.offset = random.pick([0x400, 0x400, 0x400, 0x800 + random.below(0x400), 0xff0 + random.below(16)])
    if (random.oneIn(80)) this.offset = CODE_SIZE - 1 - random.below(10)
  }

  get mnemonic(): string { return this.encoding.row.mnemonic }

  /** Bytes of the operand size. */
  get size(): number {
    return this.encoding.sizeRule === 'b' ? 1 : this.choice.operandSize / 8
  }

  get registers(): number { return this.mode === 64 ? 16 : 8 }

  /** Sets a whole register, cut to what the mode has, and marks it as used. */
  setRegister(register: number, value: bigint): void {
    this.state[register] = value & (this.mode === 64 ? 0xffffffffffffffffn : 0xffffffffn)
    this.fixed.add(register)
  }

  /** Sets the low `size` bytes of a register and leaves the rest random. */
  setLow(register: number, value: bigint, size: number): void {
    const mask = (1n << BigInt(size * 8)) - 1n
    this.setRegister(register, this.state[register] & ~mask | value & mask)
  }

  /** Writes bytes of the writable pages; what lies outside them is dropped. */
  patch(address: number | bigint, bytes: Uint8Array): void {
    const at = Number(address) - DATA
    for (let i = 0; i < bytes.length; i++) if (at + i >= 0 && at + i < WRITABLE_SIZE) this.memory[at + i] = bytes[i]
  }

  patchNumber(address: number | bigint, value: bigint, size: number): void {
    this.patch(address, toBytes(value, size))
  }

  read(address: number, size: number): bigint {
    return fromBytes(this.memory.subarray(address - DATA, address - DATA + size))
  }

  /** Points the stack at a place in the data and returns its linear address; rarely one where it faults. */
  pointStack(room = 0x100): number {
    const { random } = this
    let at = DATA + 0x1000 + random.below(0x60) * 8 + (random.oneIn(8) ? random.below(8) : 0)
    if (random.oneIn(14)) at = random.pick([DATA, DATA + 2, DATA + 4, DATA + WRITABLE_SIZE + room, DATA + WRITABLE_SIZE + 0x1000 - 4])
    const base = Number(segmentBase(this.state, this.mode, SS))
    this.setRegister(RSP, BigInt(at - base) & (this.mode === 16 ? 0xffffn : 0xffffffffn))
    if (this.mode === 64 && random.oneIn(40)) this.setRegister(RSP, 0x8000000000000000n + BigInt(at))
    return at
  }

  /** An instruction pointer in the code pages, as this mode counts it. */
  codeAddress(): bigint {
    return BigInt(this.random.below(CODE_SIZE) + (this.mode === 16 ? 0 : CODE))
  }

  selector(segment: number): number { return selector(this.state, segment) }

  setWord(word: number, value: bigint): void { this.state[word] = value }

  finishRip(): void {
    this.state[Word.RIP] = BigInt(this.offset + (this.mode === 16 ? 0 : CODE))
  }

  /** What differs from the background, runs less than four bytes apart joined. */
  patches(): Patch[] {
    const before = backgroundData()
    const patches: Patch[] = []
    for (let i = 0; i < WRITABLE_SIZE; i++) {
      if (before[i] === this.memory[i]) continue
      let end = i + 1
      for (let j = end; j < Math.min(end + 4, WRITABLE_SIZE); j++) if (before[j] !== this.memory[j]) end = j + 1
      patches.push({ offset: i, bytes: this.memory.slice(i, end) })
      i = end - 1
    }
    return patches
  }
}
