import { describe, expect, it } from 'vitest'
import { emptyMachine, MIB, readBytes } from '../boot/testing/machine.ts'
import { layoutMachine } from '../layout.ts'
import { installFirmware } from './firmware.ts'
import { DEFAULT_IDENTITY, smbiosStructures } from './smbios.ts'

interface Structure { readonly type: number, readonly handle: number, readonly view: DataView, readonly strings: string[] }

/** Walks a structure table as a guest does (DSP0134 §6.1). */
function walk(table: Uint8Array): Structure[] {
  const structures: Structure[] = []
  for (let at = 0; at < table.length;) {
    const view = new DataView(table.buffer, table.byteOffset + at, table[at + 1])
    const strings: string[] = []
    let next = at + table[at + 1]
    while (table[next] !== 0) {
      const end = table.indexOf(0, next)
      strings.push(String.fromCharCode(...table.subarray(next, end)))
      next = end + 1
    }
    next += strings.length === 0 ? 2 : 1
    structures.push({ type: view.getUint8(0), handle: view.getUint16(2, true), view, strings })
    at = next
  }
  return structures
}

function structuresOf(memory: number, vcpus = 1, identity = DEFAULT_IDENTITY): Structure[] {
  return walk(smbiosStructures(layoutMachine({ memory, vcpus }), identity))
}

const GIB = 1024 ** 3

describe('SMBIOS structures', () => {
  it('are those of SMBIOS 3.0, each of its full length, with handles of their own', () => {
    const structures = structuresOf(4 * GIB, 4)
    expect(structures.map(({ type, view }) => [type, view.byteLength])).toEqual([
      [0, 0x18], [1, 0x1b], [3, 0x16], [4, 0x30], [16, 0x17], [17, 0x28], [19, 0x1f], [19, 0x1f], [32, 0x0b], [127, 4]])
    expect(new Set(structures.map(({ handle }) => handle)).size).toBe(structures.length)
  })

  it('carry the machine\'s identity, cut and cleaned', () => {
    const uuid = Uint8Array.from({ length: 16 }, (_, index) => index * 17)
    const [, system] = structuresOf(GIB, 1, { ...DEFAULT_IDENTITY, serial: `a\0b\u{1f600}${'x'.repeat(99)}`, uuid })
    expect(system.strings[3]).toMatch(/^a\?b\?+x+$/)
    expect(system.strings[3]).toHaveLength(64)
    expect([...new Uint8Array(system.view.buffer, system.view.byteOffset + 8, 8)])
      .toEqual([0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66])
  })

  it('count vCPUs as cores, beyond 255 too', () => {
    const processor = structuresOf(GIB, 300).find(({ type }) => type === 4)!.view
    expect([processor.getUint8(0x23), processor.getUint16(0x2a, true)]).toEqual([0xff, 300])
  })

  it.each([
    [256 * MIB, 256, 0],
    [2 * MIB + 4096, 0x8000 | 2052, 0],
    [64 * GIB, 0x7fff, 65536],
  ])('give the module %d bytes', (memory, size, extended) => {
    const module = structuresOf(memory).find(({ type }) => type === 17)!.view
    expect([module.getUint16(0x0c, true), module.getUint32(0x1c, true)]).toEqual([size, extended])
  })

  it('map memory below and above the hole', () => {
    const ranges = structuresOf(4 * GIB).filter(({ type }) => type === 19)
    expect(ranges.map(({ view }) => [view.getUint32(4, true) * 1024, (view.getUint32(8, true) + 1) * 1024]))
      .toEqual([[0, 0xb0000000], [4 * GIB, 8 * GIB - 0xb0000000]])
  })
})

describe('installFirmware', () => {
  const { memory, layout } = emptyMachine(16 * MIB)
  installFirmware(memory, layout)

  it('puts a 64-bit entry point that sums to zero at f0000', () => {
    const entry = readBytes(memory, 0xf0000, 24)
    expect(String.fromCharCode(...entry.subarray(0, 5))).toBe('_SM3_')
    expect(entry.reduce((sum, byte) => sum + byte, 0) & 0xff).toBe(0)
    const view = new DataView(entry.buffer)
    const table = readBytes(memory, Number(view.getBigUint64(16, true)), view.getUint32(12, true))
    expect(walk(table).at(-1)!.type).toBe(127)
  })

  it('fills in the BIOS data area', () => {
    const area = new DataView(readBytes(memory, 0x400, 0x20).buffer)
    expect([area.getUint16(0x0e, true), area.getUint16(0x13, true)]).toEqual([0x9fc0, 639])
  })
})
