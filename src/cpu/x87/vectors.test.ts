import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { parseVectors } from '../softfloat/vector-file.ts'
import type { VectorSection } from '../softfloat/vector-file.ts'
import { Block, Slot } from '../state/layout.ts'
import { VcpuState } from '../state/vcpu-state.ts'
import { fullTagWord } from './environment.ts'
import { executeMemoryForm, executeRegisterForm, x87MemoryRow, X87Outcome } from './forms.ts'
import { StatusWord, X87 } from './registers.ts'

/*
 * Every x87 instruction against what a processor did (tools/vectors/x87/x87-vectors.c, recorded on an AMD EPYC of family 19h).
 * What the manuals leave undefined and what may differ by a unit in the last place is in this one table.
 */
const INEXACT = /^(f2xm1|fyl2xp?1?|fptan|fpatan|fsin|fcos|fsincos)$/
const INEXACT_REASON = {
  /** Transcendental results are promised within one unit in the last place (SDM Vol. 1 §8.3.10); ours are rounded correctly. */
  ulps: 1n,
  /** C1, the direction of the rounding, follows the result. */
  statusMask: 0xffff & ~StatusWord.C1,
}

/** Fields of a record: offset and size in bytes. See `struct record` in the generator. */
const Record = {
  FCW: 0, FSW: 2, TAGS: 4, FLAGS: 5, ST0: 6, MEMORY: 26,
  FCW_AFTER: 36, FSW_AFTER: 38, FTW_AFTER: 40, FLAGS_AFTER: 42, ST0_AFTER: 43, ST1_AFTER: 53, ST7_AFTER: 63, MEMORY_AFTER: 73,
} as const

const state = new VcpuState(new ArrayBuffer(0x4000), 1024, 4096)
const x87 = new X87(state)
const registerAt = (top: number, i: number): number => state.slot + Slot.X87 + (top + i & 7) * 16

function loadState(record: DataView): number {
  const top = record.getUint16(Record.FSW, true) >> 11 & 7
  let tags = 0
  for (let i = 0; i < 8; i++) tags |= (record.getUint8(Record.TAGS) >> i & 1) << (top + i & 7)
  state.setSlotU16(Slot.FCW, record.getUint16(Record.FCW, true))
  state.setSlotU16(Slot.FSW, record.getUint16(Record.FSW, true))
  state.setSlotU16(Slot.FTW, tags)
  for (let i = 0; i < 8; i++) {
    const at = registerAt(top, i)
    const given = i < 2 // ST2 to ST7 always hold the same
    state.u64[at >> 3] = given ? record.getBigUint64(Record.ST0 + i * 10, true) : 0xc000000000000000n | BigInt(i)
    state.u16[at + 8 >> 1] = given ? record.getUint16(Record.ST0 + i * 10 + 8, true) : 0x3fff + i
  }
  return top
}

/** Whether FCMOVcc's condition holds; opcode 3 (DB) has the negated ones. */
function condition(opcode: number, modrm: number, flags: number): boolean {
  const holds = (flags & [1, 0x40, 0x41, 4][modrm >> 3 & 3]) !== 0
  return opcode === 3 ? !holds : holds
}

interface Outcome { flags: number, memory: Uint8Array }

function execute(section: VectorSection, record: DataView): Outcome {
  const opcode = parseInt(section.code.slice(0, 2), 16) - 0xd8
  const modrm = parseInt(section.code.slice(2), 16)
  const memory = new Uint8Array(record.buffer, record.byteOffset + Record.MEMORY, 10).slice()
  const before = record.getUint8(Record.FLAGS)
  if (modrm < 0xc0) return executeMemory(opcode, modrm >> 3 & 7, memory, before)
  expect(executeRegisterForm(x87, opcode, modrm, condition(opcode, modrm, before))).toBe(X87Outcome.DONE)
  const comparison = (opcode === 3 || opcode === 7) && modrm >= 0xe8 && modrm < 0xf8
  return { flags: comparison ? before & ~0x45 | x87.words[x87.resultAt] : before, memory }
}

function executeMemory(opcode: number, reg: number, memory: Uint8Array, flags: number): Outcome {
  const row = x87MemoryRow(opcode, reg)!
  state.u8.set(memory, state.block + Block.ARGUMENTS)
  if (executeMemoryForm(x87, opcode, reg) === X87Outcome.DONE && row.store) {
    const result = state.block + Block.RESULT
    memory.set(state.u8.subarray(result, result + row.size))
  }
  return { flags, memory }
}

/** A register as "sign exponent significand", and as an integer in which neighbours differ by one. */
function extended(view: DataView, at: number): { text: string, order: bigint } {
  const top = view.getUint16(at + 8, true)
  const significand = view.getBigUint64(at, true)
  const exponent = (top & 0x7fff) === 0 ? significand >> 63n : BigInt(top & 0x7fff)
  const magnitude = (exponent << 63n) + (significand & 0x7fffffffffffffffn)
  return { text: `${top.toString(16).padStart(4, '0')}.${significand.toString(16).padStart(16, '0')}`,
    order: top >> 15 === 0 ? magnitude : -magnitude - 1n }
}

function differences(section: VectorSection, record: DataView, top: number, outcome: Outcome): string[] {
  const inexact = INEXACT.test(section.name)
  const found: string[] = []
  const check = (what: string, got: number, wanted: number): void => {
    if (got !== wanted) found.push(`${what} ${got.toString(16)}, processor ${wanted.toString(16)}`)
  }
  const mask = inexact ? INEXACT_REASON.statusMask : 0xffff
  check('FCW', x87.controlWord, record.getUint16(Record.FCW_AFTER, true))
  check('FSW', x87.statusWord & mask, record.getUint16(Record.FSW_AFTER, true) & mask)
  check('FTW', fullTagWord(x87), record.getUint16(Record.FTW_AFTER, true))
  check('flags', outcome.flags, record.getUint8(Record.FLAGS_AFTER))
  for (const [i, at] of [[0, Record.ST0_AFTER], [1, Record.ST1_AFTER], [7, Record.ST7_AFTER]]) {
    const [got, wanted] = [extended(state.view, registerAt(top, i)), extended(record, at)]
    const gap = got.order - wanted.order
    const close = inexact && gap <= INEXACT_REASON.ulps && gap >= -INEXACT_REASON.ulps
    if (got.text !== wanted.text && !close) found.push(`ST${i} ${got.text}, processor ${wanted.text}`)
  }
  outcome.memory.forEach((byte, i) => check(`memory byte ${i}`, byte, record.getUint8(Record.MEMORY_AFTER + i)))
  return found
}

function runSection(section: VectorSection): string[] {
  const failures: string[] = []
  for (let n = 0; n < section.count; n++) {
    const record = new DataView(section.records.buffer, n * section.size, section.size)
    const top = loadState(record)
    const outcome = execute(section, record)
    const found = differences(section, record, top, outcome)
    const input = `${extended(record, Record.ST0).text} ${extended(record, Record.ST0 + 10).text}`
    const control = `FCW ${record.getUint16(Record.FCW, true).toString(16)} FSW ${record.getUint16(Record.FSW, true).toString(16)}`
    if (found.length > 0) failures.push(`#${n} ${control} ST0 ST1 ${input}: ${found.join('; ')}`)
  }
  return failures
}

describe('x87 instructions do what the processor did', () => {
  const file = gunzipSync(readFileSync(new URL('../../../test/vectors/float/x87.bin.gz', import.meta.url)))
  for (const section of parseVectors(file)) {
    test(section.name, () => {
      const failures = runSection(section)
      expect(failures.slice(0, 5)).toEqual([])
    })
  }
})
