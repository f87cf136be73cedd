/**
 * A processor state as 104 words of 64 bits, the same in the recorder's C harness, in the files and in the tests.
 *
 * What a state does not list is as Linux sets it for a program: CPL 3, IOPL 0, long mode, paging with NX, CR0.WP, AM and NE set, TS
 * clear, CR4.OSFXSR, OSXMMEXCPT, OSXSAVE, FSGSBASE, UMIP, SMEP and SMAP set, TSD, DE and PCE clear, no I/O permission bitmap;
 * x87 instruction and data pointers and opcode 0. RFLAGS.AC is never set before an instruction.
 */
export const Word = {
  /** RAX RCX RDX RBX RSP RBP RSI RDI R8..R15. Outside 64-bit mode the high halves and R8..R15 are zero. */
  GPR: 0,
  /** Outside 64-bit mode EIP, an offset in CS. */
  RIP: 16,
  /** Without TF and RF. */
  RFLAGS: 17,
  /** Selectors: ES in bits 0-15, CS in 16-31, SS in 32-47, DS in 48-63. */
  SELECTORS: 18,
  /** FS in bits 0-15, GS in 16-31. */
  SELECTORS_FS_GS: 19,
  /** Only in 64-bit mode; otherwise the bases are those of the selectors' descriptors. */
  FS_BASE: 20,
  GS_BASE: 21,
  /** FCW in bits 0-15, FSW (with TOP) in 16-31, abridged tag word (1 = not empty) in 32-39. */
  X87: 22,
  MXCSR: 23,
  /** Physical registers R0..R7, two words each: significand, then sign and exponent in bits 0-15. MMn is the significand of Rn. */
  STACK: 24,
  /** XMM0..XMM15, two words each, low half first. */
  XMM: 40,
  /** Bits 128 to 255 of YMM0..YMM15, two words each. */
  YMM_HIGH: 72,
} as const
export const WORDS = 104
/** Words of the states that were recorded before there was AVX: the first ones. */
export const WORDS_BEFORE_AVX = 72

export type State = BigUint64Array
/** 64-bit mode, or compatibility mode with 32-bit or 16-bit code. */
export type CodeSize = 16 | 32 | 64

export const Rflags = { CF: 1n, PF: 4n, AF: 0x10n, ZF: 0x40n, SF: 0x80n, DF: 0x400n, OF: 0x800n } as const

const GPR_NAMES = 'RAX RCX RDX RBX RSP RBP RSI RDI R8 R9 R10 R11 R12 R13 R14 R15'.split(' ')
const OTHER_NAMES = ['RIP', 'RFLAGS', 'ES/CS/SS/DS', 'FS/GS', 'FS.base', 'GS.base', 'FCW/FSW/FTW', 'MXCSR']

/** The name of a word, for messages. */
export function wordName(word: number): string {
  if (word < Word.RIP) return GPR_NAMES[word]
  if (word < Word.STACK) return OTHER_NAMES[word - Word.RIP]
  if (word >= Word.YMM_HIGH) return `YMM${(word - Word.YMM_HIGH) >> 1} ${['third', 'fourth'][word & 1]} quarter`
  const n = word < Word.XMM ? word - Word.STACK : word - Word.XMM
  const name = word < Word.XMM ? ['significand', 'sign and exponent'] : ['low', 'high']
  return `${word < Word.XMM ? 'R' : 'XMM'}${n >> 1} ${name[n & 1]}`
}

/** A selector of a state; segments in the processor's order, ES 0 to GS 5. */
export function selector(state: State, segment: number): number {
  const word = state[segment < 4 ? Word.SELECTORS : Word.SELECTORS_FS_GS]
  return Number(word >> BigInt((segment & 3) * 16) & 0xffffn)
}

/** Changes one selector of a state. */
export function setSelector(state: State, segment: number, value: number): void {
  const word = segment < 4 ? Word.SELECTORS : Word.SELECTORS_FS_GS
  const shift = BigInt((segment & 3) * 16)
  state[word] = state[word] & ~(0xffffn << shift) | BigInt(value) << shift
}
