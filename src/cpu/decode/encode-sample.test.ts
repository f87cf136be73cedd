import { expect, test } from 'vitest'
import { rowOperands } from '../isa/operands.ts'
import { features, rows } from '../isa/rows.ts'
import { Decoder } from './decoder.ts'
import { encodeSample } from './encode-sample.ts'
import { Instruction } from './instruction.ts'
import type { Sample } from './testing/random-code.ts'
import { allSamples, seededRandom } from './testing/random-code.ts'

const decoder = new Decoder(features())
const random = seededRandom(3)

function shapeOf(instruction: Instruction): string {
  if (instruction.mod === 3) return 'register'
  if (instruction.index >= 0) return 'index'
  return instruction.base === 16 ? 'relative' : instruction.base >= 0 ? 'base' : 'absolute'
}

function check(row: number, sample: Sample): void {
  const instruction = new Instruction()
  const { bytes, codeSize, operandSize, shape } = sample
  const length = decoder.decode(bytes, 0, bytes.length, codeSize, instruction)
  const hex = Buffer.from(bytes).toString('hex')
  expect({ row: rows[instruction.row], length, operandSize: instruction.operandSize, shape: shapeOf(instruction), hex })
    .toEqual({ row: rows[row], length: bytes.length, operandSize, shape, hex })
}

test('every row has samples, and they decode to what was asked for', () => {
  for (const row of rows.keys()) {
    for (let round = 0; round < 4; round++) {
      const samples = allSamples(rows[row], random)
      expect(samples.length, rows[row].opcode).toBeGreaterThan(0)
      for (const sample of samples) check(row, sample)
    }
  }
})

test('rows with a memory operand have both memory shapes', () => {
  for (const row of rows) {
    const takesMemory = rowOperands(row).some((spec) => 'EMWQ'.includes(spec.method)) && !/ reg( |$)/.test(row.opcode)
    const shapes = new Set(allSamples(row, random).map((sample) => sample.shape))
    const gathers = row.attributes.gathers === true
    expect([shapes.has('base'), shapes.has('index')], row.opcode).toEqual([takesMemory && !gathers, takesMemory])
  }
})

test('asks for what does not exist', () => {
  const push = rows.find((row) => row.opcode === '50+r')!
  const lea = rows.find((row) => row.mnemonic === 'LEA')!
  expect(encodeSample(push, { codeSize: 64, operandSize: 32, shape: 'register', random })).toBeNull()
  expect(encodeSample(push, { codeSize: 64, operandSize: 64, shape: 'base', random })).toBeNull()
  expect(encodeSample(lea, { codeSize: 64, operandSize: 64, shape: 'register', random })).toBeNull()
  expect(encodeSample(lea, { codeSize: 32, operandSize: 32, shape: 'relative', random })).toBeNull()
  expect(encodeSample(lea, { codeSize: 64, operandSize: 32, shape: 'base', addressSize: 16, random })).toBeNull()
})

test('prefixes come first, and 67 changes the address size', () => {
  const add = rows.find((row) => row.opcode === '01')!
  const request = { codeSize: 64, operandSize: 32, shape: 'index', addressSize: 32, prefixes: [0x64, 0xf0], random } as const
  const bytes = encodeSample(add, request)!
  const instruction = new Instruction()
  expect(decoder.decode(bytes, 0, bytes.length, 64, instruction)).toBe(bytes.length)
  expect([...bytes.subarray(0, 3)]).toEqual([0x64, 0xf0, 0x67])
  expect(instruction).toMatchObject({ lock: true, segment: 4, addressSize: 32, operandSize: 32 })
})
