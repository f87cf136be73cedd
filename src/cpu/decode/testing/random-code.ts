/** Random machine code for the decoder's tests. */
import type { CodeSize, OperandSize } from '../instruction.ts'
import { encodeSample, SAMPLE_SHAPES } from '../encode-sample.ts'
import type { Row } from '../../isa/row.ts'

/** A generator of uniform unsigned 32-bit numbers (xorshift32) that a seed other than 0 determines. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return state >>>= 0
  }
}

const PREFIXES = [0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65]
const ESCAPES = [[], [], [], [0x0f], [0x0f], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]]
/** Bytes at the edges: as ModRM, SIB, displacement or immediate. */
const CORNERS = [0x00, 0xff, 0x80, 0x7f, 0x04, 0x05, 0x24, 0x25, 0xc0]

/**
 * Fills `bytes` with a candidate every `stride` bytes: half are plain noise, half have a likely mixture of prefixes and escapes.
 */
export function fillWithCandidates(bytes: Uint8Array, stride: number, random: () => number): void {
  for (let at = 0; at < bytes.length; at++) bytes[at] = random() % 4 === 0 ? CORNERS[random() % CORNERS.length] : random() >>> 8
  for (let at = 0; at + stride <= bytes.length; at += stride) {
    if (random() % 2 === 0) bytes.set(randomHead(random).slice(0, stride), at)
  }
}

/** Up to four prefixes, REX among them, and an escape. */
function randomHead(random: () => number): number[] {
  const prefixes = Array.from({ length: Math.max(0, random() % 8 - 3) }, () => randomPrefix(random))
  if (random() % 4 === 0) {
    const allowed = random() % 8 === 0 ? prefixes : prefixes.filter((byte) => VEX_COMPATIBLE.has(byte))
    return [...allowed, ...randomVex(random)]
  }
  const rex = random() % 3 === 0 ? [0x40 | random() % 16] : []
  return [...prefixes, ...rex, ...ESCAPES[random() % ESCAPES.length]]
}

/** Prefixes that may stand before VEX. */
const VEX_COMPATIBLE = new Set([0x67, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65])

/** A VEX prefix; vvvv names no register half of the time, the map is mostly one that exists. */
function randomVex(random: () => number): number[] {
  const unused = random() % 2 === 0 ? 0x78 : 0
  if (random() % 2 === 0) return [0xc5, random() & 0xff | unused | 0x80]
  const map = random() % 8 === 0 ? random() % 32 : 1 + random() % 3
  return [0xc4, random() & 0xe0 | map, random() & 0xff | unused]
}

function randomPrefix(random: () => number): number {
  return random() % 4 === 0 ? 0x40 | random() % 16 : PREFIXES[random() % PREFIXES.length]
}

export interface Sample {
  readonly codeSize: CodeSize
  readonly operandSize: OperandSize
  readonly shape: typeof SAMPLE_SHAPES[number]
  readonly bytes: Uint8Array
}

/** One sample of every form that a row has. */
export function allSamples(row: Row, random: () => number): Sample[] {
  const samples: Sample[] = []
  for (const codeSize of [16, 32, 64] as const) {
    for (const operandSize of [8, 16, 32, 64] as const) {
      for (const shape of SAMPLE_SHAPES) {
        const bytes = encodeSample(row, { codeSize, operandSize, shape, random })
        if (bytes !== null) samples.push({ codeSize, operandSize, shape, bytes })
      }
    }
  }
  return samples
}

const MANDATORY_PREFIXES = [[], [0x66], [0xf3], [0xf2], [0x66, 0xf3]]
const OPCODE_ESCAPES = [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]]
/** Every ModRM byte that can make a difference to the choice of a row. */
const MODRM_BYTES = [...[0, 1, 2, 3, 4, 5, 6, 7].map((reg) => reg << 3), ...Array.from({ length: 64 }, (_, n) => 0xc0 | n)]

/** Every opcode of one map with every VEX.L, W and pp, without a register in vvvv and with one; as `everyOpcode` otherwise. */
export function everyVexOpcode(map: 1 | 2 | 3, stride: number, random: () => number): Uint8Array {
  const opcodes = Array.from({ length: 256 }, (_, opcode) => opcode)
  const lasts = [0, 1, 2, 3, 4, 5, 6, 7].flatMap((low) => [0x78, 0xf8, 0x70, 0xf0].map((high) => high | low))
  return fill(lasts.flatMap((last) => opcodes.map((opcode) => [0xc4, 0xe0 | map, last, opcode])), stride, random)
}

/** Every opcode of one map with every mandatory prefix and ModRM.reg, `stride` bytes each; the rest of the bytes is random. */
export function everyOpcode(map: 0 | 1 | 2 | 3, stride: number, random: () => number): Uint8Array {
  const opcodes = Array.from({ length: 256 }, (_, opcode) => [...OPCODE_ESCAPES[map], opcode])
  const heads = MANDATORY_PREFIXES.flatMap((prefixes) => opcodes.map((opcode) => [...prefixes, ...opcode]))
  return fill(heads, stride, random)
}

/** Each head with each byte of MODRM_BYTES. */
function fill(heads: readonly number[][], stride: number, random: () => number): Uint8Array {
  const bytes = new Uint8Array(heads.length * MODRM_BYTES.length * stride)
  for (let at = 0; at < bytes.length; at++) bytes[at] = random() >>> 8
  heads.forEach((head, n) => MODRM_BYTES.forEach((modrm, m) => bytes.set([...head, modrm], (n * MODRM_BYTES.length + m) * stride)))
  return bytes
}
