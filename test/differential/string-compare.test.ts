/**
 * PCMPISTRI and its like with every immediate, interpreted and translated, against the manual's element by element: texts of every
 * length, from few characters, so that they match in parts.
 */
import { describe, expect, it } from 'vitest'
import { HELPERS } from '../../src/cpu/helpers.ts'
import { Interpreter, Stop } from '../../src/cpu/interpreter/interpreter.ts'
import { features } from '../../src/cpu/isa/rows.ts'
import { ARITHMETIC_FLAGS, readFlags } from '../../src/cpu/state/flags.ts'
import { Gpr, Slot } from '../../src/cpu/state/layout.ts'
import { compareStrings } from '../../src/cpu/testing/string-compare.ts'
import { ImmediateCompiler } from '../../src/cpu/translator/compiler.ts'
import { backgroundState, CODE } from '../vectors/environment.ts'
import { outlinedEngine } from '../vectors/interpreter/engines.ts'
import { VectorMachine } from '../vectors/interpreter/machine.ts'
import { loadState } from '../vectors/interpreter/transfer.ts'
import { Random } from '../vectors/random.ts'

const TIMEOUT = 120_000
const IMMEDIATES = 256
const CASES = 60
const PAGE = 4096
const UD2 = [0x0f, 0x0b]
/** XMM1 and XMM2. */
const MODRM = 0xca
/** From one instruction to the next in the code page. */
const DISTANCE = 16
const INSTRUCTIONS = [
  { name: 'PCMPISTRI', code: [0x66, 0x0f, 0x3a, 0x63], explicit: 0 },
  { name: 'PCMPISTRM', code: [0x66, 0x0f, 0x3a, 0x62], explicit: 0 },
  { name: 'PCMPESTRI', code: [0x66, 0x0f, 0x3a, 0x61], explicit: 32 },
  { name: 'PCMPESTRM', code: [0x66, 0x0f, 0x3a, 0x60], explicit: 32 },
  { name: 'PCMPESTRI with REX.W', code: [0x66, 0x48, 0x0f, 0x3a, 0x61], explicit: 64 },
  { name: 'PCMPESTRM with REX.W', code: [0x66, 0x48, 0x0f, 0x3a, 0x60], explicit: 64 },
] as const

interface Case { readonly first: Uint8Array; readonly second: Uint8Array; readonly rax: bigint; readonly rdx: bigint }
interface Results { readonly rcx: bigint; readonly xmm0: string; readonly flags: number }

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const ORIGINAL_RCX = 0xaaaaaaaabbbbbbbbn
const ORIGINAL_XMM0 = new Uint8Array(16).fill(0xcc)

class Subject {
  private readonly machine = new VectorMachine()
  private readonly interpreter: Interpreter
  private readonly code: Uint8Array

  constructor(translated: boolean) {
    const { machine } = this
    const [frame] = machine.codeFrames()
    this.code = machine.pool.u8.subarray(frame, frame + PAGE)
    this.interpreter = new Interpreter({
      processor: machine.cpu, pool: machine.pool, frames: machine.frames, module: outlinedEngine(), helpers: HELPERS, features: features(),
      arenaSize: 1 << 20, ...translated ? { compiler: new ImmediateCompiler(features()), threshold: 1 } : {},
    })
    loadState(machine.state, backgroundState(1, 64), 64)
    machine.cpu.mmu.selectContext()
  }

  /** Instructions that ran in regions. */
  get translated(): number { return this.interpreter.translator?.counters().instructions ?? 0 }

  place(immediate: number): void {
    INSTRUCTIONS.forEach(({ code }, n) => this.code.set([...code, MODRM, immediate, ...UD2], n * DISTANCE))
    this.interpreter.flush()
  }

  run(instruction: number, { first, second, rax, rdx }: Case): Results {
    const { machine: { state }, interpreter } = this
    const xmm = (n: number): Uint8Array => state.u8.subarray(state.slot + Slot.YMM + n * 32, state.slot + Slot.YMM + n * 32 + 16)
    ;[ORIGINAL_XMM0, first, second].forEach((bytes, n) => xmm(n).set(bytes))
    state.setGpr(Gpr.RCX, ORIGINAL_RCX)
    state.setGpr(Gpr.RAX, rax)
    state.setGpr(Gpr.RDX, rdx)
    state.rip = BigInt(CODE + instruction * DISTANCE)
    while (interpreter.execute(100) !== Stop.EXCEPTION);
    return { rcx: state.gpr(Gpr.RCX), xmm0: hex(xmm(0)), flags: readFlags(state) & ARITHMETIC_FLAGS }
  }
}

/** A length's magnitude as the instruction takes it from a register. */
function magnitude(register: bigint, size: number): number {
  const value = BigInt.asIntN(size, register)
  return Number(value < 0n ? -value : value)
}

function expected(instruction: number, immediate: number, { first, second, rax, rdx }: Case): Results {
  const { name, explicit } = INSTRUCTIONS[instruction]
  const lengths = explicit === 0 ? undefined : [magnitude(rax, explicit), magnitude(rdx, explicit)] as const
  const { flags, index, mask } = compareStrings(first, second, immediate, lengths)
  return name.includes('STRI') ? { rcx: BigInt(index), xmm0: hex(ORIGINAL_XMM0), flags } : { rcx: ORIGINAL_RCX, xmm0: hex(mask), flags }
}

const CHARACTERS = [1, 2, 3, 0x7f, 0x80, 0xff]

/** A text with its first null element anywhere or nowhere, and what is left in the register behind it. */
function randomText(random: Random, words: boolean): Uint8Array {
  const elements = words ? new Uint16Array(8) : new Uint8Array(16)
  const end = random.below(elements.length + 1)
  const few = 1 + random.below(CHARACTERS.length)
  const character = (): number => CHARACTERS[random.below(few)] * (words && random.oneIn(3) ? 0x100 : 1)
  elements.forEach((_, n) => { elements[n] = n !== end && (n < end || !random.oneIn(4)) ? character() : 0 })
  return new Uint8Array(elements.buffer)
}

/** Every length that fits and one that does not; its negative; what only a wider or narrower look shows to be huge. */
function randomLength(random: Random): bigint {
  const length = BigInt(random.below(18))
  switch (random.below(8)) {
    case 0: return -length
    case 1: return BigInt.asIntN(32, -length) & 0xffffffffn
    case 2: return random.u64()
    case 3: return length | BigInt(random.u32()) << 32n
    case 4: return random.pick([1n << 31n, 1n << 63n, 1n << 32n, 0x7fffffffn])
    default: return length
  }
}

function randomCase(random: Random, immediate: number): Case {
  const words = (immediate & 1) !== 0
  const first = randomText(random, words)
  const second = random.oneIn(4) ? first.slice() : randomText(random, words)
  // A part of one text within the other.
  if (random.oneIn(3)) second.copyWithin(words ? 2 * random.below(8) : random.below(16), 0)
  if (random.oneIn(4)) second[random.below(16)] ^= 1
  return { first, second, rax: randomLength(random), rdx: randomLength(random) }
}

describe.each([['interpreted', false], ['translated', true]] as const)('string comparisons, %s', (_name, translated) => {
  const subject = new Subject(translated)
  const random = new Random(7)

  it.each(INSTRUCTIONS.map(({ name }, n) => [name, n] as const))('%s', (name, instruction) => {
    const before = subject.translated
    for (let immediate = 0; immediate < IMMEDIATES; immediate++) {
      subject.place(immediate)
      for (let n = 0; n < CASES; n++) {
        const one = randomCase(random, immediate)
        const message = `${name} ${immediate.toString(16)}: ${hex(one.first)} ${hex(one.second)} ${one.rax} ${one.rdx}`
        expect(subject.run(instruction, one), message).toEqual(expected(instruction, immediate, one))
      }
    }
    if (translated) expect(subject.translated - before).toBeGreaterThan(IMMEDIATES * (CASES - 5))
  }, TIMEOUT)
})
