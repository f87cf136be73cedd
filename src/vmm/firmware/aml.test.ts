import { describe, expect, it } from 'vitest'
import * as aml from './aml.ts'
import * as resources from './aml-resources.ts'

describe('integers', () => {
  it.each([
    [0, [0x00]],
    [1, [0x01]],
    [2, [0x0a, 0x02]],
    [0xff, [0x0a, 0xff]],
    [0x100, [0x0b, 0x00, 0x01]],
    [0x10000, [0x0c, 0x00, 0x00, 0x01, 0x00]],
    [0x100000000, [0x0e, 0, 0, 0, 0, 1, 0, 0, 0]],
    [0xffffffffffffffffn, [0x0e, 255, 255, 255, 255, 255, 255, 255, 255]],
  ])('%d takes its shortest form', (value, bytes) => expect(aml.integer(value)).toEqual(bytes))
})

describe('names', () => {
  it.each([
    ['COM1', [0x43, 0x4f, 0x4d, 0x31]],
    ['\\_S5', [0x5c, 0x5f, 0x53, 0x35, 0x5f]],
    ['\\', [0x5c, 0x00]],
    ['\\_SB.PCI0', [0x5c, 0x2e, 0x5f, 0x53, 0x42, 0x5f, 0x50, 0x43, 0x49, 0x30]],
    ['_SB.PCI0.COM1', [0x2f, 3, ...'_SB_PCI0COM1'].map(part => typeof part === 'string' ? part.charCodeAt(0) : part)],
  ])('%s', (path, bytes) => expect(aml.reference(path)).toEqual(bytes))

  it('compresses EISA identifiers', () => expect(aml.eisaId('PNP0A03')).toEqual([0x0c, 0x41, 0xd0, 0x0a, 0x03]))
})

/** PkgLength read as ACPI 6.0 §20.2.4 defines it. */
function packageLength(bytes: aml.Aml): { value: number, size: number } {
  const size = 1 + (bytes[0] >> 6)
  let value = size === 1 ? bytes[0] & 0x3f : bytes[0] & 0x0f
  for (let index = 1; index < size; index++) value += bytes[index] * 2 ** (8 * index - 4)
  return { value, size }
}

describe('package lengths', () => {
  it.each([0, 55, 56, 57, 4000, 4080, 4090, 4091, 5000, 70000])('count a scope with %d bytes of terms', length => {
    const encoded = aml.scope('TEST', Array.from({ length }, () => 0xa3))
    expect(packageLength(encoded.slice(1)).value).toBe(encoded.length - 1)
  })

  it('use the shortest form', () => {
    const lengthSize = (terms: number) => packageLength(aml.scope('TEST', Array.from({ length: terms }, () => 0)).slice(1)).size
    expect([lengthSize(58), lengthSize(59), lengthSize(4089), lengthSize(4090)]).toEqual([1, 2, 2, 3])
  })
})

describe('resources', () => {
  it('ends a template with an end tag', () => {
    expect(resources.resourceTemplate(resources.irq(4))).toEqual([0x11, 0x08, 0x0a, 0x05, 0x22, 0x10, 0x00, 0x79, 0x00])
  })

  it('describes ports', () => {
    expect(resources.ioPorts({ base: 0x3f8, size: 8 })).toEqual([0x47, 1, 0xf8, 0x03, 0xf8, 0x03, 1, 8])
  })

  it('describes a 64-bit window by its first and last byte', () => {
    const bytes = Uint8Array.from(resources.memoryWindow64({ base: 0x800000000, size: 0x800000000 }))
    const view = new DataView(bytes.buffer)
    expect([bytes[0], view.getUint16(1, true), bytes.length]).toEqual([0x8a, 0x2b, 0x2e])
    expect([14, 22, 38].map(at => view.getBigUint64(at, true))).toEqual([0x800000000n, 0xfffffffffn, 0x800000000n])
  })
})
