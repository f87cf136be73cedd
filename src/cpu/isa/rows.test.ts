import { expect, test } from 'vitest'
import { compileOpcodeTables } from '../decode/opcode-table.ts'
import { parseOpcode } from './opcode.ts'
import { operandSizeRule, rowOperands } from './operands.ts'
import { row } from './row.ts'
import { features, mnemonics, rows } from './rows.ts'

test('every row parses', () => {
  for (const one of rows) {
    expect(rowOperands(one)).toHaveLength(one.operands.length)
    expect(parseOpcode(one).opcode).toBeLessThan(256)
  }
})

test('a mistyped row is refused', () => {
  expect(() => rowOperands(row('00', 'ADD', 'Eb,Kb'))).toThrow('operand code Kb')
  expect(() => rowOperands(row('00', 'ADD', 'Ek,Gb'))).toThrow('operand code Ek')
  expect(() => parseOpcode(row('0F 39 00', 'ADD'))).toThrow('opcode 0F 39 00')
  expect(() => parseOpcode(row('00 /8', 'ADD'))).toThrow('constraint /8')
  expect(() => compileOpcodeTables([row('00', 'ADD', 'Eb,Gb'), row('00', 'OR', 'Eb,Gb')], new Set())).toThrow('overlap')
})

test('a row with a mandatory prefix wins', () => {
  const three = [row('0F 18 /0 mem', 'A', 'Mb'), row('F3 0F 18', 'B', 'Ev'), row('0F 18 reg', 'C', 'Rv')]
  const table = compileOpcodeTables(three, new Set()).long
  const slot = (column: number) => table.opcodes[1024 + column * 256 + 0x18]
  expect([slot(2), slot(0) < -1]).toEqual([1, true])
  const group = table.groups.subarray((-2 - slot(0)) * 72)
  expect([group[0], group[1], group[8]]).toEqual([0, -1, 2])
})

test('LOCK is only allowed on rows whose first operand may be memory', () => {
  const locked = rows.filter((one) => one.attributes.lock)
  expect(locked.length).toBeGreaterThan(40)
  for (const one of locked) expect('EM').toContain(rowOperands(one)[0].method)
})

test('byte rows repeat as 8-bit, and sizes follow the operands', () => {
  const rule = (opcode: string) => operandSizeRule(rows.find((one) => one.opcode === opcode)!)
  expect(['00', '01', '6D', '0F B6', '66 0F 6E', '0F 20', '50+r', 'C8', 'NP 0F AE /0 mem', 'NP 0F 77'].map(rule))
    .toEqual(['b', 'v', 'z', 'v', 'y', 'y', 'v', 'v', 'y', 'fixed'])
})

test('rows of one mnemonic are grouped, and features are known by name', () => {
  expect(mnemonics().get('ADD')).toEqual(['Eb,Gb', 'Ev,Gv', 'Gb,Eb', 'Gv,Ev', 'AL,Ib', 'rAX,sIz', 'Eb,Ib', 'Ev,sIz', 'Ev,sIb'])
  expect(features().has('SSE4_1')).toBe(true)
})
