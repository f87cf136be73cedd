import { describe, expect, it } from 'vitest'
import { Decoder } from '../decode/decoder.ts'
import { DecodeFailure, Instruction } from '../decode/instruction.ts'
import { rows } from '../isa/rows.ts'
import { ProcessorRig } from '../testing/processor-rig.ts'
import { Gpr, Slot } from '../state/layout.ts'
import { Vector } from '../mmu/faults.ts'
import { writeCr4 } from './control-registers.ts'
import { CPU_MODELS, cpuModel, DEFAULT_CPU_MODEL, modelFeatures } from './cpu-model.ts'
import type { CpuModel } from './cpu-model.ts'
import { FEATURES, identify, lookupCpuid } from './cpuid.ts'
import { Cr4 } from './mode.ts'
import { Processor } from './processor.ts'

const processorOf = (model: CpuModel): Processor => new Processor({ ...new ProcessorRig().cpu.environment, features: modelFeatures(model) })

const DECODERS = new Map(CPU_MODELS.map((model) => [model, new Decoder(modelFeatures(model))]))

/** The mnemonic of some bytes on a model, or `#UD`. */
function decode(model: CpuModel, hex: string): string {
  const bytes = Uint8Array.from(hex.split(' '), (byte) => parseInt(byte, 16))
  const instruction = new Instruction()
  const length = DECODERS.get(model)!.decode(bytes, 0, bytes.length, 64, instruction)
  if (length === DecodeFailure.INVALID) return '#UD'
  expect(length).toBe(bytes.length)
  return rows[instruction.row].mnemonic
}

describe('a CPU model', () => {
  it('has a name that is known; there is one without a name', () => {
    expect(CPU_MODELS.map(cpuModel)).toEqual(['x86-64', 'x86-64-v2', 'x86-64-v3', 'max'])
    expect(cpuModel()).toBe(DEFAULT_CPU_MODEL)
    for (const name of ['', 'MAX', 'x86-64-v4', '__proto__']) {
      expect(() => cpuModel(name)).toThrow(expect.objectContaining({ code: 'CPU_UNKNOWN', message: expect.stringContaining('x86-64-v2') }))
    }
  })

  it('has all features of the models before it, and announces what it has', () => {
    const counts = CPU_MODELS.map((model) => modelFeatures(model).size)
    expect(counts).toEqual(counts.toSorted((a, b) => a - b))
    for (const model of CPU_MODELS) {
      const { cpuid } = processorOf(model)
      for (const { name, leaf, register, bit } of FEATURES) {
        expect((lookupCpuid(cpuid, leaf, 0)[register] >>> bit) & 1, `${model} ${name}`).toBe(Number(modelFeatures(model).has(name)))
      }
    }
  })

  it.each([
    ['0f 58 c1', 'ADDPS', 'x86-64'], ['f0 0f c7 08', 'CMPXCHG8B', 'x86-64'], ['0f 01 ca', 'CLAC', 'x86-64'], ['0f c7 f0', 'RDRAND', 'x86-64'],
    ['f0 48 0f c7 08', 'CMPXCHG16B', 'x86-64-v2'], ['f3 0f b8 c1', 'POPCNT', 'x86-64-v2'], ['f2 0f 12 c1', 'MOVDDUP', 'x86-64-v2'],
    ['66 0f 38 00 c1', 'PSHUFB', 'x86-64-v2'], ['66 0f 3a 0d c1 01', 'BLENDPD', 'x86-64-v2'], ['f2 0f 38 f1 c1', 'CRC32', 'x86-64-v2'],
    ['0f 38 f0 00', 'MOVBE', 'x86-64-v3'], ['0f 01 d0', 'XGETBV', 'x86-64-v3'], ['0f ae 20', 'XSAVE', 'x86-64-v3'],
    ['c5 f8 77', 'VZEROUPPER', 'x86-64-v3'], ['c5 fd fe c1', 'VPADDD', 'x86-64-v3'], ['c4 e2 70 f2 c1', 'ANDN', 'x86-64-v3'],
    ['c4 e2 71 f7 c1', 'SHLX', 'x86-64-v3'], ['c4 e2 71 98 c2', 'VFMADD132PS', 'x86-64-v3'], ['c4 e2 79 13 c1', 'VCVTPH2PS', 'x86-64-v3'],
    ['66 0f 38 f6 c1', 'ADCX', 'max'], ['66 0f 38 dc c1', 'AESENC', 'max'], ['66 0f 3a 44 c1 00', 'PCLMULQDQ', 'max'],
    ['c4 e2 71 dc c2', 'VAESENC', 'max'], ['c4 e3 79 df c1 00', 'VAESKEYGENASSIST', 'max'], ['c4 e3 71 44 c2 00', 'VPCLMULQDQ', 'max'],
    ['0f 38 c8 c1', 'SHA1NEXTE', 'max'],
  ] as const)('decodes %s, %s, from %s on', (hex, mnemonic, first) => {
    const has = CPU_MODELS.map((_, n) => n >= CPU_MODELS.indexOf(first))
    expect(CPU_MODELS.map((model) => decode(model, hex))).toEqual(has.map((present) => present ? mnemonic : '#UD'))
  })

  it('without LZCNT and TZCNT reads what they extend', () => {
    expect(CPU_MODELS.map((model) => decode(model, 'f3 0f bd c1'))).toEqual(['BSR', 'BSR', 'LZCNT', 'LZCNT'])
    expect(CPU_MODELS.map((model) => decode(model, 'f3 0f bc c1'))).toEqual(['BSF', 'BSF', 'TZCNT', 'TZCNT'])
  })

  it('without XSAVE has neither CR4.OSXSAVE nor state components', () => {
    const enabled = CPU_MODELS.map((model) => writeCr4(processorOf(model), Cr4.OSXSAVE))
    expect(enabled).toEqual([false, false, true, true])
    const poor = processorOf('x86-64-v2')
    writeCr4(poor, Cr4.OSXSAVE)
    expect([poor.state.slotU32(Slot.EXIT_VECTOR), poor.state.cr4 & Cr4.OSXSAVE]).toEqual([Vector.GP, 0])
    const sizes = CPU_MODELS.map((model) => {
      const cpu = processorOf(model)
      cpu.state.setGpr(Gpr.RAX, 0xdn)
      cpu.state.setGpr(Gpr.RCX, 0n)
      identify(cpu)
      return [Gpr.RAX, Gpr.RBX, Gpr.RCX].map((register) => cpu.state.gpr32(register))
    })
    expect(sizes).toEqual([[0, 0, 0], [0, 0, 0], [7, 576, 832], [7, 576, 832]])
  })

  it('restores no CR4 that it cannot have', () => {
    const rich = processorOf('x86-64-v3')
    writeCr4(rich, Cr4.OSXSAVE)
    const state = rich.save()
    expect(() => processorOf('max').restore(state)).not.toThrow()
    expect(() => processorOf('x86-64').restore(state)).toThrow(expect.objectContaining({ code: 'SNAPSHOT_INVALID' }))
  })
})
