import { describe, expect, it } from 'vitest'
import { readElf } from './elf.ts'
import { pvhEntry } from './pvh.ts'
import { elfNote, KERNEL_ADDRESS, pvhNote, syntheticElf } from './testing/synthetic-kernels.ts'

const failing = (code: string) => expect.objectContaining({ code })

describe.each([32, 64] as const)('an ELF%d', elfClass => {
  it('gives its segments by address, and its entry', () => {
    const segments = [
      { physical: 0x300000, bytes: Uint8Array.of(3), memorySize: 0x1000 },
      { physical: 0x200000, bytes: Uint8Array.of(1, 2) },
    ]
    const elf = readElf(syntheticElf({ class: elfClass, segments, entry: 0x200001 }))
    expect(elf.class).toBe(elfClass)
    expect(elf.entry).toBe(0x200001)
    expect(elf.segments.map(({ physical, fileSize, memorySize }) => [physical, fileSize, memorySize]))
      .toEqual([[0x200000, 2, 2], [0x300000, 1, 0x1000]])
    expect([...elf.file.subarray(elf.segments[0].offset, elf.segments[0].offset + 2)]).toEqual([1, 2])
  })

  it('gives its notes, and the PVH entry among them', () => {
    const notes = Uint8Array.of(...elfNote('GNU', 3, Uint8Array.of(1, 2, 3, 4, 5)), ...elfNote('Xen', 6, Uint8Array.of(0)),
      ...pvhNote(0x1000850))
    const elf = readElf(syntheticElf({ class: elfClass, notes }))
    expect(elf.notes.map(({ owner, type }) => [owner, type])).toEqual([['GNU', 3], ['Xen', 6], ['Xen', 18]])
    expect(pvhEntry(elf)).toBe(0x1000850)
  })

  it('is refused when the file is cut anywhere', () => {
    const file = syntheticElf({ class: elfClass })
    for (let length = 4; length < file.length; length++) {
      expect(() => readElf(file.slice(0, length))).toThrow(failing('KERNEL_TRUNCATED'))
    }
  })
})

describe('ELF files that are refused', () => {
  const code = Uint8Array.of(0xf4)
  const overlapping = [{ physical: 0x200000, bytes: code, memorySize: 0x2000 }, { physical: 0x201000, bytes: code }]
  const cutShort = [{ physical: 0x200000, bytes: Uint8Array.of(1, 2), memorySize: 1 }]
  it.each([
    ['for another processor', syntheticElf({ machine: 183 }), 'KERNEL_UNSUPPORTED'],
    ['relocatable', syntheticElf({ type: 3 }), 'KERNEL_UNSUPPORTED'],
    ['without segments', syntheticElf({ segments: [] }), 'KERNEL_CORRUPT'],
    ['with segments that overlap', syntheticElf({ segments: overlapping }), 'KERNEL_CORRUPT'],
    ['with more in the file than in memory', syntheticElf({ segments: cutShort }), 'KERNEL_CORRUPT'],
    ['with an impossible address', syntheticElf({ segments: [{ physical: 2 ** 52, bytes: code }] }), 'KERNEL_CORRUPT'],
  ])('%s', (_, file, code) => expect(() => readElf(file)).toThrow(failing(code)))
})

describe('notes', () => {
  it('end where they no longer fit', () => {
    const whole = pvhNote(0x1000850)
    const elf = readElf(syntheticElf({ notes: Uint8Array.of(...elfNote('A', 1, Uint8Array.of(1)), ...whole.subarray(0, 15)) }))
    expect(elf.notes.map(({ owner }) => owner)).toEqual(['A'])
    expect(pvhEntry(elf)).toBeUndefined()
  })

  it('name no PVH entry in fewer than four bytes, or for another owner', () => {
    const notes = Uint8Array.of(...elfNote('Xen', 18, Uint8Array.of(1, 2)), ...elfNote('Linux', 18, Uint8Array.of(1, 2, 3, 4)))
    expect(pvhEntry(readElf(syntheticElf({ notes, entry: KERNEL_ADDRESS })))).toBeUndefined()
  })
})
