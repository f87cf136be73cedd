import { beforeEach, describe, expect, test } from 'vitest'
import { Block, Slot } from '../state/layout.ts'
import { VcpuState } from '../state/vcpu-state.ts'
import {
  emms, enterMmx, executeMemoryForm, executeRegisterForm, fldcw, fldenv, fninit, fnsave, fnstenv, frstor, fullTagWord, isMxcsrValid,
  LegacyRegion, loadSseRegion, loadX87Region, recordPointers, saveSize, StatusWord, storeSseRegion, storeX87Region,
  writeMmxExponent, X87, x87MemoryRow, X87Outcome, x87RegisterRow,
} from './index.ts'
import type { EnvironmentLayout } from './index.ts'

const FLD1 = 0xe8
const FLDZ = 0xee
const { C0, C3 } = StatusWord

let state: VcpuState
let x87: X87
let image: DataView

beforeEach(() => {
  state = new VcpuState(new ArrayBuffer(0x4000), 1024, 4096)
  x87 = new X87(state)
  fninit(x87)
  image = new DataView(new ArrayBuffer(LegacyRegion.SIZE))
})

const run = (opcode: number, modrm: number): number => executeRegisterForm(x87, opcode - 0xd8, modrm)
const registers = (): string => {
  const at = state.slot + Slot.X87
  return Array.from(state.u8.subarray(at, at + 128)).join()
}

describe('pending exceptions', () => {
  beforeEach(() => {
    fldcw(x87, 0x37b) // division by zero unmasked
    run(0xd9, FLDZ)
    run(0xd9, FLD1)
    run(0xd8, 0xf1) // FDIV ST0, ST1
  })

  test('the faulting instruction completes without a result', () => {
    expect(x87.statusWord & 0xff).toBe(0x84)
    expect(x87.statusWord & StatusWord.BUSY).not.toBe(0)
    expect(state.u16[x87.at(0) * 2 + 4]).toBe(0x3fff)
  })

  test('the next waiting instruction raises #MF and changes nothing', () => {
    const before = registers() + x87.statusWord + x87.tags
    expect(run(0xd9, FLD1)).toBe(X87Outcome.MATH_FAULT)
    expect(executeMemoryForm(x87, 5, 2)).toBe(X87Outcome.MATH_FAULT)
    expect(registers() + x87.statusWord + x87.tags).toBe(before)
  })

  test('FNCLEX and FNINIT do not wait', () => {
    expect(run(0xdb, 0xe2)).toBe(X87Outcome.DONE)
    expect(x87.pending).toBe(false)
    expect(run(0xd9, FLD1)).toBe(X87Outcome.DONE)
  })

  test('masking it with an environment load clears the summary', () => {
    fnstenv(x87, image, 0, 'protected32')
    expect(x87.pending).toBe(false)
    expect(x87.statusWord & 4).toBe(4)
    fldenv(x87, image, 0, 'protected32')
    expect(x87.pending).toBe(true)
  })
})

test('a store with an unmasked exception stores and pops nothing', () => {
  fldcw(x87, 0x377) // overflow unmasked
  run(0xd9, FLD1)
  state.u16[x87.at(0) * 2 + 4] = 0x7ffe
  expect(executeMemoryForm(x87, 1, 3)).toBe(X87Outcome.NO_STORE)
  expect(x87.top).toBe(7)
  expect(x87.pending).toBe(true)
})

test('the stack underflows and overflows at any depth', () => {
  expect(run(0xd8, 0xc3)).toBe(X87Outcome.DONE)
  expect(x87.statusWord & 0x27f).toBe(0x41)
  fninit(x87)
  for (let i = 0; i < 9; i++) run(0xd9, FLD1)
  expect(x87.statusWord & 0x27f).toBe(0x241)
})

test.each([0, 3, 7])('ST(%i) is reached in two operand forms', i => {
  run(0xd9, FLD1)
  for (let n = 0; n < 7; n++) run(0xd9, FLDZ)
  x87.top += 7 // the one is ST0 again after a full turn less one
  const sourceBefore = x87.at(0)
  expect(state.u16[sourceBefore * 2 + 4]).toBe(0x3fff)
  run(0xdc, 0xc0 + i)
  expect(state.u16[x87.at(i) * 2 + 4]).toBe(i === 0 ? 0x4000 : 0x3fff)
})

test('rows say what waits, what stores and how much', () => {
  expect(x87MemoryRow(3, 7)).toMatchObject({ size: 10, store: true, waits: true })
  expect(x87MemoryRow(6, 0)).toMatchObject({ size: 2, store: false })
  expect(x87MemoryRow(1, 1)).toBeUndefined() // D9 /1
  expect(x87RegisterRow(3, 0xe2)).toMatchObject({ waits: false })
  expect(x87RegisterRow(1, 0xef)).toBeUndefined()
  expect(x87RegisterRow(7, 0xe0)).toBeUndefined() // FNSTSW AX is its caller's
})

describe('state images', () => {
  beforeEach(() => {
    run(0xd9, FLDZ)
    run(0xd9, FLD1)
    run(0xd9, 0xeb) // FLDPI
    run(0xd8, 0xd1) // FCOM ST1
    recordPointers(x87, 0x0d1, 0x33, 0x12345678n, 0x2b, 0x9abcdef0n)
  })

  test.each<[EnvironmentLayout, number]>([['protected32', 108], ['real32', 108], ['protected16', 94], ['real16', 94]])(
    '%s holds the whole state', (layout, size) => {
      expect(saveSize(layout)).toBe(size)
      const before = registers()
      const tags = fullTagWord(x87)
      fnsave(x87, image, 0, layout)
      expect([x87.controlWord, x87.statusWord, x87.tags]).toEqual([0x37f, 0, 0])
      frstor(x87, image, 0, layout)
      expect(registers()).toBe(before)
      expect([x87.top, fullTagWord(x87)]).toEqual([5, tags])
      fnsave(x87, image, 256, layout)
      for (let i = 0; i < size; i++) expect([i, image.getUint8(256 + i)]).toEqual([i, image.getUint8(i)])
    })

  test('the 32-bit protected layout is as in figure 8-9', () => {
    fnstenv(x87, image, 0, 'protected32')
    const fields = Array.from({ length: 7 }, (_, i) => image.getUint32(i * 4, true).toString(16))
    expect(fields).toEqual(['ffff037f', 'ffff2800', 'ffff43ff', '12345678', 'd10033', '9abcdef0', 'ffff002b'])
  })

  test('the 16-bit real layout holds 20-bit linear addresses', () => {
    recordPointers(x87, 0x0d1, 0x1234, 0x10n, 0x2000, 0x20n)
    fnstenv(x87, image, 0, 'real16')
    const fields = Array.from({ length: 7 }, (_, i) => image.getUint16(i * 2, true).toString(16))
    expect(fields).toEqual(['37f', '2800', '43ff', '2350', '10d1', '20', '2000'])
  })

  test.each([true, false])('the legacy region of FXSAVE comes back (REX.W %s)', wide => {
    state.setSlotU32(Slot.MXCSR, 0x1f80)
    state.setSlotU64(Slot.YMM + 15 * 32, 0x1122334455667788n)
    const before = registers()
    storeX87Region(x87, image, 0, wide)
    storeSseRegion(state, image, 0, 16)
    expect(image.getUint8(LegacyRegion.FTW)).toBe(0xe0)
    fninit(x87)
    state.u8.fill(0, state.slot + Slot.X87, state.slot + Slot.X87 + 128)
    state.setSlotU64(Slot.YMM + 15 * 32, 0n)
    expect(isMxcsrValid(image, 0)).toBe(true)
    loadX87Region(x87, image, 0, wide)
    loadSseRegion(state, image, 0, 16)
    expect(registers()).toBe(before)
    expect(state.slotU64(Slot.YMM + 15 * 32)).toBe(0x1122334455667788n)
    expect([x87.top, x87.tags, state.slotU64(Slot.FIP)]).toEqual([5, 0xe0, 0x12345678n])
    expect(state.slotU16(Slot.FCS)).toBe(wide ? 0 : 0x33)
  })

  test('reserved MXCSR bits are seen', () => {
    image.setUint32(LegacyRegion.MXCSR, 0x10000, true)
    expect(isMxcsrValid(image, 0)).toBe(false)
  })

  test('MMX instructions take the registers over, EMMS gives them back', () => {
    enterMmx(x87)
    writeMmxExponent(x87, 3)
    expect([x87.top, x87.tags]).toEqual([0, 0xff])
    expect(state.u16[x87.at(3) * 2 + 4]).toBe(0xffff)
    expect(fullTagWord(x87) >> 6 & 3).toBe(2)
    emms(x87)
    expect(fullTagWord(x87)).toBe(0xffff)
    expect(x87.statusWord & (C0 | C3)).toBe(0)
  })
})

test('FBLD and FBSTP are inverse on eighteen digits', () => {
  const digits = [0x56, 0x34, 0x12, 0x90, 0x78, 0x56, 0x34, 0x12, 0x99, 0x80]
  state.u8.set(digits, state.block + Block.ARGUMENTS)
  executeMemoryForm(x87, 7, 4)
  executeMemoryForm(x87, 7, 6)
  expect(Array.from(state.u8.subarray(state.block + Block.RESULT, state.block + Block.RESULT + 10))).toEqual(digits)
})
